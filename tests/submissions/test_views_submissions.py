"""A submission's own pages: starting, overview, submitting, release date, withdrawing."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from submissions.guidance import turn_of
from submissions.models import Submission
from submissions.services import drafting, lifecycle
from submissions.states import Action, Status
from tests.submissions.cast import Cast
from tests.submissions.factories import SubmissionFactory, UserFactory, checklist


@pytest.fixture
def ready(cast: Cast) -> Submission:
    return SubmissionFactory(platform=cast.submission.platform, complete=True)


def url(name: str, submission: Submission) -> str:
    return reverse(f"submissions:{name}", args=[submission.uuid])


def test_draft_is_started_from_a_choice(cast: Cast) -> None:
    newest = checklist("1.36")
    configuration = cast.submission.configuration
    address = reverse("submissions:submission-create", args=[cast.organization.slug])
    browser = cast.browser("editor")

    page = browser.get(address, {"configuration": configuration.pk})
    response = browser.post(address, {"configuration": configuration.pk, "checklist": newest.pk})

    made = Submission.objects.get(checklist=newest)
    assert f'<option value="{configuration.pk}" selected>Engine, default</option>' in page.content.decode()
    assert response["Location"] == url("product", made)
    assert made.claims.count() == newest.requirements.count()


def test_draft_is_never_started_on_a_strangers_platform(cast: Cast) -> None:
    foreign = SubmissionFactory()
    address = reverse("submissions:submission-create", args=[cast.organization.slug])

    response = cast.browser("editor").post(
        address, {"configuration": foreign.configuration.pk, "checklist": foreign.checklist.pk}
    )

    assert response.status_code == 422
    assert Submission.objects.count() == 2


def test_overview_says_whose_turn_it_is_and_what_is_missing(cast: Cast) -> None:
    page = cast.browser("editor").get(url("detail", cast.submission)).content.decode()

    assert "Your turn" in page
    assert "What is missing" in page
    assert "Draft created" in page


def test_submit_is_refused_while_errors_stand(cast: Cast) -> None:
    browser = cast.browser("editor")

    offered = browser.get(url("check", cast.submission)).content.decode()
    response = browser.post(url("submit", cast.submission), follow=True)

    cast.submission.refresh_from_db()
    assert "disabled aria-describedby=" in offered
    assert cast.submission.status == Status.DRAFT
    assert "Mend what the list names" in response.content.decode()


def test_check_leads_from_every_problem_to_its_field(cast: Cast) -> None:
    page = cast.browser("editor").get(url("check", cast.submission))

    guidance = page.context["guidance"]
    assert guidance.elsewhere == ()
    assert sum(len(place.problems) for place in guidance.places) == len(guidance.judgement.problems)
    linked = reverse("submissions:category", args=[cast.submission.uuid, "schedulingOrchestration"])
    assert f'href="{linked}#gang_scheduling"' in page.content.decode()
    assert f'href="{url("product", cast.submission)}#id_k8sConformanceUrl"' in page.content.decode()


def test_complete_submission_is_submitted_and_has_a_due_date(cast: Cast, ready: Submission) -> None:
    browser = cast.browser("editor")

    response = browser.post(url("submit", ready), follow=True)

    ready.refresh_from_db()
    assert ready.status == Status.SUBMITTED
    page = response.content.decode()
    assert "The reviewers&#x27; turn" in page
    assert f'datetime="{ready.due_on:%Y-%m-%d}"' in page


def test_submitting_twice_says_so(cast: Cast, ready: Submission) -> None:
    browser = cast.browser("editor")
    browser.post(url("submit", ready))

    response = browser.post(url("submit", ready), follow=True)

    assert "cannot be changed" in response.content.decode()


def test_reviewers_reasons_are_shown_and_their_names_are_not(cast: Cast, ready: Submission) -> None:
    lifecycle.submit(submission=ready, actor=cast.owner)
    ready.refresh_from_db()
    reviewer = UserFactory(name="Rita Reviewer", reviewer=True)
    lifecycle.start_review(submission=ready, actor=reviewer)
    ready.refresh_from_db()
    lifecycle.request_changes(submission=ready, actor=reviewer, reason="Explain the webhook.")

    page = cast.browser("viewer").get(url("detail", ready)).content.decode()

    assert "What the reviewers ask for" in page
    assert "Explain the webhook." in page
    assert "Accreditation group" in page
    assert "Rita" not in page


@pytest.mark.parametrize(
    ("status", "changes", "who"),
    [
        (Status.DRAFT, {}, "Your turn"),
        (Status.SUBMITTED, {}, "The reviewers' turn"),
        (Status.IN_REVIEW, {}, "The reviewers' turn"),
        (Status.CHANGES_REQUESTED, {}, "Your turn"),
        (Status.APPROVED, {"release_on": date(2027, 1, 2)}, "Nobody's turn"),
        (Status.APPROVED, {"certificate_number": "AIK-2026-0001"}, "Nobody's turn"),
        (Status.REJECTED, {}, "Nobody's turn"),
        (Status.WITHDRAWN, {}, "Nobody's turn"),
    ],
)
def test_every_state_has_a_turn_and_a_page(
    cast: Cast, status: Status, changes: dict[str, object], who: str
) -> None:
    submission = SubmissionFactory(platform=cast.submission.platform, status=status, **changes)

    response = cast.browser("editor").get(url("detail", submission))

    assert response.status_code == 200
    assert response.context["turn"].who == who


def test_overdue_answer_is_said_to_be_late(cast: Cast) -> None:
    submission = SubmissionFactory(platform=cast.submission.platform, status=Status.SUBMITTED)
    submission.due_on = date(2026, 5, 4)

    assert not turn_of(submission, date(2026, 5, 4)).is_late
    assert turn_of(submission, date(2026, 5, 5)).is_late


def test_release_date_is_set_and_removed(cast: Cast) -> None:
    browser = cast.browser("editor")
    day = timezone.now().date() + timedelta(days=30)

    browser.post(url("release", cast.submission), {"release_on": day.isoformat()})
    cast.submission.refresh_from_db()
    set_to = cast.submission.release_on
    browser.post(url("release", cast.submission), {"release_on": ""})
    cast.submission.refresh_from_db()

    assert set_to == day
    assert cast.submission.release_on is None


def test_malformed_release_date_is_refused_on_the_page(cast: Cast) -> None:
    response = cast.browser("editor").post(url("release", cast.submission), {"release_on": "soon"})

    assert response.status_code == 422
    assert 'value="soon"' in response.content.decode()


def test_withdrawing_asks_first(cast: Cast) -> None:
    browser = cast.browser("editor")

    asked = browser.get(url("withdraw", cast.submission))
    cast.submission.refresh_from_db()
    before = cast.submission.status
    browser.post(url("withdraw", cast.submission), {"reason": "A newer version comes.", "confirm": "1"})

    cast.submission.refresh_from_db()
    assert asked.status_code == 200
    assert before == Status.DRAFT
    assert cast.submission.status == Status.WITHDRAWN
    assert cast.submission.events.get(action=Action.WITHDRAW).reason == "A newer version comes."


def test_embargoed_approval_names_its_day_and_links_no_certificate(cast: Cast) -> None:
    submission = SubmissionFactory(
        platform=cast.submission.platform, status=Status.APPROVED, release_on=date(2027, 3, 1)
    )

    page = cast.browser("viewer").get(url("detail", submission)).content.decode()

    assert "published on 1 March 2027" in page
    assert "/certified/AIK" not in page


def test_certificate_is_linked_once_issued(cast: Cast) -> None:
    submission = SubmissionFactory(
        platform=cast.submission.platform, status=Status.APPROVED, certificate_number="AIK-2026-0042"
    )

    page = cast.browser("viewer").get(url("detail", submission)).content.decode()

    assert f'href="{reverse("registry:certificate", args=["AIK-2026-0042"])}"' in page


def test_waiver_and_its_decision_are_shown(cast: Cast, ready: Submission) -> None:
    drafting.save_claim(
        submission=ready,
        actor=cast.owner,
        requirement_id="cluster_autoscaling",
        values={
            "status": "N/A",
            "evidence": [],
            "notes": "Fixed hardware, there are no node groups to scale.",
        },
    )
    lifecycle.submit(submission=ready, actor=cast.owner)

    page = cast.browser("viewer").get(url("detail", ready)).content.decode()

    assert "Waivers" in page
    assert "Cluster autoscaling for accelerators" in page
    assert "Pending" in page
