"""Submissions, files and runs over the API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from submissions.models import Submission, VerificationRun
from submissions.services import drafting, organizations
from submissions.states import RunStatus, Status
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory, SubmissionFactory, TestClusterFactory, checklist
from tests.submissions.test_views_documents import FAULTY

LIST = "/api/v1/submissions/"
PROBLEM = "application/problem+json"


@pytest.fixture
def client(cast: Cast) -> APIClient:
    _, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="pipeline", scope="write"
    )
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


@pytest.fixture
def stranger(cast: Cast) -> APIClient:
    organization = cast.stranger.memberships.get().organization
    _, secret = organizations.create_token(
        organization=organization, actor=cast.stranger, name="other", scope="write"
    )
    return APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


def at(submission: Submission, rest: str = "") -> str:
    return f"{LIST}{submission.uuid}/{rest}"


def test_draft_is_made_from_json(cast: Cast, client: APIClient) -> None:
    checklist("1.36")
    body = {
        "platform": "Harbour Engine",
        "configuration": "air-gapped",
        "kubernetes_version": "v1.36.2",
        "metadata": {"platformVersion": "2.10"},
        "claims": [
            {"id": "gang_scheduling", "status": "Implemented", "evidence": ["https://docs.harbour.dev/g"]}
        ],
    }

    response = client.post(LIST, body, format="json")

    made = response.json()
    assert response.status_code == 201
    assert (made["platform_name"], made["configuration"]) == ("Harbour Engine", "air-gapped")
    assert (made["kubernetes_version"], made["status"], made["valid"]) == ("1.36", "draft", False)
    assert made["metadata"]["platformVersion"] == "2.10"
    claim = next(claim for claim in made["claims"] if claim["id"] == "gang_scheduling")
    assert claim["evidence"] == ["https://docs.harbour.dev/g"]
    assert client.get(f"{LIST}{made['id']}/").json() == made


def test_existing_platform_is_found_by_name_and_by_slug(cast: Cast, client: APIClient) -> None:
    for name in ("ENGINE", "engine"):
        response = client.post(LIST, {"platform": name, "kubernetes_version": "1.35"}, format="json")
        assert response.json()["platform"] == "engine"
    assert cast.organization.platforms.count() == 1


@pytest.mark.parametrize(
    "kind", ["application/yaml", "application/x-yaml", "text/yaml", "text/yaml; charset=utf-8"]
)
def test_draft_is_made_from_a_document_with_its_problems(cast: Cast, client: APIClient, kind: str) -> None:
    response = client.post(LIST, FAULTY, content_type=kind)

    made = response.json()
    assert response.status_code == 201
    assert made["platform_name"] == "Harbour Engine"
    assert made["metadata"]["platformVersion"] == "2.10"
    assert made["problems"]
    assert {"code", "severity", "message", "path", "line", "column"} == made["problems"][0].keys()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"metadata: [", "document_unreadable"),
        (b"", "document_unreadable"),
        (b"\xff\x00", "document_unreadable"),
        (b"metadata: {platformName: Engine, kubernetesVersion: v9.9}", "unknown_checklist"),
    ],
)
def test_document_that_makes_no_draft_is_refused_as_a_whole(
    cast: Cast, client: APIClient, data: bytes, code: str
) -> None:
    before = Submission.objects.count()

    response = client.post(LIST, data, content_type="application/yaml")

    assert response.status_code == 422
    assert response["Content-Type"] == PROBLEM
    assert response.json()["code"] == code
    assert Submission.objects.count() == before


def test_half_a_request_leaves_nothing_behind(cast: Cast, client: APIClient) -> None:
    body = {"platform": "New", "kubernetes_version": "1.35", "claims": [{"id": "weather", "status": "N/A"}]}

    response = client.post(LIST, body, format="json")

    assert response.status_code == 422
    assert response.json()["code"] == "unknown_requirement"
    assert not cast.organization.platforms.filter(name="New").exists()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "platform"),
        (
            {"platform": "X", "kubernetes_version": "1.35", "metadata": {"weather": "fine"}},
            "metadata.weather",
        ),
        ({"platform": "X", "kubernetes_version": "1.35", "claims": [{"status": "N/A"}]}, "claims[0].id"),
        ({"platform": "X", "kubernetes_version": "1.35", "claims": {"id": "x"}}, "claims"),
        ([], ""),
    ],
)
def test_malformed_json_body_names_its_places(client: APIClient, body: Any, path: str) -> None:
    response = client.post(LIST, body, format="json")

    assert response.status_code == 400
    assert response["Content-Type"] == PROBLEM
    assert response.json()["code"] == "invalid"
    assert path in {error["path"] for error in response.json()["errors"]}


def test_draft_is_changed_all_or_nothing(cast: Cast, client: APIClient) -> None:
    body = {
        "metadata": {"description": "New words."},
        "claims": [{"id": "gang_scheduling", "notes": "Kueue."}, {"id": "weather", "notes": "Fine."}],
    }

    refused = client.patch(at(cast.submission), body, format="json")
    cast.submission.refresh_from_db()
    before = cast.submission.metadata["description"]
    body["claims"].pop()
    changed = client.patch(at(cast.submission), {**body, "release_on": "2027-01-31"}, format="json")

    assert refused.status_code == 422
    assert before == "A platform."
    assert changed.json()["metadata"]["description"] == "New words."
    assert changed.json()["release_on"] == "2027-01-31"


def test_change_on_an_outdated_revision_is_refused(cast: Cast, client: APIClient) -> None:
    seen = client.get(at(cast.submission)).json()["revision"]
    drafting.save_metadata(submission=cast.submission, actor=cast.owner, values={"description": "Theirs."})

    response = client.patch(
        at(cast.submission), {"revision": seen, "metadata": {"description": "Mine."}}, format="json"
    )

    cast.submission.refresh_from_db()
    assert response.status_code == 409
    assert response.json()["code"] == "stale_state"
    assert cast.submission.metadata["description"] == "Theirs."


def test_document_fills_an_existing_draft(cast: Cast, client: APIClient) -> None:
    response = client.patch(at(cast.submission), FAULTY, content_type="application/yaml")

    assert response.status_code == 200
    assert response.json()["metadata"]["platformName"] == "Harbour Engine"


def test_submit_is_refused_with_the_problems_while_errors_stand(cast: Cast, client: APIClient) -> None:
    response = client.post(at(cast.submission, "submit/"))

    answer = response.json()
    assert response.status_code == 422
    assert answer["code"] == "document_has_errors"
    assert {problem["severity"] for problem in answer["problems"]} == {"error"}
    cast.submission.refresh_from_db()
    assert cast.submission.status == Status.DRAFT


def test_submission_is_submitted_and_withdrawn(cast: Cast, client: APIClient) -> None:
    ready = SubmissionFactory(platform=cast.submission.platform, complete=True)

    submitted = client.post(at(ready, "submit/"))
    again = client.post(at(ready, "submit/"))
    edited = client.patch(at(ready), {"metadata": {"description": "x"}}, format="json")
    withdrawn = client.post(at(ready, "withdraw/"), {"reason": "A newer version comes."}, format="json")

    assert (submitted.status_code, submitted.json()["status"]) == (200, "submitted")
    assert submitted.json()["due_on"] is not None
    assert (again.status_code, again.json()["code"]) == (409, "not_possible")
    assert (edited.status_code, edited.json()["code"]) == (409, "stale_state")
    assert withdrawn.json()["status"] == "withdrawn"


def test_list_is_filtered_by_status_and_paged(cast: Cast, client: APIClient) -> None:
    SubmissionFactory(platform=cast.submission.platform, status=Status.SUBMITTED)

    drafts = client.get(LIST, {"status": "draft"}).json()
    first = client.get(LIST, {"page_size": 1}).json()

    assert [row["id"] for row in drafts["results"]] == [str(cast.submission.uuid)]
    assert (first["count"], len(first["results"]), first["previous"]) == (2, 1, None)
    assert "page=2" in first["next"]
    assert client.get(LIST, {"status": "lost"}).status_code == 400
    assert client.get(LIST, {"page": 99}).status_code == 404


def test_file_is_attached_and_listed(cast: Cast, client: APIClient) -> None:
    data = b"<testsuite/>"
    body = {"file": SimpleUploadedFile("junit.xml", data), "name": "results/junit.xml"}

    response = client.post(at(cast.submission, "files/"), body, format="multipart")

    assert response.status_code == 201
    assert response.json()["sha256"] == hashlib.sha256(data).hexdigest()
    listed = client.get(at(cast.submission, "files/")).json()
    assert [(row["name"], row["size"]) for row in listed] == [("results/junit.xml", len(data))]


def test_refused_files_have_codes(cast: Cast, client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "MAX_FILE_BYTES", 4)

    def post(name: str, data: bytes) -> tuple[int, str]:
        body = {"file": SimpleUploadedFile("x", data), "name": name}
        answer = client.post(at(cast.submission, "files/"), body, format="multipart")
        return answer.status_code, answer.json()["code"]

    assert post("../x", b"x") == (422, "bad_file_name")
    assert post("x", b"xxxxx") == (413, "file_too_large")
    assert client.post(at(cast.submission, "files/"), {}, format="multipart").status_code == 400
    assert client.post(at(cast.submission, "files/"), {}, format="json").status_code == 415


def test_run_is_started_read_and_cancelled(cast: Cast, client: APIClient) -> None:
    started = client.post(
        at(cast.submission, "verifications/"), {"cluster": "lab", "only": ["gang_scheduling"]}, format="json"
    )
    run = started.json()
    address = f"/api/v1/verifications/{run['id']}/"
    read = client.get(address)
    cancelled = client.post(f"{address}cancel/")
    again = client.post(f"{address}cancel/")

    assert started.status_code == 201
    assert (run["status"], run["outcome"], run["cluster"]) == ("queued", "", "lab")
    assert [result["status"] for result in run["results"]] == ["unknown"]
    assert read.json() == run
    assert cancelled.json()["status"] == "cancelled"
    assert (again.status_code, again.json()["code"]) == (409, "stale_state")


@pytest.mark.parametrize("name", [lambda cast: str(cast.cluster.uuid), lambda cast: "lab", lambda cast: None])
def test_cluster_is_named_or_is_the_only_one(
    cast: Cast, client: APIClient, name: Callable[[Cast], str | None]
) -> None:
    wanted = name(cast)

    response = client.post(
        at(cast.submission, "verifications/"), {"cluster": wanted} if wanted else {}, format="json"
    )

    assert response.status_code == 201
    assert VerificationRun.objects.get(uuid=response.json()["id"]).cluster == cast.cluster


def test_run_is_refused_with_codes(cast: Cast, client: APIClient) -> None:
    address = at(cast.submission, "verifications/")
    foreign = TestClusterFactory()

    assert client.post(address, {"cluster": "elsewhere"}, format="json").status_code == 400
    assert client.post(address, {"cluster": str(foreign.uuid)}, format="json").status_code == 400
    unknown = client.post(address, {"only": ["weather"]}, format="json")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_requirement")
    TestClusterFactory(organization=cast.organization)
    assert client.post(address, {}, format="json").status_code == 400
    client.post(address, {"cluster": "lab"}, format="json")
    busy = client.post(address, {"cluster": "lab"}, format="json")
    assert (busy.status_code, busy.json()["code"]) == (409, "cluster_busy")


def test_finished_run_brings_verdicts_evidence_and_report(cast: Cast, client: APIClient) -> None:
    VerificationRun.objects.filter(pk=cast.run.pk).update(report={"schema": 1}, report_digest="a" * 64)

    run = client.get(f"/api/v1/verifications/{cast.run.uuid}/").json()
    listed = client.get(at(cast.submission, "verifications/")).json()

    failed = next(result for result in run["results"] if result["id"] == "gang_scheduling")
    assert (failed["status"], failed["reason"]) == ("fail", "seen")
    assert failed["evidence"][0]["name"] == "pod.json"
    assert run["report"] == {"schema": 1, "digest": "a" * 64}
    assert [row["id"] for row in listed["results"]] == [run["id"]]
    assert "report" not in listed["results"][0]


def test_nothing_of_another_organization_is_there(cast: Cast, stranger: APIClient) -> None:
    run = RunFactory(submission=cast.submission, status=RunStatus.QUEUED)
    addresses = [
        (stranger.get, at(cast.submission)),
        (stranger.patch, at(cast.submission)),
        (stranger.post, at(cast.submission, "submit/")),
        (stranger.post, at(cast.submission, "withdraw/")),
        (stranger.get, at(cast.submission, "files/")),
        (stranger.post, at(cast.submission, "files/")),
        (stranger.get, at(cast.submission, "verifications/")),
        (stranger.post, at(cast.submission, "verifications/")),
        (stranger.get, f"/api/v1/verifications/{run.uuid}/"),
        (stranger.post, f"/api/v1/verifications/{run.uuid}/cancel/"),
        (stranger.get, f"{LIST}{uuid4()}/"),
    ]

    answers = [method(address) for method, address in addresses]

    assert [answer.status_code for answer in answers] == [404] * len(addresses)
    assert {answer["Content-Type"] for answer in answers} == {PROBLEM}
    assert stranger.get(LIST).json()["count"] == 0


def test_person_with_two_organizations_says_which(cast: Cast) -> None:
    second = organizations.create_organization(actor=cast.editor, name="Second")
    client = APIClient()
    client.force_login(cast.editor)
    body = {"platform": "Engine", "kubernetes_version": "1.35"}

    unsaid = client.post(LIST, body, format="json")
    said = client.post(LIST, {**body, "organization": second.slug}, format="json")
    foreign = client.post(LIST, {**body, "organization": "lakeside"}, format="json")

    assert unsaid.status_code == 400
    assert said.json()["organization"] == second.slug
    assert foreign.status_code == 404


@pytest.mark.parametrize("text", ["a\\u0000b", "half \\ud83d pair"])
def test_characters_no_database_keeps_do_no_harm(cast: Cast, client: APIClient, text: str) -> None:
    body = f'{{"metadata": {{"description": "{text}"}}}}'

    response = client.patch(at(cast.submission), body, content_type="application/json")

    assert response.status_code in {200, 400}
    assert client.get(at(cast.submission)).status_code == 200
