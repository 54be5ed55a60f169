"""The people of the page tests, as a composed world."""

from __future__ import annotations

from dataclasses import dataclass

from django.test import Client

from certportal.accounts.models import User
from submissions.models import MembershipRole, Organization, Submission, TestCluster, VerificationRun
from tests.submissions.factories import (
    OrganizationFactory,
    PlatformFactory,
    RunFactory,
    SubmissionFactory,
    TestClusterFactory,
    member,
    owner_of,
)

INSIDERS = ("owner", "editor", "viewer")


@dataclass
class Cast:
    """An organization with a person of each role and work under way; a stranger from elsewhere."""

    organization: Organization
    owner: User
    editor: User
    viewer: User
    stranger: User
    submission: Submission
    cluster: TestCluster
    run: VerificationRun

    def browser(self, who: str) -> Client:
        """A browser in which `who` is signed in; ``nobody`` is not."""
        client = Client()
        if who != "nobody":
            client.force_login(getattr(self, who))
        return client


def gather() -> Cast:
    organization = OrganizationFactory(name="Northwind Cloud")
    submission = SubmissionFactory(platform=PlatformFactory(organization=organization, name="Engine"))
    cluster = TestClusterFactory(organization=organization, name="lab")
    run = RunFactory(
        submission=submission, cluster=cluster, verdicts={"gang_scheduling": "fail", "dra_support": "pass"}
    )
    stranger = owner_of(OrganizationFactory(name="Lakeside"))
    return Cast(
        organization=organization,
        owner=owner_of(organization),
        editor=member(organization, MembershipRole.EDITOR),
        viewer=member(organization, MembershipRole.VIEWER),
        stranger=stranger,
        submission=submission,
        cluster=cluster,
        run=run,
    )
