"""Every page for every role."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from submissions.models import EvidenceFile
from submissions.services import drafting, organizations
from submissions.urls import urlpatterns
from tests.submissions.cast import INSIDERS, Cast
from tests.submissions.factories import (
    PlatformFactory,
    RunFactory,
    SubmissionFactory,
    TestClusterFactory,
    member,
)

EDITORS = ("owner", "editor")

Address = Callable[[Cast], str]


def _organization(name: str) -> Address:
    return lambda cast: reverse(f"submissions:{name}", args=[cast.organization.slug])


def _submission(name: str, *more: str) -> Address:
    return lambda cast: reverse(f"submissions:{name}", args=[cast.submission.uuid, *more])


def _platform(cast: Cast) -> str:
    return reverse("submissions:platform", args=[cast.organization.slug, cast.submission.platform.slug])


def _configuration(cast: Cast) -> str:
    configuration = cast.submission.configuration
    return reverse(
        "submissions:configuration",
        args=[cast.organization.slug, configuration.platform.slug, configuration.pk],
    )


def _cluster(cast: Cast) -> str:
    return reverse("submissions:cluster", args=[cast.cluster.uuid])


def _run(name: str) -> Address:
    return lambda cast: reverse(f"submissions:{name}", args=[cast.run.uuid])


def _piece(name: str) -> Address:
    def address(cast: Cast) -> str:
        piece = cast.run.results.get(requirement_id="gang_scheduling").evidence.get()
        return reverse(f"submissions:{name}", args=[cast.run.uuid, piece.pk])

    return address


def _file(cast: Cast) -> str:
    file = EvidenceFile.objects.filter(submission=cast.submission).first() or drafting.attach_file(
        submission=cast.submission, actor=cast.owner, name="results/junit.xml", data=b"<testsuite/>"
    )
    return reverse("submissions:file", args=[cast.submission.uuid, file.pk])


# Pages that every member reads.
READ: dict[str, Address] = {
    "organization": _organization("organization"),
    "members": _organization("members"),
    "tokens": _organization("tokens"),
    "platforms": _organization("platforms"),
    "platform": _platform,
    "clusters": _organization("clusters"),
    "cluster": _cluster,
    "detail": _submission("detail"),
    "product": _submission("product"),
    "category": _submission("category", "schedulingOrchestration"),
    "check": _submission("check"),
    "document": _submission("document"),
    "download": _submission("download"),
    "files": _submission("files"),
    "file": _file,
    "runs": _submission("runs"),
    "run": _run("run"),
    "run-evidence": _piece("run-evidence"),
    "run-evidence-download": _piece("run-evidence-download"),
    "report-keys": _organization("report-keys"),
}
# Pages that are there to change something.
WRITE: dict[str, Address] = {
    "platform-create": _organization("platform-create"),
    "configuration": _configuration,
    "cluster-register": _organization("cluster-register"),
    "submission-create": _organization("submission-create"),
    "document-create": _organization("document-create"),
    "withdraw": _submission("withdraw"),
}
# Addresses that only take a POST.
ACT: dict[str, Address] = {
    "submit": _submission("submit"),
    "release": _submission("release"),
    "cluster-forget": lambda cast: reverse("submissions:cluster-forget", args=[cast.cluster.uuid]),
    "run-cancel": _run("run-cancel"),
    "file-remove": lambda cast: f"{_file(cast)}remove/",
}
TESTED_ELSEWHERE = {
    "workspace",
    "invitation",
    "rights",
    "manifest",
    "organization-create",
    "member",
    "token-revoke",
    "run-report",
    "report-key-revoke",
    "report-upload",
    "run-scenario-evidence",
    "run-scenario-evidence-download",
}


def test_every_address_is_in_a_table() -> None:
    names = {pattern.name for pattern in urlpatterns}

    assert names == READ.keys() | WRITE.keys() | ACT.keys() | TESTED_ELSEWHERE


@pytest.mark.parametrize("name", [*READ, *WRITE])
def test_page_sends_nobody_to_log_in(cast: Cast, name: str) -> None:
    address = (READ | WRITE)[name](cast)

    response = cast.browser("nobody").get(address)

    assert response.status_code == 302
    assert response["Location"].startswith(f"{reverse('account_login')}?next=%2Fvendor%2F")


@pytest.mark.parametrize("name", [*READ, *WRITE, *ACT])
def test_address_is_not_there_for_strangers(cast: Cast, name: str) -> None:
    address = (READ | WRITE | ACT)[name](cast)
    browser = cast.browser("stranger")

    response = browser.post(address) if name in ACT else browser.get(address)

    assert response.status_code == 404


@pytest.mark.parametrize("who", INSIDERS)
@pytest.mark.parametrize("name", READ)
def test_page_is_read_by_every_member(cast: Cast, name: str, who: str) -> None:
    response = cast.browser(who).get(READ[name](cast))
    response.close()

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("who", EDITORS)
@pytest.mark.parametrize("name", WRITE)
def test_writing_page_opens_for_editors(cast: Cast, name: str, who: str) -> None:
    assert cast.browser(who).get(WRITE[name](cast)).status_code == 200


@pytest.mark.parametrize("name", WRITE)
def test_writing_page_is_refused_to_viewers(cast: Cast, name: str) -> None:
    assert cast.browser("viewer").get(WRITE[name](cast)).status_code == 403


@pytest.mark.parametrize(
    "name",
    [*WRITE, *ACT, "product", "category", "document", "files", "runs", "cluster", "platform", "members"],
)
def test_post_is_refused_to_viewers(cast: Cast, name: str) -> None:
    address = (READ | WRITE | ACT)[name](cast)

    assert cast.browser("viewer").post(address, {"name": "x"}).status_code == 403


@pytest.mark.parametrize("name", ACT)
def test_action_is_refused_to_get(cast: Cast, name: str) -> None:
    assert cast.browser("owner").get(ACT[name](cast)).status_code == 405


@pytest.mark.parametrize("name", READ)
def test_viewer_is_offered_no_form_but_the_sign_out(cast: Cast, name: str) -> None:
    response = cast.browser("viewer").get(READ[name](cast))
    response.close()
    if not response["Content-Type"].startswith("text/html"):
        return
    actions = [part.split(">", 1)[0] for part in response.content.decode().split("<form ")[1:]]

    # Everybody may make a token that reads, and leave.
    own = {"tokens": 1, "members": 1}.get(name, 0)
    assert len([action for action in actions if reverse("account_logout") not in action]) == own


def test_fragment_sends_the_whole_page_to_log_in(cast: Cast) -> None:
    address = reverse("submissions:run", args=[cast.run.uuid])

    response = cast.browser("nobody").get(
        address, headers={"HX-Request": "true", "HX-Current-URL": f"http://testserver{address}"}
    )

    assert response.status_code == 204
    assert response["HX-Redirect"] == f"{reverse('account_login')}?next={address.replace('/', '%2F')}"


def test_list_of_submissions_has_no_stranger_among_them(cast: Cast) -> None:
    page = cast.browser("stranger").get(reverse("submissions:workspace")).content.decode()

    assert "Engine" not in page
    assert "Northwind" not in page


@pytest.mark.parametrize(
    "name", ["workspace", "organization", "platforms", "clusters", "members", "tokens", "runs"]
)
def test_list_takes_the_same_number_of_queries_whatever_its_length(cast: Cast, name: str) -> None:
    address = reverse("submissions:workspace") if name == "workspace" else READ[name](cast)
    browser = cast.browser("owner")
    organizations.create_token(organization=cast.organization, actor=cast.owner, name="one", scope="read")
    browser.get(address)
    with CaptureQueriesContext(connection) as one:
        browser.get(address)
    for number in range(2):
        SubmissionFactory(platform=PlatformFactory(organization=cast.organization))
        TestClusterFactory(organization=cast.organization)
        RunFactory(submission=cast.submission)
        organizations.create_token(
            organization=cast.organization, actor=cast.owner, name=f"more {number}", scope="read"
        )
        member(cast.organization)

    with CaptureQueriesContext(connection) as three:
        browser.get(address)

    assert len(three) == len(one)


def test_web_process_never_imports_the_kubernetes_client() -> None:
    script = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "from conformance import checks; checks.info();"
        "print('kubernetes' in sys.modules)"
    )

    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert result.stdout.split()[-1] == "False"


def test_organization_with_nobody_in_it_has_no_visitors(cast: Cast) -> None:
    membership = cast.organization.memberships.get(user=cast.editor)
    browser = cast.browser("editor")
    assert browser.get(READ["detail"](cast)).status_code == 200

    organizations.remove_member(membership=membership, actor=cast.owner)

    assert browser.get(READ["detail"](cast)).status_code == 404
