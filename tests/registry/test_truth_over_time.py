"""Whatever happens to a certificate, nothing that is served says that it holds when it does not."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import count

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.credentials import Result, StepName
from registry import services
from registry.models import Certificate
from registry.services import RegistryError
from tests.registry.factories import ISSUED, CertificateFactory
from tests.registry.signing import clock, examined, fetch

pytestmark = pytest.mark.django_db
_names = count()
ACTIONS = {
    "suspend": lambda certificate, on: services.suspend_certificate(
        certificate=certificate, reason="Notice.", on=on
    ),
    "reinstate": lambda certificate, on: services.reinstate_certificate(
        certificate=certificate, reason="Cured.", on=on
    ),
    "revoke": lambda certificate, on: services.revoke_certificate(
        certificate=certificate, reason="Found out.", on=on
    ),
    "renew": lambda certificate, on: CertificateFactory(
        on=on, platform_name=certificate.platform_name, vendor=certificate.vendor
    ),
    "expire": lambda certificate, on: services.expire_certificates(today=on),
    "not cured": lambda certificate, on: services.revoke_uncured(today=on),
}
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, "nothing"]), st.integers(0, 200)), min_size=1, max_size=6
)


def truth(number: str, on: date) -> bool:
    """Whether the history, read by itself, says that it held on the day."""
    certificate = Certificate.objects.get(number=number)
    last = [event for event in certificate.history.all() if event.effective_on <= on][-1]
    return last.status == "active" and on < certificate.expires_on


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=HAPPENINGS, second=st.integers(0, 86399))
def test_nothing_served_says_active_after_the_end(
    client: Client, happenings: list[tuple[str, int]], second: int
) -> None:
    day = ISSUED
    certificate = CertificateFactory(platform_name=f"Platform {next(_names)}", vendor="Timekeepers")
    number = certificate.number
    with clock(day):
        kept = fetch(client, number)
    for action, days in happenings:
        day += timedelta(days=days)
        moment = datetime.combine(day, time(), UTC) + timedelta(seconds=second)
        with clock(moment):
            if action in ACTIONS:
                # What the registry refuses has not happened.
                with suppress(RegistryError):
                    ACTIONS[action](Certificate.objects.get(number=number), day)
            assert_told_truly(client, number, kept, moment)


def assert_told_truly(client: Client, number: str, kept: str, moment: datetime) -> None:
    """Ask for everything at once, through the front door."""
    holds = truth(number, moment.date())
    paths = {
        "small": f"/api/v1/certifications/{number}/badge.svg",
        "large": f"/api/v1/certifications/{number}/badge.svg?style=large&theme=dark",
        "certified": f"/api/v1/certified/?number={number}",
        "list 1": "/api/v1/status-lists/1/",
        "credential": f"/api/v1/certifications/{number}/credential/",
        "pdf": f"/certified/{number}/certificate.pdf",
        "page": f"/certified/{number}/",
    }
    answers = {name: client.get(path) for name, path in paths.items()}
    left = 86400 - (moment.hour * 3600 + moment.minute * 60 + moment.second)
    for name, answer in answers.items():
        # Kept no longer than a minute, and never into the next day.
        assert answer["Cache-Control"] == f"public, max-age={min(60, left)}", name
    assert (">certified, ends" in answers["small"].content.decode()) is holds
    assert (">Certified to the end" in answers["large"].content.decode()) is holds
    assert answers["certified"].json()["certified"] is holds
    assert ("certificate__seal" in answers["page"].content.decode()) is holds
    for token in (kept, answers["credential"].content.decode().strip()):
        found = examined(client, token, number, moment)
        assert found.is_genuine
        assert found.holds is holds, found.steps
        if not holds:
            assert Result.FAILED in {
                found.result_of(StepName.VALIDITY),
                found.result_of(StepName.STATUS),
            }
