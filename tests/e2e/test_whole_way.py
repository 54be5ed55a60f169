"""The whole way as three people in a real browser: vendor, two reviewers; then the public."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from certportal import demo_people as people
from conformance import document
from conformance.catalogue import builtin_checklists
from registry.services import one_year_after
from tests.e2e.conftest import SHARED, RunningPortal, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("portal")]

PASSWORD = "correct horse battery"
VERSION = "1.34"
LONG = 120_000  # milliseconds; a verification run takes a while


def product(folder: Path) -> Path:
    """A folder with a real PRODUCT.yaml and the file it quotes; made up where there is no shared data."""
    real = SHARED / "submissions" / f"v{VERSION}" / "giantswarm"
    if real.is_dir():
        return real
    checklist = builtin_checklists()[VERSION]
    metadata = {
        "kubernetesVersion": f"v{VERSION}",
        "platformName": "Giant Engine",
        "platformVersion": "1.34.0",
        "vendorName": "Giant",
        "websiteUrl": "https://www.example.com",
        "documentationUrl": "https://docs.example.com",
        "productLogoUrl": "https://www.example.com/logo.svg",
        "description": "Made up for the test.",
        "contactEmailAddress": "someone@example.com",
        "k8sConformanceUrl": f"https://github.com/cncf/k8s-conformance/tree/master/v{VERSION}/giant",
    }
    claims = {
        requirement.id: document.Claim(
            requirement.id, category.key, "Implemented", ("secure_accelerator_access.md",), "Works."
        )
        for category, requirement in checklist.requirements()
    }
    (folder / "PRODUCT.yaml").write_text(document.render(document.Product(metadata, claims), checklist))
    (folder / "secure_accelerator_access.md").write_text("# Secure accelerator access\n")
    return folder


def sign_up(page: Page, portal: RunningPortal, email: str, name: str) -> None:
    page.goto("/accounts/signup/")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Email", exact=False).first.fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign up").click()
    page.goto("/outbox/")
    page.locator("main a[href*='confirm-email']").first.click()
    page.locator("main").get_by_role("button", name="Confirm").click()
    if "/login/" in page.url:
        log_in(page, email, PASSWORD)


def log_in(page: Page, email: str, password: str = people.PASSWORD) -> None:
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(email)
    page.locator("input[name=password]").fill(password)
    page.locator("main button[type=submit]").first.click()
    expect(
        page.get_by_role("button", name="Sign out").or_(page.get_by_role("link", name="Sign out"))
    ).to_be_visible()


PHONE_WITHOUT_JAVASCRIPT = {"java_script_enabled": False, "viewport": {"width": 360, "height": 740}}


@pytest.mark.parametrize(
    ("organization", "window"),
    [("Swarm Works", {}), ("Pocket Works", PHONE_WITHOUT_JAVASCRIPT)],
    ids=["desktop", "phone-without-javascript"],
)
def test_submission_travels_from_the_vendor_to_the_public_registry(
    organization: str,
    window: dict[str, Any],
    portal: RunningPortal,
    person: Callable[..., Page],
    photograph: Callable[[Page, str], None],
    lab: Path,
    tmp_path: Path,
) -> None:
    folder = product(tmp_path)
    name = document.product(document.parse((folder / "PRODUCT.yaml").read_bytes())).metadata["platformName"]

    slug = organization.lower().replace(" ", "-")
    at_home = f"/vendor/organizations/{slug}/"

    # The vendor signs up, makes an organization and uploads the document.
    vendor = person(**window)
    sign_up(vendor, portal, f"vera@{slug}.example", "Vera Vendor")
    vendor.goto("/vendor/organizations/new/")
    vendor.get_by_label("Name").fill(organization)
    vendor.get_by_role("button", name="Create organization").click()
    vendor.goto(at_home + "submissions/upload/")
    vendor.locator("input[type=file]").set_input_files(folder / "PRODUCT.yaml")
    vendor.get_by_role("button", name="Upload and check").click()
    expect(vendor.locator("main")).to_contain_text("secure_accelerator_access.md")
    photograph(vendor, f"{slug}-1-vendor-upload")
    submission = re.search(r"/vendor/submissions/([0-9a-f-]{36})/", vendor.url)
    assert submission is not None, vendor.url
    address = submission[0]

    # Its evidence quotes a file that is not attached yet, so submitting is refused.
    vendor.goto(address + "check/")
    expect(vendor.get_by_role("button", name="Submit to the accreditation group")).to_be_disabled()
    photograph(vendor, f"{slug}-2-vendor-problems")
    vendor.goto(address + "files/")
    vendor.locator("input[type=file]").set_input_files(folder / "secure_accelerator_access.md")
    vendor.get_by_role("button", name="Attach").click()
    expect(vendor.locator("main table")).to_contain_text("secure_accelerator_access.md")
    vendor.goto(address + "requirements/security/")
    photograph(vendor, f"{slug}-3-vendor-form")
    vendor.goto(address + "check/")
    vendor.get_by_role("button", name="Submit to the accreditation group").click()
    expect(vendor.locator("main")).to_contain_text("Submitted")

    # A test cluster is registered, and the worker re-verifies the claims while the page shows how far it is.
    vendor.goto(at_home + "clusters/new/")
    vendor.get_by_label("Name").fill("lab")
    vendor.locator("input[type=file]").set_input_files(lab)
    vendor.get_by_role("button", name="Register cluster").click()
    expect(vendor.locator("main")).to_contain_text("lab")
    vendor.goto(address + "runs/")
    vendor.get_by_role("button", name="Start").click()
    expect(vendor.locator("[role=progressbar], progress").first).to_be_visible()
    photograph(vendor, f"{slug}-4-vendor-run-begins")
    run_address = vendor.url
    expect(vendor.locator("main")).to_contain_text("Conformant", timeout=LONG)
    photograph(vendor, f"{slug}-5-vendor-run-ended")
    evidence = vendor.locator("main a[href*='/evidence/']").first
    evidence.click()
    expect(vendor.locator("main pre")).to_be_visible()

    # The first reviewer takes it from the queue and approves; nothing is public yet.
    reviewer = person(**window)
    log_in(reviewer, people.REVIEWER.email)
    reviewer.goto("/admin/review/")
    photograph(reviewer, f"{slug}-6-reviewer-queue")
    reviewer.get_by_role("link", name=re.compile(re.escape(name))).first.click()
    reviewer.get_by_role("button", name="Begin the review").click()
    photograph(reviewer, f"{slug}-7-reviewer-review")
    review_address = reviewer.url
    approve(reviewer, "The observations agree with the claims.")
    expect(reviewer.locator("main")).to_contain_text("1 of 2")
    assert portal.get_json(f"/api/v1/certifications/?vendor={slug}")["count"] == 0

    # The same reviewer cannot approve twice; a second one decides.
    reviewer.goto(review_address)
    approve(reviewer, "Once more.")
    expect(reviewer.locator("main")).to_contain_text("You approved this submission already")
    lead = person(**window)
    log_in(lead, people.LEAD.email)
    lead.goto(review_address)
    approve(lead, "Agreed.")
    expect(lead.locator("main")).to_contain_text("AIK-")
    photograph(lead, f"{slug}-8-lead-decided")

    # The public registry lists it with its expiry date, and the API answers.
    visitor = person(**window)
    visitor.goto(f"/certified/?search={slug.partition('-')[0]}")
    expect(visitor.locator("main")).to_contain_text(name)
    photograph(visitor, f"{slug}-9-public-list")
    visitor.locator("main").get_by_role("link", name=re.compile(re.escape(name))).first.click()
    expect(visitor.locator("main")).to_contain_text("Simulated")
    photograph(visitor, f"{slug}-10-public-certificate")
    found = portal.get_json(f"/api/v1/certifications/?vendor={slug}")
    assert found["count"] == 1
    certification = found["results"][0]
    today = datetime.now(UTC).date()
    assert certification["status"] == "active"
    assert certification["simulated"] is True
    assert certification["assurance"] == "portal_verified"
    assert certification["expires_on"] == one_year_after(today).isoformat()
    verdicts = {row["id"]: row["verdict"] for row in certification["requirements"]}
    assert len(verdicts) == 9
    # The simulated platform has no autoscaler of nodes in this version, and says so.
    assert {identifier for identifier, verdict in verdicts.items() if verdict != "pass"} == {
        "cluster_autoscaling"
    }
    assert verdicts["cluster_autoscaling"] == "not_applicable"
    vendor.goto(run_address)
    vendor.goto(address)
    expect(vendor.locator("main")).to_contain_text(certification["number"])


def approve(page: Page, comment: str) -> None:
    page.get_by_label("Approve", exact=True).check()
    page.get_by_label("Reason or comment").fill(comment)
    page.get_by_role("button", name="Record the decision").click()


def test_demo_platform_is_certified_by_a_real_run(portal: RunningPortal) -> None:
    def demo() -> list[dict[str, object]]:
        found = portal.get_json("/api/v1/certifications/?search=Northwind")
        return found["results"]  # type: ignore[no-any-return]

    certification = eventually(demo, 120, "the demo's certificate")[0]
    assert certification["simulated"] is True
    assert certification["assurance"] == "portal_verified"
    detail = portal.get_json(f"/api/v1/certifications/{certification['number']}/")
    assert len(detail["requirements"]) == 12
    assert {row["verdict"] for row in detail["requirements"] if row["level"] == "MUST"} == {"pass"}
    states = portal.manage(
        "shell",
        "--verbosity=0",
        "--command",
        "from submissions.models import Submission\n"
        "print(sorted((str(s.platform), s.status) for s in Submission.objects.all()))",
    )
    assert "('Lakeside Engine', 'changes_requested')" in states
    assert "('Northwind Edge', 'draft')" in states
    portal.manage("verify_audit_log")  # exits with 1 when the chain is broken
