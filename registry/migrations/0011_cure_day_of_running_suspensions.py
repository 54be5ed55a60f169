"""Give suspensions that were running before the cure clock the day on which it ends.

Thirty days from the notice, as its text promised; at least a week from now, so that nobody is revoked
without the reminder that comes seven days before.
"""

from datetime import timedelta

from django.db import migrations
from django.utils import timezone

from certportal.append_only import protect, unprotect

EVENTS = "registry_certificateevent"
CURE, NOTICE = timedelta(days=30), timedelta(days=8)


def forwards(apps, schema_editor):
    Certificate = apps.get_model("registry", "Certificate")
    Event = apps.get_model("registry", "CertificateEvent")
    earliest = timezone.now().date() + NOTICE
    running = list(Certificate.objects.filter(status="suspended"))
    if not running:
        return
    unprotect(schema_editor.connection, EVENTS)
    for certificate in running:
        event = Event.objects.filter(certificate=certificate).order_by("-effective_on", "-pk").first()
        if event is None or event.status != "suspended":
            continue
        certificate.cure_by = max(event.effective_on + CURE, earliest)
        certificate.save(update_fields=["cure_by"])
        Event.objects.filter(pk=event.pk).update(cure_by=certificate.cure_by)
    protect(schema_editor.connection, EVENTS)


def backwards(apps, schema_editor):
    """The column goes with the migration before this one."""


class Migration(migrations.Migration):
    dependencies = [("registry", "0010_cure_clock")]

    operations = [migrations.RunPython(forwards, backwards)]
