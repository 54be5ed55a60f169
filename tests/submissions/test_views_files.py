"""Evidence files."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from submissions.models import EvidenceFile
from submissions.services import drafting
from submissions.states import Status
from tests.submissions.cast import Cast
from tests.submissions.factories import SubmissionFactory

JUNIT = b'<testsuite tests="1"><testcase name="TestGangScheduling"/></testsuite>'


def address(cast: Cast) -> str:
    return reverse("submissions:files", args=[cast.submission.uuid])


def attached(cast: Cast, name: str, data: bytes) -> EvidenceFile:
    return drafting.attach_file(submission=cast.submission, actor=cast.owner, name=name, data=data)


def test_several_files_are_attached_into_a_folder(cast: Cast) -> None:
    files = [SimpleUploadedFile("junit.xml", JUNIT), SimpleUploadedFile("e2e.log", b"ok")]

    response = cast.browser("editor").post(address(cast), {"attachments": files, "folder": "results/"})

    rows = {file.name: file for file in cast.submission.files.all()}
    assert response.status_code == 302
    assert rows.keys() == {"results/junit.xml", "results/e2e.log"}
    assert rows["results/junit.xml"].sha256 == hashlib.sha256(JUNIT).hexdigest()


def test_good_files_are_kept_when_one_is_refused(cast: Cast) -> None:
    files = [SimpleUploadedFile("good.txt", b"x"), SimpleUploadedFile("b\u00e4d?.txt", b"x")]

    response = cast.browser("editor").post(address(cast), {"attachments": files})

    assert response.status_code == 422
    assert "cannot be a file" in response.content.decode()
    assert [file.name for file in cast.submission.files.all()] == ["good.txt"]


def test_folder_cannot_lead_outside(cast: Cast) -> None:
    response = cast.browser("editor").post(
        address(cast), {"attachments": [SimpleUploadedFile("x.txt", b"x")], "folder": "../.."}
    )

    assert response.status_code == 422
    assert not cast.submission.files.exists()


def test_too_large_file_is_refused(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "MAX_FILE_BYTES", 10)

    response = cast.browser("editor").post(
        address(cast), {"attachments": [SimpleUploadedFile("x.txt", b"x" * 11)]}
    )

    assert response.status_code == 422
    assert not cast.submission.files.exists()


def test_nothing_chosen_is_told(cast: Cast) -> None:
    assert cast.browser("editor").post(address(cast), {}).status_code == 422


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("results/junit.xml", "text/plain; charset=utf-8"),
        ("run.log", "text/plain; charset=utf-8"),
        ("page.html", "application/octet-stream"),
        ("logo.svg", "application/octet-stream"),
    ],
)
def test_download_is_saved_and_never_run(cast: Cast, name: str, kind: str) -> None:
    file = attached(cast, name, b"<script>alert(1)</script>")

    response = cast.browser("viewer").get(reverse("submissions:file", args=[cast.submission.uuid, file.pk]))

    assert b"".join(response.streaming_content) == b"<script>alert(1)</script>"
    response.close()
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'attachment; filename="{name.rpartition("/")[2]}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]


def test_file_of_another_submission_is_not_found(cast: Cast) -> None:
    file = attached(cast, "x.txt", b"x")
    other = SubmissionFactory(platform=cast.submission.platform)

    response = cast.browser("owner").get(reverse("submissions:file", args=[other.uuid, file.pk]))

    assert response.status_code == 404


def test_file_is_removed(cast: Cast) -> None:
    file = attached(cast, "x.txt", b"x")

    cast.browser("editor").post(reverse("submissions:file-remove", args=[cast.submission.uuid, file.pk]))

    assert not cast.submission.files.exists()


def test_submitted_files_stay(cast: Cast) -> None:
    file = attached(cast, "x.txt", b"x")
    type(cast.submission).objects.filter(pk=cast.submission.pk).update(
        status=Status.SUBMITTED, submitted_at=cast.submission.created_at
    )
    browser = cast.browser("editor")

    browser.post(reverse("submissions:file-remove", args=[cast.submission.uuid, file.pk]))
    added = browser.post(address(cast), {"attachments": [SimpleUploadedFile("y.txt", b"y")]})

    assert [row.name for row in cast.submission.files.all()] == ["x.txt"]
    assert added.status_code == 422
