"""Columns that only PostgreSQL has, generated from the ordinary ones, for searching and filtering."""

from django.db import migrations

# Letters and digits between spaces, in small letters: the parser of `simple` then keeps every word whole.
WORDS = "to_tsvector('simple'::regconfig, regexp_replace(lower({}), '[^[:alnum:]]+', ' ', 'g'))"
FORWARDS = (
    f"""
    ALTER TABLE registry_certificate
    ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight({WORDS.format("platform_name || ' ' || number")}, 'A')
        || setweight({WORDS.format("vendor")}, 'B')
        || setweight({WORDS.format("platform_version || ' ' || configuration")}, 'C')
        || setweight({WORDS.format("left(description, 4000)")}, 'D')
    ) STORED,
    ADD COLUMN met_ids text[] GENERATED ALWAYS AS (string_to_array(btrim(met), ' ')) STORED,
    ADD COLUMN workload_ids text[] GENERATED ALWAYS AS (string_to_array(btrim(workloads), ' ')) STORED
    """,
    "CREATE INDEX registry_cert_words ON registry_certificate USING gin (words)",
    "CREATE INDEX registry_cert_met ON registry_certificate USING gin (met_ids)",
)
BACKWARDS = (
    "DROP INDEX registry_cert_met",
    "DROP INDEX registry_cert_words",
    "ALTER TABLE registry_certificate DROP COLUMN words, DROP COLUMN met_ids, DROP COLUMN workload_ids",
)


def run(statements):
    def operation(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            for statement in statements:
                schema_editor.execute(statement)

    return operation


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_columns_and_tally_of_what_is_there")]

    operations = [migrations.RunPython(run(FORWARDS), run(BACKWARDS))]
