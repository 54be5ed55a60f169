"""The guided form in a real browser: it saves while one types, loses nothing, and works without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from certportal import demo_people as people
from tests.e2e.conftest import RunningPortal, eventually
from tests.e2e.test_whole_way import log_in

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("portal")]

NOTES = "gang_scheduling-notes"
SAVED = re.compile(r"^Saved \d\d:\d\d$")


def open_draft(page: Page, portal: RunningPortal) -> str:
    """Sign in as the demo's vendor and open a page of the draft's form; returns its address."""
    log_in(page, people.VENDOR.email)

    def listed() -> bool:
        page.goto("/vendor/")
        return page.get_by_role("link", name="Northwind Edge").count() > 0

    eventually(listed, 120, "the demo's draft")
    page.get_by_role("link", name="Northwind Edge").first.click()
    page.get_by_role("link", name="Scheduling orchestration").click()
    return page.url


def test_form_saves_while_one_types_and_survives_a_lost_connection(
    portal: RunningPortal, person: Callable[..., Page], photograph: Callable[[Page, str], None]
) -> None:
    page = person()
    address = open_draft(page, portal)
    notes, state = page.locator(f"[name={NOTES}]"), page.locator("#save-state")

    notes.fill("Typed with a connection.")
    expect(state).to_have_text(SAVED)
    page.reload()
    expect(notes).to_have_value("Typed with a connection.")

    page.route("**/requirements/**", lambda route: route.fulfill(status=409, body=""))
    notes.fill("Typed while nothing could be saved.")
    expect(state).to_contain_text("Not everything was saved")
    page.unroute("**/requirements/**")
    page.goto("about:blank")
    page.goto(address)
    expect(notes).to_have_value("Typed while nothing could be saved.")
    expect(state).to_contain_text("Text that was not saved last time is back")
    photograph(page, "form-restored")
    notes.press_sequentially(" Now it can.")
    expect(state).to_have_text(SAVED)
    page.reload()
    expect(notes).to_have_value("Typed while nothing could be saved. Now it can.")


def test_second_window_neither_overwrites_nor_is_overwritten(
    portal: RunningPortal, person: Callable[..., Page], photograph: Callable[[Page, str], None]
) -> None:
    first = person()
    address = open_draft(first, portal)
    second = first.context.new_page()
    second.goto(address)

    second.locator(f"[name={NOTES}]").fill("From the second window.")
    expect(second.locator("#save-state")).to_have_text(SAVED)
    first.locator(f"[name={NOTES}]").fill("From the first window.")

    told = first.locator("#gang_scheduling-state")
    expect(told).to_contain_text("From the second window.")
    expect(first.locator(f"[name={NOTES}]")).to_have_value("From the first window.")
    photograph(first, "form-conflict")
    first.get_by_label("Replace it with what I typed below").check()
    expect(first.locator("#save-state")).to_have_text(SAVED)
    second.reload()
    expect(second.locator(f"[name={NOTES}]")).to_have_value("From the first window.")


def test_form_and_run_pages_work_without_scripts(
    portal: RunningPortal, person: Callable[..., Page], photograph: Callable[[Page, str], None]
) -> None:
    page = person(java_script_enabled=False)
    address = open_draft(page, portal)

    page.locator(f"[name={NOTES}]").fill("Typed without scripts.")
    page.get_by_role("button", name="Save", exact=True).click()
    assert page.url == address
    expect(page.locator(f"[name={NOTES}]")).to_have_value("Typed without scripts.")
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_role("heading", name="Observability")).to_be_visible()
    photograph(page, "form-without-scripts")


def test_workspace_fits_a_phone(portal: RunningPortal, person: Callable[..., Page]) -> None:
    page = person(viewport={"width": 360, "height": 740})
    address = open_draft(page, portal)
    submission = address.split("requirements/")[0]

    for where in ("", "product/", "requirements/security/", "check/", "files/", "runs/", "document/"):
        page.goto(submission + where)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider == 0, where
