"""The review pages at work: filters, decisions, waivers, runs, interests, certificates, people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from certportal.accounts.models import ReviewRole, User
from registry.models import Certificate, CertificateEvent
from submissions.models import (
    ConflictOfInterest,
    Event,
    Membership,
    MembershipRole,
    Submission,
    VerificationRun,
    Waiver,
)
from submissions.services import conflicts, lifecycle, organizations
from submissions.states import RunStatus, Status
from tests.submissions.factories import (
    PlatformFactory,
    RunFactory,
    SubmissionFactory,
    TestClusterFactory,
    UserFactory,
    owner_of,
)
from tests.submissions.reviewing import (
    certified,
    handed_in,
    in_review,
    lead,
    operator,
    ready_to_approve,
    reviewer,
    verified,
    waiver_asked,
)

pytestmark = pytest.mark.django_db
TYPED = "What I typed, all of it."


@pytest.fixture(autouse=True)
def _without_second_factor(settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = False


@pytest.fixture
def ada(client: Client) -> User:
    """A reviewer, who is logged in."""
    user = reviewer(name="Ada")
    client.force_login(user)
    return user


def address(name: str, submission: Submission, *args: Any) -> str:
    return reverse(f"admin:review_{name}" if name else "admin:review", args=[submission.uuid, *args])


def page(client: Client, submission: Submission) -> str:
    response = client.get(address("", submission))
    assert response.status_code == 200
    return response.content.decode()


# The queue ------------------------------------------------------------------------------------------------


def listed(client: Client, **query: str) -> list[Submission]:
    response = client.get(reverse("admin:review_queue"), query)
    assert response.status_code == 200
    return [entry.submission for entry in response.context["entries"]]


@pytest.mark.usefixtures("ada")
def test_queue_lists_what_is_due_first(client: Client) -> None:
    later, sooner = handed_in(), in_review()
    Submission.objects.filter(pk=sooner.pk).update(due_on=timezone.now().date() - timedelta(days=7))

    assert listed(client) == [sooner, later]
    assert listed(client, sort="newest")[0] == sooner
    assert listed(client, show="overdue") == [sooner]
    content = client.get(reverse("admin:review_queue")).content.decode()
    assert "Overdue by 5 business days" in content
    assert "1 submission is overdue." in content


@pytest.mark.usefixtures("ada")
def test_queue_tabs(client: Client) -> None:
    SubmissionFactory()
    submitted, changes, rejected = handed_in(), in_review(), in_review()
    lifecycle.request_changes(submission=changes, actor=reviewer(), reason="why")
    lifecycle.reject(submission=rejected, actor=reviewer(), reason="why")
    withdrawn = handed_in()
    lifecycle.withdraw(submission=withdrawn, actor=owner_of(withdrawn.organization))

    assert listed(client) == listed(client, tab="nonsense") == [submitted]
    assert listed(client, tab="changes") == [changes]
    assert set(listed(client, tab="decided")) == {rejected, withdrawn}


def test_queue_filters(client: Client, ada: User) -> None:
    mine = ready_to_approve()
    lifecycle.approve(submission=mine, actor=ada)
    interest = handed_in(platform=PlatformFactory(name="Northern Engine"), version="1.34")
    conflicts.declare_conflict(reviewer=ada, organization=interest.organization, note="x", actor=ada)
    free = handed_in()

    assert listed(client, show="open") == [free]
    assert listed(client, q="northern engine") == [interest]
    assert listed(client, q=interest.organization.name) == [interest]
    assert listed(client, checklist="1.34") == [interest]
    assert len(listed(client, checklist="9.99", sort="nonsense")) == 3
    assert b"You have an interest" in client.get(reverse("admin:review_queue")).content
    assert b"Nothing fits these filters" in client.get(reverse("admin:review_queue"), {"q": "nix"}).content


# Decisions ------------------------------------------------------------------------------------------------


def test_begin_the_review(client: Client, ada: User) -> None:
    submission = handed_in()
    assert "Begin the review" in page(client, submission)

    response = client.post(address("start", submission))

    assert response.url == address("", submission)
    submission.refresh_from_db()
    assert submission.status == Status.IN_REVIEW
    assert submission.events.latest("pk").actor == ada
    again = client.post(address("start", submission), follow=True)
    assert "cannot be changed by" in again.content.decode()


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("action", "status"),
    [("request_changes", Status.CHANGES_REQUESTED), ("reject", Status.REJECTED)],
)
def test_decide_with_a_reason(client: Client, action: str, status: Status) -> None:
    submission = in_review()

    response = client.post(address("decide", submission), {"action": action, "reason": TYPED, "round": 1})

    assert response.url == address("", submission)
    submission.refresh_from_db()
    assert submission.status == status
    assert submission.events.latest("pk").reason == TYPED
    assert TYPED in page(client, submission)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"action": "request_changes", "reason": " ", "round": 1}, "needs a reason"),
        ({"action": "", "reason": TYPED, "round": 1}, "Choose a decision."),
        ({"action": "withdraw", "reason": TYPED, "round": 1}, "not one of the available choices"),
        ({"action": "reject", "reason": TYPED, "round": 2}, "Someone else changed this submission"),
        ({"action": "approve", "reason": TYPED, "round": 1}, "No verification run has finished"),
    ],
    ids=["no reason", "no action", "not theirs", "another round", "obstacles"],
)
def test_decide_refused_keeps_what_was_typed(client: Client, data: dict[str, Any], words: str) -> None:
    submission = in_review()

    response = client.post(address("decide", submission), data)

    assert response.status_code == 422
    content = response.content.decode()
    assert words in content
    assert f"{data['reason'].strip()}</textarea>" in content
    submission.refresh_from_db()
    assert submission.status == Status.IN_REVIEW


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("what", ["decision", "waiver"])
def test_what_was_typed_survives_somebody_elses_decision(client: Client, what: str) -> None:
    submission = in_review(waiver_asked())
    lifecycle.request_changes(submission=submission, actor=reviewer(), reason="why")
    name = "cluster_autoscaling"

    if what == "decision":
        data = {"action": "reject", "reason": TYPED, "round": 1}
        response = client.post(address("decide", submission), data)
    else:
        data = {f"{name}-decision": "accept", f"{name}-reason": TYPED, f"{name}-round": 1}
        response = client.post(address("waiver", submission, name), data)

    assert response.status_code == 422
    assert f"readonly>{TYPED}</textarea>" in response.content.decode()
    assert 'role="alert"><p>' in response.content.decode()


def test_approve_by_two(client: Client, ada: User) -> None:
    submission = ready_to_approve()
    data = {"action": "approve", "reason": "Seen.", "round": 1}

    first = client.post(address("decide", submission), data, follow=True).content.decode()
    again = client.post(address("decide", submission), data).content.decode()
    client.force_login(reviewer())
    before = page(client, submission)
    second = client.post(address("decide", submission), data, follow=True).content.decode()

    assert "Another reviewer&#x27;s approval decides." in first
    assert "You approved this round." in first
    assert "You approved this submission already" in again
    assert "Approvals: 1 of 2" in before
    assert str(ada) in before
    number = Certificate.objects.get().number
    assert f"certificate {number} was issued" in second


def test_approve_under_embargo_says_when_it_is_public(client: Client, settings: Any, ada: User) -> None:
    settings.APPROVALS_NEEDED = 1
    submission = ready_to_approve()
    release_on = timezone.now().date() + timedelta(days=40)
    Submission.objects.filter(pk=submission.pk).update(release_on=release_on)

    told = client.post(address("decide", submission), {"action": "approve", "round": 1}, follow=True)

    assert f"issued on the release date, {release_on:%-d %B %Y}" in told.content.decode()
    assert Certificate.objects.count() == 0
    assert submission.organization.name.encode() not in Client().get(reverse("registry:list")).content


@pytest.mark.usefixtures("ada")
def test_obstacles_are_named_before_trying(client: Client) -> None:
    submission = waiver_asked()
    verified(submission, gang_scheduling="fail")

    content = page(client, in_review(submission))

    assert "It cannot be approved yet" in content
    assert "cluster_autoscaling: the waiver is not decided yet." in content
    assert "gang_scheduling: the run saw the platform fail it." in content


def test_who_has_an_interest_is_told_so_and_has_no_buttons(client: Client, ada: User) -> None:
    submission = in_review(waiver_asked())
    TestClusterFactory(organization=submission.organization)
    conflicts.declare_conflict(
        reviewer=ada, organization=submission.organization, note="I advise them.", actor=ada
    )

    content = page(client, submission)

    assert "You must not decide on this submission" in content
    assert "I advise them." in content
    main = content.partition("<main")[2]
    assert "<form" not in main
    refused = client.post(address("decide", submission), {"action": "reject", "reason": TYPED, "round": 1})
    assert refused.status_code == 422
    assert "You must not decide on its submissions." in refused.content.decode()


def test_operators_read_and_decide_nothing(client: Client) -> None:
    client.force_login(operator())
    submission = in_review()

    content = page(client, submission)

    assert "Reading only" in content
    assert "<form" not in content.partition("<main")[2]
    refused = client.post(address("decide", submission), {"action": "reject", "reason": TYPED, "round": 1})
    assert "Only reviewers of the accreditation group decide." in refused.content.decode()


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("name", ["start", "decide", "verify", "conflict"])
def test_address_of_an_action_leads_to_the_page(client: Client, name: str) -> None:
    submission = handed_in()

    response = client.get(address(name, submission))

    assert (response.status_code, response.url) == (302, address("", submission))


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("status", list(Status))
def test_page_in_every_state(client: Client, status: Status) -> None:
    submission = SubmissionFactory(status=status, complete=True)
    if status == Status.DRAFT:
        assert client.get(address("", submission)).status_code == 404
        return

    content = page(client, submission)

    assert ("Record the decision" in content) is (status == Status.IN_REVIEW)
    assert ("Begin the review" in content) is (status == Status.SUBMITTED)


# Waivers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decision", "stored"), [("accept", "accepted"), ("refuse", "refused")])
def test_waiver_decided(client: Client, ada: User, decision: str, stored: str) -> None:
    submission = in_review(waiver_asked())
    expires_on = timezone.now().date() + timedelta(days=90)
    name = "cluster_autoscaling"

    response = client.post(
        address("waiver", submission, name),
        {
            f"{name}-decision": decision,
            f"{name}-reason": TYPED,
            f"{name}-expires_on": expires_on.isoformat(),
            f"{name}-round": 1,
        },
    )

    assert response.url == address("", submission)
    waiver = Waiver.objects.get()
    assert (waiver.decision, waiver.reason, waiver.decided_by) == (stored, TYPED, ada)
    assert waiver.expires_on == (expires_on if decision == "accept" else None)
    assert f"Waiver {stored}" in page(client, submission)


@pytest.mark.usefixtures("ada")
def test_waiver_form_proposes_a_year(client: Client) -> None:
    submission = in_review(waiver_asked())
    today = timezone.now().date()

    form = client.get(address("", submission)).context["waiver_forms"]["cluster_autoscaling"]

    assert form["expires_on"].value() == lifecycle.registry.one_year_after(today)


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"decision": "accept", "reason": "", "round": 1}, "Say why"),
        ({"decision": "", "reason": TYPED, "round": 1}, "Choose: accept or refuse."),
        ({"decision": "accept", "reason": TYPED, "expires_on": "2020-01-01", "round": 1}, "expired already"),
        ({"decision": "accept", "reason": TYPED, "expires_on": "soon", "round": 1}, "Enter a valid date."),
        ({"decision": "accept", "reason": TYPED, "round": 7}, "Someone else changed"),
    ],
    ids=["no reason", "no decision", "past", "no date", "another round"],
)
def test_waiver_refused_keeps_what_was_typed(client: Client, data: dict[str, Any], words: str) -> None:
    submission = in_review(waiver_asked())
    name = "cluster_autoscaling"

    response = client.post(
        address("waiver", submission, name), {f"{name}-{key}": value for key, value in data.items()}
    )

    assert response.status_code == 422
    assert words in response.content.decode()
    assert f"{data['reason']}</textarea>" in response.content.decode()
    assert Waiver.objects.get().decision == Waiver.Decision.PENDING


@pytest.mark.usefixtures("ada")
def test_waiver_of_a_requirement_without_one(client: Client) -> None:
    submission = in_review()

    assert client.post(address("waiver", submission, "gang_scheduling")).status_code == 404


# Runs -----------------------------------------------------------------------------------------------------


def test_reviewer_asks_for_a_run(client: Client, ada: User) -> None:
    submission = in_review()
    cluster = TestClusterFactory(organization=submission.organization)

    response = client.post(address("verify", submission), {"cluster": cluster.pk})

    run = VerificationRun.objects.get()
    assert response.url == reverse("admin:review_run", args=[run.uuid])
    assert (run.requested_by, run.status, run.submission) == (ada, RunStatus.QUEUED, submission)
    content = page(client, submission)
    assert f'hx-get="{reverse("admin:review_run_live", args=[run.uuid])}"' in content
    assert "Run the checks again" not in content


@pytest.mark.usefixtures("ada")
def test_run_on_a_strangers_cluster_is_refused(client: Client) -> None:
    submission = in_review()
    stranger = TestClusterFactory()

    response = client.post(address("verify", submission), {"cluster": stranger.pk}, follow=True)

    assert "Choose one of the vendor&#x27;s test clusters." in response.content.decode()
    assert not VerificationRun.objects.exists()


@pytest.mark.usefixtures("ada")
def test_run_on_a_busy_cluster_is_refused(client: Client) -> None:
    submission = in_review()
    run = RunFactory(submission=submission, status=RunStatus.RUNNING)

    response = client.post(address("verify", submission), {"cluster": run.cluster.pk}, follow=True)

    assert "Another run is using" in response.content.decode()


@pytest.mark.usefixtures("ada")
def test_run_page_asks_for_itself_while_the_run_is_active(client: Client) -> None:
    run = RunFactory(submission=in_review(), status=RunStatus.RUNNING)
    where = reverse("admin:review_run", args=[run.uuid])

    whole = client.get(where).content.decode()
    fragment = client.get(where, headers={"HX-Request": "true"}).content.decode()
    live = client.get(
        reverse("admin:review_run_live", args=[run.uuid]), headers={"HX-Request": "true"}
    ).content.decode()

    for content in (whole, fragment):
        assert f'hx-get="{where}"' in content
        assert "Cancel the run" in content
    assert "<html" in whole
    assert "<html" not in fragment + live
    assert "<progress" in live

    VerificationRun.objects.filter(pk=run.pk).update(
        status=RunStatus.FINISHED, outcome="incomplete", finished_at=timezone.now()
    )
    assert "hx-get" not in client.get(where, headers={"HX-Request": "true"}).content.decode()


@pytest.mark.usefixtures("ada")
def test_run_is_cancelled(client: Client) -> None:
    run = RunFactory(submission=in_review(), status=RunStatus.QUEUED)
    where = reverse("admin:review_run_cancel", args=[run.uuid])

    client.post(where)

    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED
    assert "cancelled already" in client.post(where, follow=True).content.decode()


# Interests ------------------------------------------------------------------------------------------------


def test_reviewer_declares_an_interest_on_the_page(client: Client, ada: User) -> None:
    submission = in_review()

    empty = client.post(address("conflict", submission), {"note": ""})
    client.post(address("conflict", submission), {"note": "I advise them."})

    assert empty.status_code == 422
    conflict = ConflictOfInterest.objects.get()
    assert (conflict.reviewer, conflict.organization) == (ada, submission.organization)
    assert "You must not decide" in page(client, submission)


ADD = "admin:submissions_conflictofinterest_add"


def test_reviewer_declares_only_their_own_in_the_register(client: Client, ada: User) -> None:
    organization, other = handed_in().organization, reviewer()
    data = {"organization": organization.pk, "note": "Mine.", "reviewer": other.pk}

    client.post(reverse(ADD), data)
    again = client.post(reverse(ADD), data)

    assert list(ConflictOfInterest.objects.values_list("reviewer", flat=True)) == [ada.pk]
    assert "on record already" in again.content.decode()


def test_lead_reviewer_manages_the_interests_of_others(client: Client) -> None:
    user, other, organization = lead(), reviewer(), handed_in().organization
    client.force_login(user)

    client.post(reverse(ADD), {"organization": organization.pk, "note": "Known.", "reviewer": other.pk})
    conflict = ConflictOfInterest.objects.get(reviewer=other)
    where = reverse("admin:review_lift_conflict", args=[conflict.pk])
    assert (
        "Lift it"
        in client.get(
            reverse("admin:submissions_conflictofinterest_change", args=[conflict.pk])
        ).content.decode()
    )
    assert client.post(where, {"reason": ""}).status_code == 422
    client.post(where, {"reason": "They left."})

    assert not ConflictOfInterest.objects.exists()
    assert Event.objects.get(action="conflict_lifted").actor == user


def test_reviewer_sees_and_lifts_no_interest_of_others(client: Client, ada: User) -> None:
    other, organization = reviewer(), handed_in().organization
    conflict = conflicts.declare_conflict(reviewer=other, organization=organization, note="x", actor=other)

    assert (
        client.get(reverse("admin:submissions_conflictofinterest_change", args=[conflict.pk])).status_code
        == 302
    )
    assert client.post(reverse("admin:review_lift_conflict", args=[conflict.pk])).status_code == 403


# Certificates ---------------------------------------------------------------------------------------------


def change_of(certificate: Certificate, action: str) -> str:
    return reverse("admin:review_certificate", args=[certificate.number, action])


def test_lead_reviewer_suspends_reinstates_and_revokes(
    client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    submission = certified()
    certificate = Certificate.objects.get()
    user = lead()
    client.force_login(user)

    for action, status in [("suspend", "suspended"), ("reinstate", "active"), ("revoke", "revoked")]:
        mail.outbox.clear()
        assert client.post(change_of(certificate, action), {"reason": " "}).status_code == 422
        with django_capture_on_commit_callbacks(execute=True):
            client.post(change_of(certificate, action), {"reason": f"Because: {action}."})
        certificate.refresh_from_db()
        assert certificate.status == status
        assert mail.outbox[0].to == [owner_of(submission.organization).email]
        assert f"Because: {action}." in mail.outbox[0].body

    assert list(certificate.history.values_list("kind", flat=True)) == [
        "issued",
        "suspended",
        "reinstated",
        "revoked",
    ]
    actors = Event.objects.filter(action__startswith="certificate_", actor=user)
    assert list(actors.values_list("action", flat=True)) == [
        "certificate_suspended",
        "certificate_reinstated",
        "certificate_revoked",
    ]
    ended = client.post(change_of(certificate, "suspend"), {"reason": "x"})
    assert ended.status_code == 422
    assert "it cannot be suspended" in ended.content.decode()


@pytest.mark.parametrize("make", [reviewer, operator], ids=["reviewer", "operator"])
def test_certificates_are_changed_by_lead_reviewers_only(client: Client, make: Any) -> None:
    certified()
    certificate = Certificate.objects.get()
    client.force_login(make())

    assert client.post(change_of(certificate, "revoke"), {"reason": "x"}).status_code == 403
    page = client.get(reverse("admin:registry_certificate_change", args=[certificate.pk])).content.decode()
    assert "Revoke" not in page
    assert CertificateEvent.objects.count() == 1


def test_certificate_of_a_vendor_one_has_an_interest_in(client: Client) -> None:
    submission = certified()
    user = lead()
    client.force_login(user)
    conflicts.declare_conflict(reviewer=user, organization=submission.organization, note="Mine.", actor=user)

    response = client.post(change_of(Certificate.objects.get(), "revoke"), {"reason": "x"})

    assert "You must not decide on its certificates." in response.content.decode()
    assert Certificate.objects.get().status == "active"


# People ---------------------------------------------------------------------------------------------------


def rights(user: User, **changes: Any) -> dict[str, Any]:
    data = {"name": user.name, "review_role": user.review_role, "is_active": "on"} | changes
    return {key: value for key, value in data.items() if value is not None}


def test_operator_makes_a_reviewer_and_the_log_has_it(client: Client) -> None:
    user = operator()
    client.force_login(user)
    person = UserFactory()

    client.post(
        reverse("admin:accounts_user_change", args=[person.pk]), rights(person, review_role="reviewer")
    )

    person.refresh_from_db()
    assert person.review_role == ReviewRole.REVIEWER
    event = Event.objects.get(action="rights_changed")
    assert (event.actor, event.data) == (user, {"user": person.pk, "review_role": "reviewer"})


def test_operator_cannot_make_operators_nor_change_their_own_rights(client: Client) -> None:
    user = operator()
    client.force_login(user)
    person = UserFactory()
    grab = {"is_staff": "on", "is_superuser": "on", "email": "grabbed@example.org"}

    client.post(reverse("admin:accounts_user_change", args=[person.pk]), rights(person, **grab))
    client.post(reverse("admin:accounts_user_change", args=[user.pk]), rights(user, review_role="reviewer"))

    person.refresh_from_db()
    user.refresh_from_db()
    assert (person.is_staff, person.is_superuser) == (False, False)
    assert person.email != "grabbed@example.org"
    assert user.review_role == ReviewRole.NONE


def test_operator_adds_a_person_who_sets_their_own_password(client: Client) -> None:
    client.force_login(operator())

    client.post(
        reverse("admin:accounts_user_add"),
        {"email": "Grace@Example.org", "name": "Grace", "review_role": "reviewer", "is_active": "on"},
    )

    person = User.objects.get(name="Grace")
    assert (person.email, person.has_usable_password()) == ("grace@example.org", False)
    again = client.post(reverse("admin:accounts_user_add"), {"email": "GRACE@example.org", "is_active": "on"})
    assert "an account with this address already" in again.content.decode()


def test_operator_hands_an_organization_over(client: Client) -> None:
    client.force_login(operator())
    organization = PlatformFactory().organization
    only = organization.memberships.get()
    heir = UserFactory()

    refused = client.post(
        reverse("admin:submissions_membership_change", args=[only.pk]), {"role": MembershipRole.VIEWER}
    )
    client.post(
        reverse("admin:submissions_membership_add"),
        {"organization": organization.pk, "user": heir.pk, "role": MembershipRole.OWNER},
    )
    client.post(
        reverse("admin:submissions_membership_change", args=[only.pk]), {"role": MembershipRole.VIEWER}
    )

    assert "make someone else owner first" in refused.content.decode()
    roles = dict(Membership.objects.filter(organization=organization).values_list("user", "role"))
    assert roles == {heir.pk: MembershipRole.OWNER, only.user_id: MembershipRole.VIEWER}
    assert Event.objects.filter(action__in=["member_added", "member_role_changed"]).count() == 2


def test_operator_revokes_tokens(client: Client) -> None:
    client.force_login(operator())
    organization = PlatformFactory().organization
    token, _ = organizations.create_token(
        organization=organization, actor=owner_of(organization), name="ci", scope="write"
    )

    client.post(
        reverse("admin:submissions_apitoken_changelist"),
        {"action": "revoke", "_selected_action": [token.pk]},
    )

    token.refresh_from_db()
    assert token.revoked_at is not None
    assert Event.objects.filter(action="token_revoked").count() == 1


def test_superuser_removes_the_factor_of_a_lost_device(client: Client) -> None:
    user, other = UserFactory(is_staff=True, is_superuser=True), reviewer()
    factor = Authenticator.objects.create(user=other, type=Authenticator.Type.TOTP, data={})
    where = reverse("admin:mfa_authenticator_delete", args=[factor.pk])
    client.force_login(operator())
    assert client.post(where, {"post": "yes"}).status_code == 403
    client.force_login(user)

    client.post(where, {"post": "yes"})

    assert not Authenticator.objects.exists()
    assert Event.objects.get(action="second_factor_removed").data["user"] == other.pk


def test_password_and_sign_out_are_where_everybodys_are(client: Client) -> None:
    client.force_login(operator())

    assert client.get(reverse("admin:password_change")).url == reverse("account_change_password")
    assert client.post(reverse("admin:logout")).url == reverse("account_logout")
