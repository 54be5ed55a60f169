"""Work in progress: organizations, platforms, submissions, evidence, test clusters, runs, review."""

from submissions.models.clusters import ClusterUse, TestCluster
from submissions.models.events import ChainHead, Event
from submissions.models.organizations import (
    ApiToken,
    Invitation,
    Membership,
    MembershipRole,
    Organization,
    ReportKey,
)
from submissions.models.platforms import Configuration, Platform
from submissions.models.review import Approval, ConflictOfInterest, Waiver
from submissions.models.runs import CheckEvidence, CheckResult, VerificationRun
from submissions.models.scenarios import ScenarioEvidence, ScenarioResult
from submissions.models.submissions import Claim, ClaimStatus, EvidenceFile, Submission

__all__ = [
    "ApiToken",
    "Approval",
    "ChainHead",
    "CheckEvidence",
    "CheckResult",
    "Claim",
    "ClaimStatus",
    "ClusterUse",
    "Configuration",
    "ConflictOfInterest",
    "Event",
    "EvidenceFile",
    "Invitation",
    "Membership",
    "MembershipRole",
    "Organization",
    "Platform",
    "ReportKey",
    "ScenarioEvidence",
    "ScenarioResult",
    "Submission",
    "TestCluster",
    "VerificationRun",
    "Waiver",
]
