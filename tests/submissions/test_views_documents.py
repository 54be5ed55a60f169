"""PRODUCT.yaml: uploaded, shown with its problems, downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from conformance.document import MAX_BYTES, Problem, Severity, parse, product
from submissions.guidance import WHOLE_DOCUMENT, annotate
from submissions.models import Submission
from submissions.states import Status
from tests.submissions.cast import Cast
from tests.submissions.factories import SubmissionFactory, checklist

REAL = Path(__file__).parents[2] / "../shared/data/submissions"

FAULTY = b"""\
metadata:
  kubernetesVersion: v1.35.2
  platformName: Harbour Engine
  platformVersion: 2.10
  vendorName: "[YOUR VENDOR NAME]"
spec:
  security:
    - id: secure_accelerator_access
      level: MUST
      status: Implemented
      evidence: https://docs.harbour.dev/isolation
      notes: Devices are mediated by the driver.
"""


def upload(data: bytes) -> dict[str, SimpleUploadedFile]:
    return {"file": SimpleUploadedFile("PRODUCT.yaml", data)}


def create_address(cast: Cast) -> str:
    return reverse("submissions:document-create", args=[cast.organization.slug])


def test_upload_makes_a_draft_and_shows_problems_under_their_lines(cast: Cast) -> None:
    browser = cast.browser("editor")

    response = browser.post(create_address(cast), upload(FAULTY))

    made = Submission.objects.get(configuration__platform__name="Harbour Engine")
    assert response.status_code == 302
    assert response["Location"] == reverse("submissions:document", args=[made.uuid])
    assert made.checklist.version == "1.35"
    assert made.metadata["platformVersion"] == "2.10"
    claim = made.claims.get(requirement__requirement_id="secure_accelerator_access")
    assert claim.status == "Implemented"
    assert claim.evidence == ["https://docs.harbour.dev/isolation"]
    page = browser.get(response["Location"]).content.decode()
    line = page.split('id="line-4"')[1].split("</li>")[0]
    assert "platformVersion: 2.10" in line
    assert 'data-code="wrong_type"' in line
    assert 'href="#line-4"' in page


def test_pasted_text_works_as_a_file_does(cast: Cast) -> None:
    text = FAULTY.decode().replace("\n", "\r\n")

    response = cast.browser("editor").post(create_address(cast), {"text": text})

    made = Submission.objects.get(configuration__platform__name="Harbour Engine")
    assert response.status_code == 302
    assert made.source_file == FAULTY.decode()


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"metadata: [unclosed\n  more: text\n", "more: text"),
        (b"just words\n", "just words"),
        (b"metadata:\n  platformName: Engine\n  kubernetesVersion: v9.99\n", "v9.99"),
        (b"metadata:\n  kubernetesVersion: v1.35\n", "kubernetesVersion: v1.35"),
        (b"\xff\xfe\x00not text", "not text"),
        (b"metadata:\n  platformName: |\n    <script>alert(1)</script>\n  bad: [", "&lt;script&gt;alert(1)"),
    ],
)
def test_file_that_makes_no_draft_is_shown_again(cast: Cast, data: bytes, seen: str) -> None:
    before = Submission.objects.count()

    response = cast.browser("editor").post(create_address(cast), upload(data))

    page = response.content.decode()
    assert response.status_code == 422
    assert Submission.objects.count() == before
    listing = page.split('<div class="listing"')[1].split("</section>")[0]
    editor = page.split("<textarea")[1].split("</textarea>")[0]
    assert seen in listing
    assert seen in editor
    assert 'class="listing__problem' in listing
    assert "<script>alert" not in page


def test_empty_and_missing_upload_are_told_apart(cast: Cast) -> None:
    browser = cast.browser("editor")

    nothing = browser.post(create_address(cast), {})
    empty = browser.post(create_address(cast), upload(b"  \n"))

    assert "Choose a file, or paste its text." in nothing.content.decode()
    assert empty.context["problems"][0].code == "empty_document"


def test_oversized_upload_is_refused_without_being_read_whole(cast: Cast) -> None:
    response = cast.browser("editor").post(create_address(cast), upload(b"# " + b"x" * (2 * MAX_BYTES)))

    assert response.status_code == 422
    assert "document_too_large" in {problem.code for problem in response.context["problems"]}


def test_document_fills_an_existing_draft_and_keeps_the_rest(cast: Cast) -> None:
    address = reverse("submissions:document", args=[cast.submission.uuid])

    response = cast.browser("editor").post(address, upload(FAULTY))

    cast.submission.refresh_from_db()
    assert response.status_code == 302
    assert cast.submission.metadata["platformName"] == "Harbour Engine"
    assert cast.submission.metadata["contactEmailAddress"] == cast.owner.email


def test_unreadable_document_leaves_the_draft_as_it_was_and_is_shown(cast: Cast) -> None:
    address = reverse("submissions:document", args=[cast.submission.uuid])
    before = cast.submission.metadata

    response = cast.browser("editor").post(address, upload(b"metadata: [\n"))

    cast.submission.refresh_from_db()
    assert response.status_code == 422
    assert cast.submission.metadata == before
    assert "metadata: [" in response.content.decode()


def test_document_for_another_version_is_refused_once_submitted_and_shown(cast: Cast) -> None:
    checklist("1.36")
    sent_back = SubmissionFactory(
        platform=cast.submission.platform, complete=True, status=Status.CHANGES_REQUESTED
    )
    address = reverse("submissions:document", args=[sent_back.uuid])

    response = cast.browser("editor").post(address, upload(FAULTY.replace(b"1.35.2", b"1.36.0")))

    page = response.content.decode()
    assert response.status_code == 422
    assert "stays with it" in page
    assert "platformName: Harbour Engine" in page


def test_upload_into_a_submitted_one_is_refused_and_shown(cast: Cast) -> None:
    submitted = SubmissionFactory(platform=cast.submission.platform, complete=True, status=Status.SUBMITTED)
    address = reverse("submissions:document", args=[submitted.uuid])

    response = cast.browser("editor").post(address, upload(FAULTY))

    assert response.status_code == 422
    assert "platformName: Harbour Engine" in response.content.decode()


def test_download_reads_back_as_what_the_form_says(cast: Cast) -> None:
    complete = SubmissionFactory(platform=cast.submission.platform, complete=True)

    response = cast.browser("viewer").get(reverse("submissions:download", args=[complete.uuid]))

    assert response["Content-Disposition"] == 'attachment; filename="PRODUCT.yaml"'
    assert response["Content-Type"] == "application/yaml; charset=utf-8"
    read = product(parse(response.content))
    assert read.metadata == complete.metadata
    assert read.claims["gang_scheduling"].status == "Implemented"


def test_lines_are_counted_as_the_reader_counts_them() -> None:
    text = "one\r\ntwo\x85three\u2028four\n"
    problem = Problem("x", Severity.ERROR, "Here.", line=4, column=1)

    lines = annotate(text, [problem])

    assert [line.text for line in lines] == ["one", "two", "three", "four"]
    assert lines[3].problems == (problem,)


def test_problem_beyond_the_last_line_is_shown_on_it() -> None:
    problem = Problem("x", Severity.WARNING, "The end is missing.", line=9)

    lines = annotate("one\ntwo\n", [problem])

    assert lines[1].problems == (problem,)
    assert lines[1].tone == "warning"


def test_very_long_document_is_folded_around_its_problems() -> None:
    text = "x\n" * (WHOLE_DOCUMENT + 1000)
    problem = Problem("x", Severity.ERROR, "Here.", line=2000)

    lines = annotate(text, [problem])

    assert [line.number for line in lines if line.problems] == [2000]
    assert (
        sum(line.skipped for line in lines) + sum(1 for line in lines if not line.skipped)
        == WHOLE_DOCUMENT + 1000
    )
    assert len(lines) < 20


@pytest.mark.skipif(not REAL.is_dir(), reason="the real submissions are not on this machine")
@pytest.mark.parametrize("name", ["v1.33/talos", "v1.34/ovh", "v1.34/rke2", "v1.33/chinaunicom-csk"])
def test_real_document_becomes_a_draft_with_its_problems_shown(cast: Cast, name: str) -> None:
    checklist("1.33")
    checklist("1.34")
    data = (REAL / name / "PRODUCT.yaml").read_bytes()
    browser = cast.browser("editor")

    response = browser.post(create_address(cast), upload(data))
    page = browser.get(response["Location"])

    assert response.status_code == 302
    assert page.status_code == 200
    assert page.context["problems"]
    placed = sum(len(line.problems) for line in page.context["lines"])
    assert placed == len(page.context["problems"])
