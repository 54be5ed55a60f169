"""Every certificate issued so far gets its place in the status lists, in the order of issue."""

from django.db import migrations


def forwards(apps, schema_editor):
    Certificate = apps.get_model("registry", "Certificate")
    StatusEntry = apps.get_model("registry", "StatusEntry")
    missing = Certificate.objects.filter(status_entry__isnull=True).order_by("pk").values_list("pk", flat=True)
    StatusEntry.objects.bulk_create(
        (StatusEntry(certificate_id=pk) for pk in missing.iterator()), batch_size=500
    )


class Migration(migrations.Migration):
    dependencies = [("registry", "0004_signing_keys_and_status_entries")]

    # Places are never given back: the table goes with the migration before this one.
    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
