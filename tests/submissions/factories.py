"""Work in progress for tests, made the way the portal makes it: by its services."""

from __future__ import annotations

import base64
from typing import Any

import factory
from allauth.account.models import EmailAddress
from django.utils import timezone

from certportal.accounts.models import User
from conformance.catalogue import builtin_checklists
from registry.models import Checklist
from registry.services import publish_checklist
from submissions.models import (
    CheckEvidence,
    Membership,
    MembershipRole,
    Organization,
    Platform,
    Submission,
    TestCluster,
    VerificationRun,
)
from submissions.services import clusters, drafting, organizations
from submissions.states import RunOutcome, RunStatus, Status, Verdict

VERSION = "1.35"
DOCS = "https://docs.example.org"
AUTHORITY = base64.b64encode(
    b"-----BEGIN CERTIFICATE-----\nnot looked at before a worker connects\n-----END CERTIFICATE-----\n"
).decode()


def kubeconfig(server: str = "https://93.184.216.34:6443", *, user: str = "token: abc123def456") -> bytes:
    """A kubeconfig with everything inline. The address is an address, so that no name is looked up."""
    return f"""\
apiVersion: v1
kind: Config
current-context: verifier
clusters:
  - name: lab
    cluster:
      server: {server}
contexts:
  - name: verifier
    context: {{cluster: lab, user: verifier}}
users:
  - name: verifier
    user:
      {user}
""".encode()


def checklist(version: str = VERSION) -> Checklist:
    """The built-in checklist of `version`, published."""
    return publish_checklist(checklist=builtin_checklists()[version], source=Checklist.Source.BUILT_IN)[0]


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A person with a confirmed address."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda number: f"person{number}@example.org")
    name = factory.Sequence(lambda number: f"Person {number}")

    class Params:
        reviewer = factory.Trait(review_role="reviewer")

    @factory.post_generation
    def confirmed(self: User, create: bool, extracted: Any, **kwargs: Any) -> None:  # type: ignore[misc]
        EmailAddress.objects.create(user=self, email=self.email, verified=True, primary=True)


class OrganizationFactory(factory.Factory[Organization]):
    """An organization with one owner, its founder."""

    class Meta:
        model = Organization

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda number: f"Vendor {number}")

    @classmethod
    def _create(cls, model_class: Any, *args: Any, owner: User, name: str, **kwargs: Any) -> Organization:
        return organizations.create_organization(
            actor=owner, name=name, website_url=kwargs.get("website_url", "https://www.example.org")
        )


def member(organization: Organization, role: str = MembershipRole.EDITOR) -> User:
    """A new person with a role in the organization."""
    user = UserFactory()
    Membership.objects.create(organization=organization, user=user, role=role)
    return user


def owner_of(organization: Organization) -> User:
    return organization.memberships.filter(role=MembershipRole.OWNER).first().user


class PlatformFactory(factory.Factory[Platform]):
    class Meta:
        model = Platform

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda number: f"Engine {number}")

    @classmethod
    def _create(
        cls, model_class: Any, *args: Any, organization: Organization, name: str, **kwargs: Any
    ) -> Platform:
        return organizations.create_platform(
            organization=organization,
            actor=owner_of(organization),
            name=name,
            description="A platform.",
            **kwargs,
        )


class SubmissionFactory(factory.Factory[Submission]):
    """A draft; with `complete` one without errors; `status` sets another state."""

    class Meta:
        model = Submission

    platform = factory.SubFactory(PlatformFactory)
    version = VERSION
    complete = False
    status = Status.DRAFT

    @classmethod
    def _create(
        cls,
        model_class: Any,
        *args: Any,
        platform: Platform,
        version: str,
        complete: bool,
        status: str,
        **kwargs: Any,
    ) -> Submission:
        actor = owner_of(platform.organization)
        submission = drafting.create_submission(
            actor=actor,
            configuration=platform.configurations.get(name="default"),
            checklist=checklist(version),
        )
        if complete:
            fill_in(submission, actor)
        now = timezone.now()
        changes: dict[str, Any] = dict(kwargs)
        if status != Status.DRAFT:
            changes |= {"status": status, "submitted_at": now, "round": 1, "due_on": now.date()}
        if status in {Status.APPROVED, Status.REJECTED}:
            changes["decided_at"] = now
        if changes:
            Submission.objects.filter(pk=submission.pk).update(**changes)
        submission.refresh_from_db()
        return submission


def fill_in(submission: Submission, actor: User) -> None:
    """Answer everything, so that no error is left."""
    version = submission.checklist.version
    drafting.save_metadata(
        submission=submission,
        actor=actor,
        values={
            "platformVersion": "4.2.0",
            "documentationUrl": DOCS,
            "productLogoUrl": f"{DOCS}/logo.svg",
            "k8sConformanceUrl": f"https://github.com/cncf/k8s-conformance/tree/master/v{version}/engine",
        },
    )
    for claim in submission.claims.select_related("requirement"):
        requirement_id = claim.requirement.requirement_id
        drafting.save_claim(
            submission=submission,
            actor=actor,
            requirement_id=requirement_id,
            values={
                "status": "Implemented",
                "evidence": [f"{DOCS}/{requirement_id}"],
                "notes": "Described on the page.",
            },
        )


class TestClusterFactory(factory.Factory[TestCluster]):
    __test__ = False

    class Meta:
        model = TestCluster

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda number: f"lab-{number}")
    data = factory.LazyFunction(kubeconfig)

    @classmethod
    def _create(cls, model_class: Any, *args: Any, organization: Organization, **kwargs: Any) -> TestCluster:
        return clusters.register_cluster(organization=organization, actor=owner_of(organization), **kwargs)


class RunFactory(factory.Factory[VerificationRun]):
    """A run as the database holds it. Its results are unknown, unless `verdicts` names others by id."""

    class Meta:
        model = VerificationRun

    submission = factory.SubFactory(SubmissionFactory)
    status = RunStatus.FINISHED
    verdicts = factory.LazyFunction(dict)

    @classmethod
    def _create(
        cls,
        model_class: Any,
        *args: Any,
        submission: Submission,
        status: str,
        verdicts: dict[str, str],
        **kwargs: Any,
    ) -> VerificationRun:
        now = timezone.now()
        organization = submission.organization
        cluster = kwargs.pop("cluster", None) or TestClusterFactory(organization=organization)
        finished = status == RunStatus.FINISHED
        if finished:
            kwargs.setdefault("outcome", RunOutcome.INCOMPLETE)
        run = VerificationRun.objects.create(
            submission=submission,
            cluster=cluster,
            requested_by=owner_of(organization),
            status=status,
            started_at=None if status == RunStatus.QUEUED else now,
            finished_at=None if status in {RunStatus.QUEUED, RunStatus.RUNNING} else now,
            **kwargs,
        )
        for requirement in submission.checklist.requirements.all():
            verdict = verdicts.get(requirement.requirement_id)
            result = run.results.create(
                requirement_id=requirement.requirement_id,
                level=requirement.level,
                position=requirement.position,
                status=verdict or Verdict.UNKNOWN,
                reason="seen" if verdict else "not_run",
                message="What the check saw." if verdict else "",
                started_at=now if verdict else None,
                finished_at=now if verdict else None,
                duration_seconds=1.5 if verdict else None,
            )
            if verdict:
                content = b'{"kind": "Pod", "note": "<b>seen</b>"}'
                CheckEvidence.objects.create(
                    result=result,
                    name="pod.json",
                    media_type="application/json",
                    sha256="0" * 64,
                    size=len(content),
                    content=content,
                )
        return run
