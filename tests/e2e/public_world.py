"""A registry full enough to strain every public page: made-up vendors, every status, names of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from django.utils import timezone

from conformance.catalogue import Checklist as CatalogueChecklist
from conformance.catalogue import builtin_checklists
from registry import services
from registry.models import Certificate, Checklist, FormerAddress

LONG_VENDOR = "Northern Ports Cooperative for Data Systems, Maritime Computing and Public Infrastructure"
LONG_PLATFORM = "HyperconvergedAcceleratedContainerOrchestrationPlatformEnterpriseEdition"
LONG_VERSION = "2026.11.0-rc.1+build.20261128.0f3a9c7e5b1d"
LONG_ADDRESS = (
    "https://docs.example.org/en/platform/2026.11/accelerators/scheduling/gang-scheduling-with-queues.html"
    "?section=how-it-was-tested&revision=0f3a9c7e5b1d8842aa10#results-of-the-last-test-run"
)
NOTES = (
    "Works in the default installation. Queues are created by the installer; a gang that does not fit "
    "waits as a whole.\n\nTested with eight nodes of four accelerators each."
)
REASON = "The documentation named as evidence has not been reachable since the notice of the 3rd."
# How each requirement of a certificate is known, by its place; the first fits a certificate at its best.
BEST = ("verified",)
MIXED = (
    *("verified", "vendor_run", "attested", "waived", "verified", "unclaimed", "partly"),
    *("attested", "unknown", "failed", "verified", "error"),
)
WORD = ("attested", "attested", "waived", "attested", "unclaimed")


def requirements(
    checklist: CatalogueChecklist, pattern: tuple[str, ...], today: date
) -> Iterator[services.RequirementSnapshot]:
    """Every requirement of `checklist`, each known as its place in `pattern` says."""
    kinds = {
        "verified": {"verdict": "pass", "assurance": "portal_verified", "verdict_message": "Both pods ran."},
        "vendor_run": {"verdict": "pass", "assurance": "vendor_run"},
        "attested": {"assurance": "self_attested"},
        "failed": {
            "verdict": "fail",
            "verdict_reason": "partial_bind",
            "verdict_message": "One pod of the gang was bound while a place was missing for the other.",
            "assurance": "self_attested",
        },
        "unknown": {"verdict": "unknown", "verdict_reason": "one_node", "assurance": "self_attested"},
        "error": {"verdict": "error", "verdict_reason": "forbidden", "assurance": "self_attested"},
        "waived": {
            "claim": "N/A",
            "waived": True,
            "waiver_reason": "The platform runs on bare metal, where no nodes can be added by a program.",
            "waiver_expires_on": today + timedelta(days=200),
        },
        "partly": {"claim": "Partially Implemented", "assurance": ""},
        "unclaimed": {"claim": "", "assurance": "", "notes": "", "evidence": ()},
    }
    place = 0
    for category in checklist.categories:
        for requirement in category.requirements:
            values = {
                "claim": "Implemented",
                "notes": NOTES,
                "evidence": (LONG_ADDRESS, "file://results/junit.xml#TestGangScheduling"),
                **kinds[pattern[place % len(pattern)]],
            }
            place += 1
            yield services.RequirementSnapshot(
                requirement_id=requirement.id,
                category=category.key,
                description=requirement.description,
                level=requirement.level,
                **values,  # type: ignore[arg-type]
            )


class World:
    """Makes certificates through the portal's own services and remembers their numbers."""

    def __init__(self, today: date) -> None:
        self.today = today
        self.checklists = builtin_checklists()
        self.numbers: dict[str, str] = {}

    def certify(
        self,
        key: str,
        *,
        vendor: str = "Acme Cloud",
        platform: str,
        version: str = "1.0",
        kubernetes: str = "1.35",
        days_ago: int = 100,
        pattern: tuple[str, ...] = WORD,
        first: int | None = None,
        **values: object,
    ) -> Certificate:
        """A certificate with the requirements of its checklist; with the `first` few, its page is short."""
        rows = tuple(requirements(self.checklists[kubernetes], pattern, self.today))[:first]
        snapshot = services.CertificateSnapshot(
            vendor=vendor,
            platform_name=platform,
            platform_version=version,
            kubernetes_version=kubernetes,
            assurance=services.overall_assurance(rows),
            requirements=rows,
            **{  # type: ignore[arg-type]
                "description": "A managed platform for training and inference on shared accelerators.",
                "website_url": "https://example.org/",
                "documentation_url": "https://docs.example.org/",
                "base_conformance_url": "https://github.com/cncf/k8s-conformance/tree/master/v1.35/acme",
                "checklist_digest": self.checklists[kubernetes].digest,
                **values,
            },
        )
        certificate = services.issue_certificate(snapshot=snapshot, on=self.ago(days_ago))
        self.numbers[key] = certificate.number
        return certificate

    def ago(self, days: int) -> date:
        return self.today - timedelta(days=days)

    def fill(self) -> None:
        for checklist in self.checklists.values():
            services.publish_checklist(checklist=checklist, source=Checklist.Source.BUILT_IN)
        self.fill_with_each_status()
        self.fill_with_names()
        self.fill_a_second_page()
        # Acme bought Acme Labs; what was certified under the former name is found under the new one.
        FormerAddress.objects.create(kind="vendor", vendor_slug="acme-labs", to_vendor_slug="acme-cloud")

    def fill_with_each_status(self) -> None:
        digest = "sha256:" + "9f86d081884c7d65" * 4
        self.certify(
            "active",
            vendor="Harbour Systems",
            platform="Harbour",
            version="2.1",
            kubernetes="1.36",
            pattern=MIXED,
            run_digest=digest,
            repo_url="https://code.example.org/harbour",
        )
        self.certify("best", platform="Summit", version="4.2", kubernetes="1.36", pattern=BEST, days_ago=20)
        self.certify("expiring", platform="Fjord", first=4, days_ago=335)
        self.certify("expired", platform="Quartz", first=4, days_ago=500)
        suspended = self.certify("suspended", platform="Meridian", first=4, configuration="air-gapped")
        services.suspend_certificate(certificate=suspended, reason=REASON, on=self.ago(12))
        revoked = self.certify("revoked", platform="Lagoon", first=4, vendor="Acme Labs", days_ago=200)
        services.suspend_certificate(certificate=revoked, reason=REASON, on=self.ago(45))
        services.revoke_certificate(certificate=revoked, reason="The vendor gave it up.", on=self.ago(30))
        cured = self.certify("cured", platform="Delta", version="7", days_ago=250)
        services.suspend_certificate(certificate=cured, reason=REASON, on=self.ago(90))
        services.reinstate_certificate(certificate=cured, reason="The evidence is back.", on=self.ago(80))
        self.certify("superseded", platform="Tundra", first=4, days_ago=300)
        self.certify("renewal", platform="Tundra", days_ago=40, pattern=BEST)
        self.certify(
            "simulated", platform="Rehearsal", first=4, pattern=BEST, simulated=True, run_digest=digest
        )
        self.certify("simulated_expired", platform="Old rehearsal", first=4, days_ago=400, simulated=True)
        finding = {
            "code": "evidence_missing",
            "severity": "error",
            "message": "A MUST that is claimed as Implemented has no evidence.",
            "path": "spec.schedulingOrchestration[0].evidence",
            "line": 41,
            "column": 7,
        }
        altered = {**finding, "code": "description_altered", "severity": "warning", "path": "spec.security"}
        altered["message"] = "The text of the requirement was altered."
        self.certify(
            "imported",
            vendor="Lakeside",
            platform="Pier",
            kubernetes="1.33",
            first=4,
            days_ago=300,
            imported=True,
            findings=[finding, altered],
        )

    def fill_with_names(self) -> None:
        self.certify(
            "long",
            vendor=LONG_VENDOR,
            platform=LONG_PLATFORM,
            version=LONG_VERSION,
            configuration="dedicated-tenancy-with-customer-managed-keys-and-private-registry",
            pattern=MIXED,
            base_platform="An Enterprise Distribution of Kubernetes with a Rather Long Name 4.18",
        )
        self.certify(
            "chinese",
            vendor="星河云计算有限公司",
            platform="星河智算容器平台企业版",
            version="3.2",
            pattern=MIXED,
        )
        self.certify(
            "japanese",
            vendor="株式会社みなと基盤",
            platform="みなとクラウドネイティブ推論基盤",
            version="2026年秋版",
        )
        self.certify("german", vendor="Zürich Rechenzentrum AG", platform="Gipfelstürmer", version="12")

    def fill_a_second_page(self) -> None:
        for number in range(14):
            self.certify(
                f"more-{number}",
                vendor=f"Vendor {chr(65 + number)}",
                platform=("Compute", "Inference", "Training")[number % 3] + " Engine",
                version=f"{number + 1}.{number % 4}",
                kubernetes=("1.34", "1.35", "1.36")[number % 3],
                days_ago=20 * number + 3,
                pattern=(BEST, MIXED, WORD)[number % 3],
            )


def fill() -> dict[str, str]:
    """Fill an empty registry; returns the number of each certificate by what it is an example of."""
    world = World(timezone.now().date())
    world.fill()
    return world.numbers
