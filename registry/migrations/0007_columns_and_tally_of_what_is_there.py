"""Fill the columns of the list and the tally from the certificates issued so far."""

from collections import Counter, defaultdict

from django.db import migrations
from django.db.models import Max
from django.utils import timezone

from registry.standing import ANY, COUNTS, coverage_of, facet_values

CHUNK = 500


def forwards(apps, schema_editor):
    Certificate = apps.get_model("registry", "Certificate")
    Event = apps.get_model("registry", "CertificateEvent")
    Requirement = apps.get_model("registry", "CertificateRequirement")
    State = apps.get_model("registry", "RegistryState")
    Tally = apps.get_model("registry", "Tally")
    tally, labels = Counter(), {}
    last = 0
    while batch := list(Certificate.objects.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        last = batch[-1].pk
        keys = [certificate.pk for certificate in batch]
        rows = defaultdict(list)
        for row in Requirement.objects.filter(certificate__in=keys):
            rows[row.certificate_id].append(row)
        newest = dict(
            Event.objects.filter(certificate__in=keys)
            .order_by()
            .values_list("certificate")
            .annotate(on=Max("effective_on"))
        )
        for certificate in batch:
            for name, value in coverage_of(rows[certificate.pk]).items():
                setattr(certificate, name, value)
            certificate.changed_on = newest.get(certificate.pk, certificate.issued_on)
            for facet, value, label in facet_values(certificate):
                tally[facet, value, ANY] += 1
                tally[facet, value, certificate.status] += 1
                labels[facet, value] = label
        Certificate.objects.bulk_update(batch, [*COUNTS, "met", "workloads", "changed_on"], batch_size=100)
    Tally.objects.bulk_create(
        (
            Tally(facet=facet, value=value, status=status, label=labels[facet, value], number=number)
            for (facet, value, status), number in sorted(tally.items())
        ),
        batch_size=500,
    )
    State.objects.get_or_create(pk=1, defaults={"version": 1, "changed_at": timezone.now()})


def backwards(apps, schema_editor):
    apps.get_model("registry", "Tally").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_what_the_list_needs")]

    operations = [migrations.RunPython(forwards, backwards)]
