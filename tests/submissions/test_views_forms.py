"""The guided form: saving, autosaving, two windows, problems beside fields."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from submissions.models import Claim, Submission
from submissions.services import drafting
from submissions.states import Status
from tests.submissions.cast import Cast
from tests.submissions.factories import SubmissionFactory

AUTOSAVE = {"X-Autosave": "1"}
CATEGORY = "schedulingOrchestration"
GANG = "gang_scheduling"


def address(cast: Cast, category: str = CATEGORY) -> str:
    return reverse("submissions:category", args=[cast.submission.uuid, category])


def product_address(cast: Cast) -> str:
    return reverse("submissions:product", args=[cast.submission.uuid])


def claim(submission: Submission, requirement_id: str = GANG) -> Claim:
    return submission.claims.get(requirement__requirement_id=requirement_id)


def shown(browser: Client, where: str) -> dict[str, Any]:
    """The form as the page shows it, ready to be typed into and sent back."""
    context = browser.get(where).context
    if "editors" in context:
        data = {}
        for editor in context["editors"]:
            data |= {
                f"{editor.id}-{name}": editor.form.initial[name] for name in ("status", "evidence", "notes")
            }
            data[f"{editor.id}-seen"] = editor.seen
        return data
    return {name: context["form"].fields[name].initial for name in context["form"].fields} | {
        "seen": context["seen"]
    }


def test_claim_is_saved_and_the_page_shown_again(cast: Cast) -> None:
    browser = cast.browser("editor")
    data = shown(browser, address(cast)) | {
        f"{GANG}-status": "Implemented",
        f"{GANG}-evidence": "https://docs.example.org/gang\r\n\r\n  file://results/e2e.log ",
        f"{GANG}-notes": "Kueue is installed.\r\nIt is on by default.",
    }

    response = browser.post(address(cast), data)

    assert response.status_code == 302
    assert response["Location"] == address(cast)
    saved = claim(cast.submission)
    assert saved.status == "Implemented"
    assert saved.evidence == ["https://docs.example.org/gang", "file://results/e2e.log"]
    assert saved.notes == "Kueue is installed.\nIt is on by default."


def test_save_and_continue_leads_through_every_page_to_the_check(cast: Cast) -> None:
    browser = cast.browser("editor")
    where, visited = product_address(cast), []
    while where != reverse("submissions:check", args=[cast.submission.uuid]):
        visited.append(where)
        where = browser.post(where, shown(browser, where) | {"continue": "1"})["Location"]

    categories = cast.submission.checklist.categories.values_list("key", flat=True)
    assert visited == [product_address(cast), *(address(cast, key) for key in categories)]


def test_autosave_answers_with_pieces_and_the_new_digest(cast: Cast) -> None:
    browser = cast.browser("editor")
    data = shown(browser, address(cast)) | {f"{GANG}-status": "Implemented"}

    response = browser.post(address(cast), data, headers=AUTOSAVE)

    page = response.content.decode()
    assert response.status_code == 200
    assert "<html" not in page
    assert '<div id="gang_scheduling-state" data-piece' in page
    assert "evidence" in page
    saved = claim(cast.submission)
    assert saved.status == "Implemented"
    assert f'value="{drafting.section_digest(drafting.claim_values(saved))}"' in page


def test_autosave_does_not_send_the_fields_back(cast: Cast) -> None:
    browser = cast.browser("editor")
    data = shown(browser, address(cast)) | {f"{GANG}-notes": "half a sent"}

    page = browser.post(address(cast), data, headers=AUTOSAVE).content.decode()

    assert "<textarea" not in page
    assert "half a sent" not in page


def test_conflicting_text_is_kept_and_explained(cast: Cast) -> None:
    first, second = cast.browser("editor"), cast.browser("owner")
    mine, theirs = shown(first, address(cast)), shown(second, address(cast))
    second.post(address(cast), theirs | {f"{GANG}-notes": "Written by the other."})

    response = first.post(address(cast), mine | {f"{GANG}-notes": "Written by me."})

    page = response.content.decode()
    assert response.status_code == 409
    assert "Written by me.</textarea>" in page
    assert "Written by the other." in page
    assert "Someone else changed gang_scheduling" in page
    assert claim(cast.submission).notes == "Written by the other."


def test_conflict_is_settled_by_confirming_ones_own_text(cast: Cast) -> None:
    first, second = cast.browser("editor"), cast.browser("owner")
    mine, theirs = shown(first, address(cast)), shown(second, address(cast))
    second.post(address(cast), theirs | {f"{GANG}-notes": "Written by the other."})
    mine |= {f"{GANG}-notes": "Written by me."}
    refused = first.post(address(cast), mine, headers=AUTOSAVE)
    editor = next(editor for editor in refused.context["editors"] if editor.id == GANG)

    response = first.post(address(cast), mine | {f"{GANG}-accept": editor.conflict.digest}, headers=AUTOSAVE)

    assert refused.status_code == 409
    assert response.status_code == 200
    assert claim(cast.submission).notes == "Written by me."


def test_conflict_is_not_settled_by_confirming_an_older_version(cast: Cast) -> None:
    first, second = cast.browser("editor"), cast.browser("owner")
    mine, theirs = shown(first, address(cast)), shown(second, address(cast))
    second.post(address(cast), theirs | {f"{GANG}-notes": "Theirs."})
    mine |= {f"{GANG}-notes": "Mine."}
    refused = first.post(address(cast), mine, headers=AUTOSAVE)
    editor = next(editor for editor in refused.context["editors"] if editor.id == GANG)
    second.post(address(cast), shown(second, address(cast)) | {f"{GANG}-notes": "Theirs, again."})

    response = first.post(address(cast), mine | {f"{GANG}-accept": editor.conflict.digest}, headers=AUTOSAVE)

    assert response.status_code == 409
    assert claim(cast.submission).notes == "Theirs, again."


def test_untouched_requirement_never_undoes_what_another_window_saved(cast: Cast) -> None:
    first, second = cast.browser("editor"), cast.browser("owner")
    mine, theirs = shown(first, address(cast)), shown(second, address(cast))
    second.post(address(cast), theirs | {f"{GANG}-notes": "Written by the other."})

    response = first.post(address(cast), mine | {"pod_autoscaling-notes": "Mine."}, headers=AUTOSAVE)

    assert response.status_code == 200
    assert claim(cast.submission).notes == "Written by the other."
    assert claim(cast.submission, "pod_autoscaling").notes == "Mine."
    assert "Someone else changed this since you opened the page" in response.content.decode()


def test_product_is_saved_field_by_field_however_wrong(cast: Cast) -> None:
    browser = cast.browser("editor")
    data = shown(browser, product_address(cast)) | {"websiteUrl": "not a link", "platformVersion": " 4.2.0 "}

    response = browser.post(product_address(cast), data)

    cast.submission.refresh_from_db()
    assert response.status_code == 302
    assert cast.submission.metadata["websiteUrl"] == "not a link"
    assert cast.submission.metadata["platformVersion"] == "4.2.0"
    page = browser.get(product_address(cast)).content.decode()
    beside = page.split('id="id_websiteUrl_state"')[1].split("</div>")[0]
    assert 'data-code="bad_url"' in beside


def test_product_conflict_keeps_both_texts(cast: Cast) -> None:
    first, second = cast.browser("editor"), cast.browser("owner")
    mine, theirs = shown(first, product_address(cast)), shown(second, product_address(cast))
    second.post(product_address(cast), theirs | {"description": "Theirs."})

    refused = first.post(product_address(cast), mine | {"description": "Mine."})
    settled = first.post(
        product_address(cast),
        mine | {"description": "Mine.", "accept": refused.context["conflict"].digest},
    )

    assert refused.status_code == 409
    assert "Mine.</textarea>" in refused.content.decode()
    assert refused.context["conflict"].theirs == [("Description", "Theirs.")]
    assert settled.status_code == 302
    cast.submission.refresh_from_db()
    assert cast.submission.metadata["description"] == "Mine."


def test_unknown_status_of_an_upload_stays_until_another_is_chosen(cast: Cast) -> None:
    drafting.save_claim(
        submission=cast.submission, actor=cast.owner, requirement_id=GANG, values={"status": "Yes, mostly"}
    )
    browser = cast.browser("editor")

    page = browser.get(address(cast)).content.decode()
    response = browser.post(address(cast), shown(browser, address(cast)) | {f"{GANG}-notes": "x"})

    assert "as uploaded: “Yes, mostly”" in page
    assert response.status_code == 302
    assert claim(cast.submission).status == "Yes, mostly"


def test_refused_field_keeps_its_text_and_the_others_are_saved(cast: Cast) -> None:
    drafting.save_metadata(
        submission=cast.submission, actor=cast.owner, values={"basePlatform": "Upstream 1.35"}
    )
    browser = cast.browser("editor")
    data = shown(browser, address(cast)) | {
        f"{GANG}-met_by": "x" * 201,
        f"{GANG}-notes": "Not lost.",
        "pod_autoscaling-notes": "Saved.",
    }

    response = browser.post(address(cast), data)

    assert response.status_code == 422
    assert "Not lost.</textarea>" in response.content.decode()
    assert claim(cast.submission).notes == ""
    assert claim(cast.submission, "pod_autoscaling").notes == "Saved."


def test_layer_is_asked_for_layered_platforms_alone(cast: Cast) -> None:
    browser = cast.browser("editor")
    before = browser.get(address(cast)).content.decode()
    drafting.save_metadata(
        submission=cast.submission, actor=cast.owner, values={"basePlatform": "Upstream 1.35"}
    )

    after = browser.get(address(cast)).content.decode()

    assert f'name="{GANG}-met_by"' not in before
    assert f'name="{GANG}-met_by"' in after


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.IN_REVIEW, Status.WITHDRAWN])
def test_text_typed_into_a_page_that_was_submitted_meanwhile_is_shown_again(
    cast: Cast, status: Status
) -> None:
    browser = cast.browser("editor")
    data = shown(browser, address(cast)) | {f"{GANG}-notes": "Typed too late."}
    drafted = Submission.objects.filter(pk=cast.submission.pk)
    drafted.update(status=status, submitted_at=cast.submission.created_at)

    response = browser.post(address(cast), data)

    page = response.content.decode()
    assert response.status_code == 409
    assert "Typed too late.</textarea>" in page
    assert "cannot be edited now" in page
    assert claim(cast.submission).notes == ""


def test_submitted_form_is_read_only(cast: Cast) -> None:
    submitted = SubmissionFactory(platform=cast.submission.platform, complete=True, status=Status.SUBMITTED)

    page = cast.browser("owner").get(reverse("submissions:category", args=[submitted.uuid, CATEGORY]))

    assert "<textarea" not in page.content.decode()
    assert "Described on the page." in page.content.decode()


def test_problem_stands_beside_its_field(cast: Cast) -> None:
    drafting.save_claim(
        submission=cast.submission,
        actor=cast.owner,
        requirement_id=GANG,
        values={"status": "Implemented", "evidence": ["file://results/none.xml"], "notes": ""},
    )

    page = cast.browser("editor").get(address(cast)).content.decode()

    beside = page.split(f'id="{GANG}-evidence-state"')[1].split("</div>")[0]
    assert 'data-code="evidence_file_missing"' in beside


def test_not_applicable_on_a_must_is_explained_as_a_waiver(cast: Cast) -> None:
    drafting.save_claim(
        submission=cast.submission,
        actor=cast.owner,
        requirement_id="cluster_autoscaling",
        values={"status": "N/A", "notes": "Fixed hardware without node groups: there is nothing to scale."},
    )

    page = cast.browser("editor").get(address(cast)).content.decode()

    assert 'data-code="waiver_request"' in page
    assert "asks the reviewers for a waiver" in page


def test_steps_tell_empty_problems_and_complete(cast: Cast) -> None:
    complete = SubmissionFactory(platform=cast.submission.platform, complete=True)
    drafting.save_claim(submission=complete, actor=cast.owner, requirement_id=GANG, values={"evidence": []})
    drafting.attach_file(
        submission=complete, actor=cast.owner, name="isolation.md", data=b"How it is isolated."
    )
    drafting.save_claim(
        submission=complete,
        actor=cast.owner,
        requirement_id="secure_accelerator_access",
        values={"evidence": ["file://isolation.md"]},
    )

    guidance = (
        cast.browser("editor").get(reverse("submissions:detail", args=[complete.uuid])).context["guidance"]
    )
    fresh = (
        cast.browser("editor")
        .get(reverse("submissions:detail", args=[cast.submission.uuid]))
        .context["guidance"]
    )

    states = {step.key: step.state for step in guidance.steps}
    assert states[CATEGORY] == "problems"
    assert states["security"] == "complete"
    assert states["operator"] == "remarks"
    assert {step.state for step in fresh.steps[1:]} == {"empty"}


def test_unknown_category_is_not_found(cast: Cast) -> None:
    assert cast.browser("owner").get(address(cast, "weather")).status_code == 404


def test_hostile_text_is_only_ever_text(cast: Cast) -> None:
    browser = cast.browser("editor")
    hostile = "<script>alert(1)</script>"
    data = shown(browser, address(cast)) | {
        f"{GANG}-status": "N/A",
        f"{GANG}-notes": hostile,
        f"{GANG}-evidence": "javascript:alert(1)",
    }
    browser.post(address(cast), data)
    viewer = cast.browser("viewer")

    pages = [browser.get(address(cast)), viewer.get(address(cast)), browser.get(product_address(cast))]

    for page in pages:
        text = page.content.decode()
        assert hostile not in text
        assert 'href="javascript' not in text
