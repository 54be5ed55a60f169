"""The demo of the embedded portal. Everything in it goes the way a real submission goes.

Each step looks first whether it was taken already, so that an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import close_old_connections

from certportal import demo_people as people
from certportal.accounts.models import User
from registry.models import Checklist
from registry.services import address_name
from submissions.errors import PortalError
from submissions.models import Membership, Organization, Submission, TestCluster, VerificationRun
from submissions.services import clusters, drafting, lifecycle, organizations, runs
from submissions.states import RunStatus, Status

VERSION = "1.35"
DRAFT_VERSION = "1.36"
RUN_LASTS_AT_MOST = timedelta(minutes=5)
LOOK_EVERY_SECONDS = 0.5
EVIDENCE = "evidence.md"


@dataclass(frozen=True, slots=True)
class Story:
    """One platform of the demo."""

    person: people.Person
    organization: str
    platform: str
    version: str
    description: str
    cluster: str
    docs: str


CERTIFIED = Story(
    people.VENDOR,
    "Northwind Cloud",
    "Northwind AI Kubernetes",
    "4.2.0",
    "Managed Kubernetes with accelerator pools for training and inference.",
    "northwind-conformant",
    "https://docs.northwind.example/ai-kubernetes",
)
FAULTY = Story(
    people.SECOND_VENDOR,
    "Lakeside Systems",
    "Lakeside Engine",
    "2026.3",
    "An installable distribution for machine rooms with mixed accelerators.",
    "lakeside-leaky",
    "https://docs.lakeside.example/engine",
)
DRAFT = Story(
    people.VENDOR,
    "Northwind Cloud",
    "Northwind Edge",
    "1.0.0-rc2",
    "A small footprint edition for sites with one or two nodes.",
    "",
    "https://docs.northwind.example/edge",
)


def fill(say: Callable[[str], None]) -> None:
    """Fill the demo; returns when both runs have finished and the reviewers have decided."""
    make_people()
    certified, faulty = _submitted(CERTIFIED, say), _submitted(FAULTY, say)
    _draft(say)
    for story, submission in ((CERTIFIED, certified), (FAULTY, faulty)):
        _verified(story, submission, say)
    _approved(certified, say)
    _sent_back(faulty, say)


def make_people() -> None:
    """Make the demo's people, where they are not there yet."""
    for person in people.PEOPLE:
        _user(person)


def _user(person: people.Person) -> User:
    user = User.objects.filter(email=person.email).first()
    if user is None:
        user = User.objects.create_user(
            person.email,
            people.PASSWORD,
            name=person.name,
            review_role=person.review_role,
            is_staff=person.is_operator,
            is_superuser=person.is_operator,
        )
    EmailAddress.objects.get_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )
    return user


def _organization(story: Story) -> tuple[User, Organization]:
    user = User.objects.get(email=story.person.email)
    organization = Organization.objects.filter(name=story.organization).first()
    if organization is None:
        organization = organizations.create_organization(
            actor=user,
            name=story.organization,
            website_url=f"https://{address_name(story.organization)}.example",
        )
    Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": "owner"})
    return user, organization


def _submission(story: Story, version: str) -> tuple[User, Submission, bool]:
    user, organization = _organization(story)
    platform = organization.platforms.filter(name=story.platform).first() or organizations.create_platform(
        organization=organization, actor=user, name=story.platform, description=story.description
    )
    configuration = platform.configurations.get(name="default")
    existing = configuration.submissions.order_by("pk").first()
    if existing is not None:
        return user, existing, False
    checklist = Checklist.objects.current().get(version=version)
    metadata = {
        "platformVersion": story.version,
        "documentationUrl": story.docs,
        "productLogoUrl": f"{story.docs}/logo.svg",
        "k8sConformanceUrl": f"https://github.com/cncf/k8s-conformance/tree/master/v{version}/{platform.slug}",
    }
    submission = drafting.create_submission(
        actor=user, configuration=configuration, checklist=checklist, metadata=metadata
    )
    return user, submission, True


def _submitted(story: Story, say: Callable[[str], None]) -> Submission:
    user, submission, _ = _submission(story, VERSION)
    if submission.status == Status.DRAFT:
        _attach_evidence(story, submission, user)
        for claim in submission.claims.select_related("requirement"):
            drafting.save_claim(
                submission=submission,
                actor=user,
                requirement_id=claim.requirement.requirement_id,
                values=_claimed(story, claim.requirement.requirement_id),
            )
        submission = lifecycle.submit(submission=submission, actor=user)
        say(f"{story.platform} is submitted")
    return submission


def _claimed(story: Story, requirement_id: str) -> dict[str, Any]:
    return {
        "status": "Implemented",
        "evidence": [f"{EVIDENCE}#{requirement_id}"],
        "notes": f"Enabled on every {story.platform} cluster; the document says how.",
    }


def _attach_evidence(story: Story, submission: Submission, actor: User) -> None:
    """Attach the document that the demo's claims quote, with a heading for each requirement."""
    names = submission.checklist.requirements.values_list("requirement_id", flat=True)
    text = f"# {story.platform}: how each requirement is met\n" + "".join(
        f"\n## {name}\n\nMade up for the demo.\n" for name in names
    )
    drafting.attach_file(submission=submission, actor=actor, name=EVIDENCE, data=text.encode())


def _draft(say: Callable[[str], None]) -> None:
    user, submission, is_new = _submission(DRAFT, DRAFT_VERSION)
    if not is_new:
        return
    _attach_evidence(DRAFT, submission, user)
    values = {
        "secure_accelerator_access": "Implemented",
        "gang_scheduling": "Implemented",
        "cluster_autoscaling": "N/A",
    }
    for requirement_id, status in values.items():
        said = _claimed(DRAFT, requirement_id) | {"status": status}
        if status == "N/A":
            said |= {
                "evidence": [],
                "notes": "The edition runs on fixed hardware at the edge; there are no node groups to scale.",
            }
        drafting.save_claim(submission=submission, actor=user, requirement_id=requirement_id, values=said)
    say(f"{DRAFT.platform} is a draft")


def _cluster(story: Story, submission: Submission, user: User) -> TestCluster:
    organization = submission.organization
    cluster: TestCluster | None = organization.clusters.filter(name=story.cluster).first()
    if cluster is None:
        path = Path(settings.DATA_DIR) / "clusters" / f"{story.cluster}.yaml"
        cluster = clusters.register_cluster(
            organization=organization, actor=user, name=story.cluster, data=path.read_bytes()
        )
    return cluster


def _verified(story: Story, submission: Submission, say: Callable[[str], None]) -> None:
    if lifecycle.deciding_run(submission) is not None:
        return
    user = User.objects.get(email=story.person.email)
    run = submission.runs.active().verifications().first()
    if run is None:
        run = runs.request_run(submission=submission, cluster=_cluster(story, submission, user), actor=user)
    for line in _watched(run):
        say(f"{story.platform}: {line}")


def _watched(run: VerificationRun) -> Iterator[str]:
    """Lines that tell how the run goes, until it has ended."""
    deadline = time.monotonic() + RUN_LASTS_AT_MOST.total_seconds()
    told = -1
    while time.monotonic() < deadline:
        close_old_connections()
        run.refresh_from_db()
        how_far = runs.progress(run)
        if run.is_active and how_far["done"] != told:
            told = how_far["done"]
            yield f"verification, {told} of {how_far['total']} requirements"
        if not run.is_active:
            yield f"verification {run.status}, {run.outcome or run.error}"
            if run.status != RunStatus.FINISHED:
                raise PortalError("demo", f"The demo's run did not finish: {run.error or run.status}")
            return
        time.sleep(LOOK_EVERY_SECONDS)
    raise PortalError("demo", f"The demo's run did not finish within {RUN_LASTS_AT_MOST}.")


def _in_review(submission: Submission) -> Submission:
    submission.refresh_from_db()
    if submission.status == Status.SUBMITTED:
        reviewer = User.objects.get(email=people.REVIEWER.email)
        submission = lifecycle.start_review(submission=submission, actor=reviewer)
    return submission


def _approved(submission: Submission, say: Callable[[str], None]) -> None:
    submission = _in_review(submission)
    for person in (people.REVIEWER, people.LEAD):
        reviewer = User.objects.get(email=person.email)
        if (
            submission.status == Status.IN_REVIEW
            and not submission.approvals.filter(reviewer=reviewer, round=submission.round).exists()
        ):
            submission = lifecycle.approve(
                submission=submission, actor=reviewer, comment="Demo: verified against the simulated cluster."
            )
    submission.refresh_from_db()
    say(
        f"{submission.platform} is {submission.get_status_display().lower()}: {submission.certificate_number}"
    )


def _sent_back(submission: Submission, say: Callable[[str], None]) -> None:
    submission = _in_review(submission)
    if submission.status == Status.IN_REVIEW:
        blocking = lifecycle.obstacles(submission)
        submission = lifecycle.request_changes(
            submission=submission,
            actor=User.objects.get(email=people.REVIEWER.email),
            reason="The verification contradicts what was claimed:\n"
            + "\n".join(f"- {text}" for text in blocking),
        )
    say(f"{submission.platform}: {submission.get_status_display().lower()}")
