"""The database refuses to change or remove what submissions_event holds."""

from django.db import migrations

from certportal.append_only import protect, unprotect

TABLE = "submissions_event"


def forwards(apps, schema_editor):
    protect(schema_editor.connection, TABLE)


def backwards(apps, schema_editor):
    unprotect(schema_editor.connection, TABLE)


class Migration(migrations.Migration):
    dependencies = [("submissions", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
