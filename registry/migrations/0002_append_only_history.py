"""The database refuses to change or remove what registry_certificateevent holds."""

from django.db import migrations

from certportal.append_only import protect, unprotect

TABLE = "registry_certificateevent"


def forwards(apps, schema_editor):
    protect(schema_editor.connection, TABLE)


def backwards(apps, schema_editor):
    unprotect(schema_editor.connection, TABLE)


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
