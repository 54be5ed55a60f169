"""The event log: every kind of tampering shows, and the database refuses it in the first place."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction

from certportal.append_only import protect, unprotect
from registry.models import CertificateEvent
from submissions.models import ChainHead, Event, Submission
from submissions.services.events import record_event, verify_chain
from tests.submissions.factories import SubmissionFactory, UserFactory
from tests.submissions.reviewing import certified, ready_to_approve

pytestmark = pytest.mark.django_db


@pytest.fixture
def events() -> list[Event]:
    """A log of five events, one of them about a submission."""
    actor = UserFactory()
    submission = SubmissionFactory()
    for number in range(4):
        record_event(
            action=f"step_{number}", actor=actor, submission=submission, data={"n": number, "a": 1.5}
        )
    return list(Event.objects.order_by("pk"))


def problems() -> list[str]:
    return verify_chain()[1]


def test_chain_is_whole(events: list[Event]) -> None:
    assert verify_chain() == (len(events), [])
    assert [event.previous_hash for event in events[1:]] == [event.hash for event in events[:-1]]


def test_chain_of_nothing_is_whole() -> None:
    assert verify_chain() == (0, [])


def test_chain_of_a_whole_review_is_whole() -> None:
    certified()

    count, found = verify_chain()
    assert found == []
    assert count == Event.objects.count() >= 10


@pytest.mark.parametrize(
    "change",
    [
        {"action": "other"},
        {"reason": "another reason"},
        {"data": {"n": 99}},
        {"to_status": "approved"},
        {"actor": None},
        {"submission": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_chain_shows_a_changed_event(events: list[Event], change: dict[str, object]) -> None:
    target = events[-3]
    Event.objects.filter(pk=target.pk).update(**change)

    assert problems() == [f"event {target.pk}: its content was changed"]


def test_chain_shows_a_changed_time(events: list[Event]) -> None:
    target = events[-2]
    Event.objects.filter(pk=target.pk).update(at=target.at + timedelta(microseconds=1))

    assert problems() == [f"event {target.pk}: its content was changed"]


def test_chain_shows_an_event_sealed_anew(events: list[Event]) -> None:
    target = events[-2]
    target.reason = "rewritten"
    Event.objects.filter(pk=target.pk).update(reason="rewritten", hash=target.seal())

    assert problems() == [f"event {events[-1].pk}: the event before it was removed, added or changed"]


def test_chain_shows_a_removed_event(events: list[Event]) -> None:
    Event.objects.filter(pk=events[-3].pk).delete()

    assert problems() == [
        f"event {events[-2].pk}: the event before it was removed, added or changed",
        f"the log has {len(events) - 1} events, {len(events)} were written",
    ]


def test_chain_shows_a_tail_cut_off(events: list[Event]) -> None:
    Event.objects.filter(pk__in=[events[-1].pk, events[-2].pk]).delete()

    assert problems() == [f"the log has {len(events) - 2} events, {len(events)} were written"]


def test_chain_shows_the_newest_event_replaced(events: list[Event]) -> None:
    target = events[-1]
    target.reason = "rewritten"
    Event.objects.filter(pk=target.pk).update(reason="rewritten", hash=target.seal())

    assert problems() == ["the newest event is not the one that was written last"]


def test_chain_shows_an_event_slipped_in(events: list[Event]) -> None:
    forged = Event(action="forged", actor=None, data={}, previous_hash=events[-1].hash)
    forged.hash = forged.seal()
    Event.objects.bulk_create([forged])

    assert problems() == [f"the log has {len(events) + 1} events, {len(events)} were written"]


def test_chain_shows_a_lost_head(events: list[Event]) -> None:
    ChainHead.objects.all().delete()

    assert problems() == [f"the log has {len(events)} events, 0 were written"]


def test_event_is_written_only_with_what_it_tells() -> None:
    """The event and the change it tells of stand or fall together."""
    submission = ready_to_approve()
    before = Event.objects.count()

    def change() -> None:
        with transaction.atomic():
            record_event(action="step", actor=None, submission=submission)
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError, match="the change failed"):
        change()

    assert Event.objects.count() == before
    assert problems() == []


def test_event_refuses_to_be_saved_again(events: list[Event]) -> None:
    with pytest.raises(ValidationError):
        events[0].save()
    with pytest.raises(ValidationError):
        events[0].delete()


# The command ----------------------------------------------------------------------------------------------


def test_verify_audit_log_says_so_when_the_chain_is_whole(events: list[Event]) -> None:
    out = StringIO()

    call_command("verify_audit_log", stdout=out)

    assert out.getvalue() == f"{len(events)} events read: the chain is whole\n"


def test_verify_audit_log_names_the_problems_and_fails(events: list[Event]) -> None:
    Event.objects.filter(pk=events[1].pk).update(reason="x")
    err = StringIO()

    with pytest.raises(CommandError) as failure:
        call_command("verify_audit_log", stderr=err)

    assert failure.value.returncode == 1
    assert err.getvalue() == f"event {events[1].pk}: its content was changed\n"


# The database ---------------------------------------------------------------------------------------------


@pytest.fixture
def protected() -> Iterator[None]:
    """Put back the triggers that the tests run without."""
    tables = (Event._meta.db_table, CertificateEvent._meta.db_table)
    for table in tables:
        protect(connection, table)
    yield
    for table in tables:
        unprotect(connection, table)


def statements(table: str) -> list[str]:
    found = [f"UPDATE {table} SET reason = 'x'", f"DELETE FROM {table}"]  # noqa: S608 - names of our own
    return [*found, f"TRUNCATE {table} CASCADE"] if connection.vendor == "postgresql" else found


@pytest.mark.parametrize("table", ["submissions_event", "registry_certificateevent"])
def test_database_refuses_to_change_the_history(table: str) -> None:
    certified()
    protect(connection, table)
    # PostgreSQL truncates no table on which deferred constraints wait.
    connection.check_constraints()

    for statement in statements(table):
        with (
            pytest.raises(Error, match="only ever added"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    unprotect(connection, table)
    assert problems() == []


@pytest.mark.timeout(120)
def test_migrations_leave_the_history_protected(tmp_path: Path) -> None:
    """On SQLite a later migration may build a table anew, and its triggers would be gone."""
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "certportal.settings"}
    environment |= {"DATABASE_URL": "", "REDIS_URL": "", "LOG_LEVEL": "WARNING"}
    manage = Path(__file__).parents[2] / "manage.py"
    subprocess.run([sys.executable, manage, "migrate", "--verbosity=0"], env=environment, check=True)

    with closing(sqlite3.connect(tmp_path / "certportal.sqlite3")) as database:
        found = database.execute(
            "SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' GROUP BY 1"
        )
        assert dict(found) == {"registry_certificateevent": 2, "submissions_event": 2}


@pytest.mark.usefixtures("protected")
def test_portal_works_with_the_history_protected() -> None:
    submission = certified()

    assert Submission.objects.get(pk=submission.pk).certificate_number
    assert problems() == []
