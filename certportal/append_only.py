"""Tables the database itself lets nobody change: rows are added, never updated, deleted or truncated.

The hash chain shows that someone changed the log; these triggers stop the accident in the first place.
A migration that makes SQLite build such a table anew (altering a column does) loses its triggers and has
to call `protect` again.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

FUNCTION = "certportal_refuse_change"

_POSTGRESQL = (
    f"""
    CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$
    """,
    f"""
    CREATE TRIGGER {{table}}_rows BEFORE UPDATE OR DELETE ON {{table}}
    FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()
    """,
    f"""
    CREATE TRIGGER {{table}}_all BEFORE TRUNCATE ON {{table}}
    FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()
    """,
)
_SQLITE = tuple(
    f"""
    CREATE TRIGGER {{table}}_{event} BEFORE {event} ON {{table}}
    BEGIN SELECT RAISE(ABORT, 'rows of {{table}} are only ever added'); END
    """
    for event in ("update", "delete")
)
_POSTGRESQL_UNDO = tuple(f"DROP TRIGGER IF EXISTS {{table}}_{name} ON {{table}}" for name in ("rows", "all"))
_SQLITE_UNDO = tuple(f"DROP TRIGGER IF EXISTS {{table}}_{name}" for name in ("update", "delete"))


def protect(connection: BaseDatabaseWrapper, table: str) -> None:
    """Refuse every change of rows of `table`, on PostgreSQL and SQLite; elsewhere nothing is done."""
    _run(connection, {"postgresql": _POSTGRESQL, "sqlite": _SQLITE}.get(connection.vendor, ()), table)


def unprotect(connection: BaseDatabaseWrapper, table: str) -> None:
    """Take the triggers away again."""
    undo = {"postgresql": _POSTGRESQL_UNDO, "sqlite": _SQLITE_UNDO}.get(connection.vendor, ())
    _run(connection, undo, table)


def _run(connection: BaseDatabaseWrapper, statements: tuple[str, ...], table: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.format(table=table))
