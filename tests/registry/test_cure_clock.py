"""Notice, thirty days, revocation: on every date the one answer that the calendar gives."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import count

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import services, standing
from registry.changes import Wanted, changes
from registry.models import Certificate, Tally
from registry.services import RegistryError
from registry.tallies import TallyOn
from registry.tasks import revoke_uncured_task
from tests.registry.factories import ISSUED, CertificateFactory
from tests.registry.signing import clock
from tests.registry.test_status_list import bits, place, set_places

pytestmark = pytest.mark.django_db
_names = count()
NOTICE = ISSUED + timedelta(days=10)
ENDS = NOTICE + timedelta(days=30)
DAY = timedelta(days=1)


def suspended(on: date = NOTICE, **values: object) -> Certificate:
    return services.suspend_certificate(
        certificate=CertificateFactory(**values), reason="The evidence cannot be reached.", on=on
    )


def status_on(number: str, on: date) -> str | None:
    """From the history."""
    found: str | None = Certificate.objects.with_status_on(on).get(number=number).status_on  # type: ignore[attr-defined]
    return found


def by_columns(number: str, on: date) -> str:
    found: str = Certificate.objects.all().standing(on).get(number=number).status_on  # type: ignore[attr-defined]
    return found


def by_hand(number: str, on: date) -> str | None:
    """Every entry read in order, with nothing but a calendar."""
    certificate = Certificate.objects.get(number=number)
    status, notice = None, None
    for event in certificate.history.order_by("effective_on", "pk"):
        if event.effective_on > on:
            break
        status = event.status
        notice = event.effective_on if status == "suspended" else None
    ends = [
        (day, name)
        for day, name, applies in (
            (certificate.expires_on, "expired", status in {"active", "suspended"}),
            (notice + timedelta(days=30) if notice else None, "revoked", notice is not None),
        )
        if applies and day is not None and day <= on
    ]
    # What comes first ends it; on one and the same day it has simply expired.
    return min(ends)[1] if ends else status


# --- Dates ---------------------------------------------------------------------------------------------


def test_suspension_says_until_when_it_can_be_cured() -> None:
    certificate = suspended()
    assert certificate.cure_by == ENDS
    assert certificate.history.get(kind="suspended").cure_by == ENDS


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (NOTICE - DAY, "active"),
        (NOTICE, "suspended"),
        (ENDS - DAY, "suspended"),
        (ENDS, "revoked"),
        (ENDS + 400 * DAY, "revoked"),
    ],
)
def test_certificate_is_revoked_on_the_day_whether_or_not_the_task_came_by(on: date, expected: str) -> None:
    certificate = suspended()
    assert status_on(certificate.number, on) == expected
    if on >= NOTICE:
        assert certificate.status_as_of(on) == expected
        assert by_columns(certificate.number, on) == expected
    assert services.revoke_uncured(today=ENDS + 7 * DAY) == [certificate.number]
    assert status_on(certificate.number, on) == expected


def test_revocation_is_recorded_once_on_the_day_it_happened() -> None:
    certificate = suspended()
    assert services.revoke_uncured(today=ENDS - DAY) == []
    assert services.revoke_uncured(today=ENDS + 3 * DAY) == [certificate.number]
    assert services.revoke_uncured(today=ENDS + 4 * DAY) == []
    event = certificate.history.get(kind="revoked")
    assert (event.effective_on, event.cure_by, event.reason) == (ENDS, ENDS, services.NOT_CURED)


def test_task_revokes_what_was_not_cured_in_time() -> None:
    certificate = CertificateFactory(on=date(2020, 1, 1))
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=date(2020, 2, 1))
    assert revoke_uncured_task() == [certificate.number]


def test_cured_certificate_is_not_revoked() -> None:
    certificate = suspended()
    services.reinstate_certificate(certificate=certificate, reason="Back.", on=ENDS - DAY)
    assert services.revoke_uncured(today=ENDS + DAY) == []
    certificate.refresh_from_db()
    assert (certificate.status, certificate.cure_by) == ("active", None)
    assert status_on(certificate.number, ENDS) == "active"


def test_second_notice_has_a_clock_of_its_own() -> None:
    certificate = suspended()
    services.reinstate_certificate(certificate=certificate, reason="Back.", on=NOTICE + 5 * DAY)
    second = NOTICE + 20 * DAY
    services.suspend_certificate(certificate=certificate, reason="Gone again.", on=second)
    assert status_on(certificate.number, ENDS) == "suspended"
    assert status_on(certificate.number, second + 30 * DAY) == "revoked"


def test_reinstatement_after_the_time_is_refused_before_any_task_came_by() -> None:
    certificate = suspended()
    with pytest.raises(RegistryError, match="is revoked"):
        services.reinstate_certificate(certificate=certificate, reason="Too late.", on=ENDS)
    assert certificate.history.count() == 2


@pytest.mark.parametrize(("left", "expected"), [(29, "expired"), (30, "expired"), (31, "revoked")])
def test_what_ends_first_counts(left: int, expected: str) -> None:
    certificate = CertificateFactory()
    notice = certificate.expires_on - timedelta(days=left)
    services.suspend_certificate(certificate=certificate, reason="Late notice.", on=notice)
    later = certificate.expires_on + 60 * DAY
    assert (status_on(certificate.number, later), by_columns(certificate.number, later)) == (expected,) * 2
    recorded = (
        services.revoke_uncured(today=later),
        services.expire_certificates(today=later),
    )
    assert recorded == (([certificate.number], []) if expected == "revoked" else ([], [certificate.number]))
    assert status_on(certificate.number, later) == expected


def test_expiry_task_does_not_take_what_was_revoked_before() -> None:
    certificate = suspended()
    assert services.expire_certificates(today=certificate.expires_on + DAY) == []
    assert services.revoke_uncured(today=certificate.expires_on + DAY) == [certificate.number]


def test_new_certificate_of_the_platform_does_not_renew_a_revoked_one() -> None:
    former = suspended(platform_name="Engine")
    issued = CertificateFactory(platform_name="Engine", on=ENDS + 5 * DAY)
    assert issued.history.get().kind == "issued"
    assert list(former.history.values_list("kind", "effective_on"))[-1] == ("revoked", ENDS)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(("suspend", "suspend", "reinstate", "revoke", "expire", "task", "nothing")),
        st.integers(0, 60),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=ACTIONS)
def test_every_reader_gives_the_answer_of_the_calendar(happenings: list[tuple[str, int]]) -> None:
    certificate = CertificateFactory(platform_name=f"Cured {next(_names)}", vendor=f"Vendor {next(_names)}")
    number, slug = certificate.number, certificate.vendor_slug
    day = ISSUED
    known: dict[date, str | None] = {}
    for action, later in happenings:
        day += timedelta(days=later)
        with suppress(RegistryError):
            if action == "task":
                services.revoke_uncured(today=day)
            elif action == "expire":
                services.expire_certificates(today=day)
            elif action != "nothing":
                change = getattr(services, f"{action}_certificate")
                change(certificate=certificate, reason="Because.", on=day)
        expected = by_hand(number, day)
        row = Certificate.objects.get(number=number)
        assert row.status_as_of(day) == by_columns(number, day) == status_on(number, day) == expected
        certificates = Certificate.objects.all()
        for status in Certificate.Status.values:
            found = certificates.standing(day).standing_as(status, day).filter(number=number).exists()
            assert found is (status == expected), status
        counted = TallyOn(day).of("vendor", slug)
        assert {status for status in Certificate.Status.values if counted[status]} == {expected}
        newest = changes(Wanted(number=number), today=day, limit=1)[0]
        assert newest.kind == {"active": newest.kind}.get(str(expected), expected)
        # A date that has passed keeps its answer, whatever is done later.
        known[day] = expected
        assert {on: by_hand(number, on) for on in known} == known
        assert {on: status_on(number, on) for on in known} == known
    before = {(row.facet, row.value, row.status): row.number for row in Tally.objects.filter(number__gt=0)}
    cure_by = Certificate.objects.get(number=number).cure_by
    standing.recount()
    after = {(row.facet, row.value, row.status): row.number for row in Tally.objects.filter(number__gt=0)}
    assert after == before
    assert Certificate.objects.get(number=number).cure_by == cure_by


# --- What is served --------------------------------------------------------------------------------------


def at(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


def test_page_says_why_and_until_when(client: Client) -> None:
    certificate = suspended()
    with clock(at(ENDS - DAY)):
        page = client.get(certificate.get_absolute_url()).content.decode()
    assert "a written notice was served on 11 March 2026" in page
    assert "until the end of 9 April 2026 to cure" in page
    assert page.count("The evidence cannot be reached.") == 2  # in the notice and in the history


def test_page_names_no_day_to_cure_where_the_certificate_expires_before(client: Client) -> None:
    certificate = CertificateFactory()
    notice = certificate.expires_on - 5 * DAY
    services.suspend_certificate(certificate=certificate, reason="Late.", on=notice)
    with clock(at(notice)):
        page = client.get(certificate.get_absolute_url()).content.decode()
    assert "a written notice was served on" in page
    assert "to cure the cause" not in page


def test_everything_served_says_revoked_from_the_day_on_before_any_task(client: Client) -> None:
    certificate = suspended(platform_name="Meridian")
    number = certificate.number
    paths = {
        "detail": reverse("api-certification-detail", args=[number]),
        "badge": reverse("api-certification-badge", args=[number]),
        "page": certificate.get_absolute_url(),
        "revoked": "/api/v1/certifications/?status=revoked",
        "suspended": "/api/v1/certifications/?status=suspended",
        "changes": f"/api/v1/changes/?number={number}&kind=revoked",
        "feed": f"/changes/feed.json?number={number}",
    }
    seen = {}
    for day in (ENDS - DAY, ENDS):
        with clock(at(day)):
            answers = {name: client.get(path) for name, path in paths.items()}
            seen[day] = (
                answers["detail"].json()["status"],
                answers["detail"].json()["cure_by"],
                ">suspended<" in answers["badge"].content.decode(),
                ">revoked<" in answers["badge"].content.decode(),
                answers["revoked"].json()["count"],
                answers["suspended"].json()["count"],
                len(answers["changes"].json()["results"]),
                next(item["id"].rpartition("/")[2] for item in answers["feed"].json()["items"]) == "revoked",
                services.NOT_CURED in answers["page"].content.decode(),
                place(number) in set_places(bits(client, 1)),
                place(number) in set_places(bits(client, 2)),
            )
    assert seen[ENDS - DAY] == ("suspended", "2026-04-10", True, False, 0, 1, 0, False, False, False, True)
    assert seen[ENDS] == ("revoked", None, False, True, 1, 0, 1, True, True, True, False)


def test_entry_of_the_feed_keeps_its_id_when_the_task_records_it(client: Client) -> None:
    certificate = suspended()
    ids = []
    with clock(at(ENDS)):
        for _turn in range(2):
            feed = client.get(f"/changes/feed.json?number={certificate.number}").json()
            ids.append([(item["id"], item["content_text"]) for item in feed["items"]])
            services.revoke_uncured(today=ENDS)
    assert ids[0] == ids[1]
    assert len(ids[0]) == 3
