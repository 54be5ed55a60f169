"""Every page of the admin site for every role."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import encrypt
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from certportal.accounts.models import User
from submissions.models import Event, Submission, TestCluster
from submissions.services import conflicts, drafting, lifecycle, organizations
from tests.submissions.factories import SubmissionFactory, UserFactory, member, owner_of
from tests.submissions.reviewing import certified, handed_in, in_review, lead, operator, reviewer, verified

pytestmark = pytest.mark.django_db

ROLES = ("anonymous", "vendor", "reviewer", "reviewer with an interest", "lead reviewer", "operator")
READERS = ROLES[2:]


@pytest.fixture(autouse=True)
def _without_second_factor(settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = False


@pytest.fixture
def submission() -> Submission:
    """A submission in review, with a run, an attached file and a token of its vendor."""
    draft = SubmissionFactory(complete=True)
    owner = owner_of(draft.organization)
    drafting.attach_file(submission=draft, actor=owner, name="results/e2e.log", data=b"<b>ok</b> PASS\n")
    organizations.create_token(organization=draft.organization, actor=owner, name="ci", scope="write")
    submission = lifecycle.submit(submission=draft, actor=owner)
    run = verified(submission)
    run.report = {"schema": "1"}
    run.save()
    return in_review(submission)


def client_of(role: str, submission: Submission) -> Client:
    client = Client()
    if role == "anonymous":
        return client
    user = {
        "vendor": lambda: owner_of(submission.organization),
        "reviewer": reviewer,
        "reviewer with an interest": reviewer,
        "lead reviewer": lead,
        "operator": operator,
    }[role]()
    if role == "reviewer with an interest":
        conflicts.declare_conflict(
            reviewer=user, organization=submission.organization, note="Mine.", actor=user
        )
    client.force_login(user)
    return client


def review_pages(submission: Submission) -> dict[str, str]:
    run = submission.runs.get()
    evidence = run.results.first().evidence.first()
    return {
        "queue": reverse("admin:review_queue"),
        "review": reverse("admin:review", args=[submission.uuid]),
        "run": reverse("admin:review_run", args=[run.uuid]),
        "report": reverse("admin:review_run_report", args=[run.uuid]),
        "evidence": reverse("admin:review_evidence", args=[evidence.pk]),
        "file": reverse("admin:review_file", args=[submission.uuid, submission.files.get().pk]),
        "document": reverse("admin:review_document", args=[submission.uuid]),
        "index": reverse("admin:index"),
    }


QUEUE_QUERIES = 14
ACTIONS = ("start", "decide", "verify", "conflict")
OPERATORS_ONLY = {
    "accounts_user",
    "submissions_membership",
    "submissions_apitoken",
    "mfa_authenticator",
    "account_emailaddress",
    "registry_signingkey",
}


@pytest.mark.parametrize("role", ROLES)
def test_review_pages_for_every_role(role: str, submission: Submission) -> None:
    client = client_of(role, submission)

    for name, address in review_pages(submission).items():
        response = client.get(address)
        if role in READERS:
            assert response.status_code == 200, name
            assert "no-store" in response["Cache-Control"], name
        else:
            assert response.status_code == 302, name
            assert response.url.startswith(reverse("admin:login")), name


@pytest.mark.parametrize("role", ["anonymous", "vendor"])
def test_review_actions_are_closed_to_outsiders(role: str, submission: Submission) -> None:
    client = client_of(role, submission)
    before = Event.objects.count()

    for name in ACTIONS:
        data = {"action": "approve", "round": 1, "note": "x", "reason": "x"}
        response = client.post(reverse(f"admin:review_{name}", args=[submission.uuid]), data)
        assert response.status_code == 302, name
        assert response.url.startswith(reverse("admin:login")), name

    assert Event.objects.count() == before


def test_outsiders_are_sent_where_they_belong(submission: Submission) -> None:
    address = reverse("admin:review", args=[submission.uuid])

    stranger = Client().get(address, follow=True)
    vendor = client_of("vendor", submission).get(address, follow=True)

    assert stranger.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert unquote(stranger.redirect_chain[-1][0]).endswith(f"?next={address}")
    assert vendor.redirect_chain[-1][0] == reverse("home")


def register_pages() -> list[tuple[str, str]]:
    return [(model._meta.label_lower.replace(".", "_"), model._meta.label) for model in admin.site._registry]


@pytest.mark.parametrize("role", ROLES)
def test_registers_for_every_role(role: str, submission: Submission) -> None:
    certified()
    client = client_of(role, submission)

    for name, _ in register_pages():
        response = client.get(reverse(f"admin:{name}_changelist"))
        if role not in READERS:
            assert response.status_code == 302, name
        elif name in OPERATORS_ONLY and role != "operator":
            assert response.status_code == 403, name
        else:
            assert response.status_code == 200, name


@pytest.mark.parametrize("role", ["reviewer", "lead reviewer", "operator"])
def test_records_for_every_reader(role: str, submission: Submission) -> None:
    certified()
    client = client_of(role, submission)

    for model, model_admin in admin.site._registry.items():
        name = model._meta.label_lower.replace(".", "_")
        if name in OPERATORS_ONLY and role != "operator":
            continue
        record = model._default_manager.first()
        if record is None:
            assert name in {"mfa_authenticator", "registry_signingkey", "submissions_conflictofinterest"}
            continue
        response = client.get(reverse(f"admin:{name}_change", args=[record.pk]))
        assert response.status_code == 200, name
        changeable = name in {"accounts_user", "submissions_membership"}
        if not changeable:
            assert b'name="_save"' not in response.content, name
            posted = client.post(reverse(f"admin:{name}_change", args=[record.pk]), {"name": "x"})
            assert posted.status_code == 403, name
        assert client.post(reverse(f"admin:{name}_delete", args=[record.pk])).status_code == 403, name
        assert model_admin.actions in (None, ("revoke",)), name


def test_registers_that_others_bring_are_ours_or_gone() -> None:
    modules = {model._meta.label: type(found).__module__ for model, found in admin.site._registry.items()}

    assert "auth.Group" not in modules
    assert modules["mfa.Authenticator"] == "certportal.accounts.admin"
    assert modules["account.EmailAddress"] == "certportal.accounts.admin"
    assert {name.split(".")[0] for name in modules.values()} <= {"certportal", "submissions", "registry"}


# What never shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", READERS)
def test_drafts_are_shown_to_nobody(role: str, submission: Submission) -> None:
    draft = SubmissionFactory(complete=True, platform__name="Unborn Engine")
    client = client_of(role, submission)

    assert client.get(reverse("admin:review", args=[draft.uuid])).status_code == 404
    assert client.get(reverse("admin:review_document", args=[draft.uuid])).status_code == 404
    change = client.get(reverse("admin:submissions_submission_change", args=[draft.pk]))
    assert change.status_code == 302
    for name in ("review_queue", "submissions_submission_changelist", "submissions_event_changelist"):
        assert b"Unborn Engine" not in client.get(reverse(f"admin:{name}")).content, name


def test_kubeconfig_is_shown_to_nobody(submission: Submission) -> None:
    cluster = submission.runs.get().cluster
    secret = bytes(TestCluster.objects.get(pk=cluster.pk).kubeconfig_encrypted)
    client = client_of("operator", submission)

    page = client.get(reverse("admin:submissions_testcluster_change", args=[cluster.pk])).content

    assert cluster.server.encode() in page
    assert secret not in page
    assert b"abc123def456" not in page
    assert b"kubeconfig_encrypted" not in page


def test_token_is_shown_to_nobody(submission: Submission) -> None:
    token = submission.organization.tokens.get()
    client = client_of("operator", submission)

    page = client.get(reverse("admin:submissions_apitoken_change", args=[token.pk])).content.decode()

    assert token.hint in page
    assert token.token_hash not in page


def test_second_factor_shows_no_secret(submission: Submission) -> None:
    user = reviewer()
    factor = Authenticator.objects.create(
        user=user, type=Authenticator.Type.TOTP, data={"secret": "SEED-OF-THE-FACTOR"}
    )
    client = client_of("operator", submission)

    page = client.get(reverse("admin:mfa_authenticator_change", args=[factor.pk])).content

    assert b"SEED-OF-THE-FACTOR" not in page


def test_what_vendors_write_is_text(submission: Submission) -> None:
    claim = submission.claims.first()
    claim.notes, claim.evidence = "<script>alert(1)</script>", ["javascript:alert(1)", "https://a.example/"]
    claim.save()
    client = client_of("reviewer", submission)

    page = client.get(reverse("admin:review", args=[submission.uuid])).content.decode()

    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'href="javascript:' not in page
    (link,) = re.findall(r'<a [^>]*href="https://a\.example/"[^>]*>', page)
    assert 'rel="nofollow noopener' in link


@pytest.mark.parametrize("name", ["evidence", "file"])
def test_evidence_is_shown_as_text_and_downloaded_as_nothing_that_runs(
    name: str, submission: Submission
) -> None:
    client = client_of("reviewer", submission)
    address = review_pages(submission)[name]

    page = client.get(address).content.decode()
    download = client.get(f"{address}?download")

    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert download["Content-Type"] == "application/octet-stream"
    assert download["Content-Disposition"].startswith("attachment")
    assert "sandbox" in download["Content-Security-Policy"]
    assert b"<b>" in b"".join(download)


def test_policy_allows_nothing_inline(submission: Submission) -> None:
    certified()
    client = client_of("operator", submission)
    addresses = [*review_pages(submission).values(), reverse("admin:accounts_user_add")]
    addresses += [reverse(f"admin:{name}_changelist") for name, _ in register_pages()]

    for address in addresses:
        response = client.get(address)
        if not response["Content-Type"].startswith("text/html"):
            continue
        policy = response["Content-Security-Policy"]
        assert "script-src 'self'" in policy, address
        assert "unsafe-inline" not in policy, address
        page = response.content.decode()
        assert " style=" not in page, address
        assert " onclick=" not in page, address
        assert "<style" not in page, address


# The second factor ------------------------------------------------------------------------------------------


@pytest.fixture
def _second_factor_needed(settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = True


def factor(user: User, kind: str) -> None:
    data = {"seed": encrypt("0" * 80), "used_mask": 0} if kind == "recovery_codes" else {}
    Authenticator.objects.create(user=user, type=kind, data=data)


@pytest.mark.usefixtures("_second_factor_needed")
@pytest.mark.parametrize("make", [reviewer, lead, operator], ids=["reviewer", "lead", "operator"])
@pytest.mark.parametrize("kinds", [(), ("recovery_codes",)], ids=["nothing", "recovery codes"])
def test_reviewing_needs_a_second_factor(make: Any, kinds: tuple[str, ...], client: Client) -> None:
    user = make()
    for kind in kinds:
        factor(user, kind)
    client.force_login(user)

    response = client.get(reverse("admin:review_queue"), follow=True)

    addresses = [address for address, _ in response.redirect_chain]
    assert reverse("mfa_index") in addresses
    assert client.post(reverse("admin:review_start", args=[handed_in().uuid])).status_code == 302


@pytest.mark.usefixtures("_second_factor_needed")
@pytest.mark.parametrize("kind", [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])
def test_reviewing_with_a_second_factor(kind: str, client: Client) -> None:
    user = reviewer()
    factor(user, kind)
    client.force_login(user)

    assert client.get(reverse("admin:review_queue")).status_code == 200


def test_embedded_demo_says_that_no_second_factor_is_needed(settings: Any, client: Client) -> None:
    settings.EMBEDDED = True
    client.force_login(reviewer())

    assert b"Reviewers need no second factor here." in client.get(reverse("admin:review_queue")).content


def test_fragment_without_log_in_loads_the_whole_page_again(submission: Submission) -> None:
    address = reverse("admin:review_run", args=[submission.runs.get().uuid])

    response = Client().get(address, headers={"HX-Request": "true"})

    assert (response.status_code, response["HX-Refresh"]) == (204, "true")


# Queries ----------------------------------------------------------------------------------------------------


def test_queue_asks_the_same_number_of_queries_for_one_and_three(
    client: Client, django_assert_num_queries: Any
) -> None:
    client.force_login(reviewer())
    address = reverse("admin:review_queue")
    verified(in_review())
    client.get(address)

    with django_assert_num_queries(QUEUE_QUERIES):
        assert len(client.get(address).context["entries"]) == 1
    for _ in range(2):
        verified(in_review())
    with django_assert_num_queries(QUEUE_QUERIES):
        assert len(client.get(address).context["entries"]) == 3


@pytest.mark.parametrize(
    "name",
    [
        "submissions_submission",
        "submissions_verificationrun",
        "submissions_event",
        "submissions_organization",
        "submissions_testcluster",
        "submissions_membership",
        "submissions_apitoken",
        "submissions_conflictofinterest",
        "registry_certificate",
        "registry_checklist",
        "accounts_user",
    ],
)
def test_registers_ask_the_same_number_of_queries(
    name: str, client: Client, django_assert_max_num_queries: Any, django_assert_num_queries: Any
) -> None:
    client.force_login(operator())
    address = reverse(f"admin:{name}_changelist")

    def add() -> None:
        made = certified()
        member(made.organization)
        actor = reviewer()
        conflicts.declare_conflict(reviewer=actor, organization=made.organization, note="x", actor=actor)
        organizations.create_token(
            organization=made.organization, actor=owner_of(made.organization), name="ci", scope="read"
        )

    add()
    client.get(address)
    with django_assert_max_num_queries(12) as counted:
        client.get(address)
    add()
    add()
    with django_assert_num_queries(len(counted.captured_queries)):
        client.get(address)


def test_users_of_vendors_are_no_reviewers(client: Client) -> None:
    client.force_login(UserFactory())

    assert client.get(reverse("admin:index")).status_code == 302
