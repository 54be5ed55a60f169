"""Published facts for tests, made the way the portal makes them: by its services."""

from __future__ import annotations

from datetime import date
from typing import Any

import factory

from conformance.catalogue import builtin_checklists
from registry import services
from registry.models import Assurance, Certificate, Checklist

ISSUED = date(2026, 3, 1)


class RequirementSnapshotFactory(factory.Factory):
    """A MUST that the vendor attests, with one link as evidence."""

    class Meta:
        model = services.RequirementSnapshot

    requirement_id = "gang_scheduling"
    category = "schedulingOrchestration"
    description = "Of a group of pods, every one starts or none does."
    level = "MUST"
    claim = "Implemented"
    notes = "Works in the default installation."
    evidence = ("https://docs.example.org/gang",)
    assurance = Assurance.SELF_ATTESTED

    class Params:
        verified = factory.Trait(
            verdict="pass", assurance=Assurance.PORTAL_VERIFIED, verdict_message="All bound."
        )
        waiver = factory.Trait(claim="N/A", evidence=(), waived=True, waiver_reason="Bare metal only.")
        unclaimed = factory.Trait(level="SHOULD", claim="", notes="", evidence=(), assurance="")


def three_requirements() -> tuple[services.RequirementSnapshot, ...]:
    """One verified, one attested, one waived."""
    return (
        RequirementSnapshotFactory(verified=True),
        RequirementSnapshotFactory(
            requirement_id="secure_accelerator_access", category="security", evidence=("results/junit.xml",)
        ),
        RequirementSnapshotFactory(requirement_id="cluster_autoscaling", waiver=True),
    )


class CertificateSnapshotFactory(factory.Factory):
    """A platform of its own, with three requirements."""

    class Meta:
        model = services.CertificateSnapshot

    vendor = "Acme Cloud"
    platform_name = factory.Sequence(lambda number: f"Engine {number}")
    platform_version = "1.0"
    kubernetes_version = "1.35"
    assurance = Assurance.PORTAL_VERIFIED
    requirements = factory.LazyFunction(three_requirements)
    website_url = "https://example.org/"
    documentation_url = "https://docs.example.org/"


class CertificateFactory(factory.Factory):
    """An issued certificate; `on` is its date, everything else goes into the snapshot."""

    class Meta:
        model = Certificate

    on = ISSUED

    @classmethod
    def _create(cls, model_class: type[Certificate], *args: Any, on: date, **values: Any) -> Certificate:
        return services.issue_certificate(snapshot=CertificateSnapshotFactory(**values), on=on)


class ChecklistFactory(factory.Factory):
    """A published built-in checklist."""

    class Meta:
        model = Checklist

    version = "1.35"

    @classmethod
    def _create(cls, model_class: type[Checklist], *args: Any, version: str) -> Checklist:
        source = Checklist.Source.BUILT_IN
        return services.publish_checklist(checklist=builtin_checklists()[version], source=source)[0]
