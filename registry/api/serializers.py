"""How published facts look in the API."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conformance import catalogue
from registry.models import (
    Assurance,
    Certificate,
    CertificateEvent,
    CertificateRequirement,
    Checklist,
    Requirement,
)


class CertifiedRequirementSerializer(serializers.ModelSerializer[CertificateRequirement]):
    """What a certificate says of one requirement."""

    id = serializers.CharField(source="requirement_id")
    evidence = serializers.ListField(child=serializers.CharField())
    met = serializers.BooleanField(
        source="is_met", help_text="Claimed, and not contradicted by what was observed."
    )
    verdict = serializers.CharField(help_text="What the check observed; empty where none ran.")
    workloads = serializers.SerializerMethodField(help_text="Kinds of workload the requirement serves.")

    class Meta:
        model = CertificateRequirement
        fields = (
            "id",
            "level",
            "category",
            "description",
            "workloads",
            "claim",
            "notes",
            "evidence",
            "met",
            "verdict",
            "verdict_reason",
            "verdict_message",
            "assurance",
            "waived",
            "waiver_reason",
            "waiver_expires_on",
        )

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_workloads(self, row: CertificateRequirement) -> list[str]:
        info = catalogue.REQUIREMENTS.get(row.requirement_id)
        return sorted(info.kinds) if info else []


class CertificateEventSerializer(serializers.ModelSerializer[CertificateEvent]):
    """One change of a certificate."""

    class Meta:
        model = CertificateEvent
        fields = ("kind", "status", "effective_on", "reason", "cure_by")


class CoverageSerializer(serializers.Serializer[Certificate]):
    """How many requirements stand on which knowledge; the rest was not claimed."""

    requirements = serializers.IntegerField(source="requirement_count")
    portal_verified = serializers.IntegerField(source="verified_count")
    vendor_run = serializers.IntegerField(source="vendor_run_count")
    self_attested = serializers.IntegerField(source="attested_count")
    waived = serializers.IntegerField(source="waived_count")
    failed = serializers.IntegerField(source="failed_count", help_text="Seen to fail, and not waived.")


class CertificationSerializer(serializers.ModelSerializer[Certificate]):
    """A certificate as it stood on the date asked."""

    url = serializers.SerializerMethodField(help_text="The page for people.")
    status = serializers.ChoiceField(
        choices=Certificate.Status.choices, source="status_on", help_text="Status on the date `status_on`."
    )
    status_on = serializers.SerializerMethodField(help_text="The date asked; today unless `on` was given.")
    expiring_soon = serializers.SerializerMethodField(help_text="Active with 60 days or fewer left.")
    assurance = serializers.ChoiceField(
        choices=Assurance.choices, help_text="The strongest way in which a requirement is known to be met."
    )
    expires_on = serializers.DateField(help_text="The first day on which it no longer holds.")
    coverage = CoverageSerializer(source="*")
    requirements = CertifiedRequirementSerializer(many=True)

    class Meta:
        model = Certificate
        fields: tuple[str, ...] = (
            "number",
            "url",
            "platform_name",
            "platform_version",
            "configuration",
            "vendor",
            "kubernetes_version",
            "status",
            "status_on",
            "expiring_soon",
            "assurance",
            "coverage",
            "issued_on",
            "expires_on",
            "simulated",
            "imported",
            "requirements",
        )

    @property
    def _date_asked(self) -> date:
        asked: date = self.context["on"]
        return asked

    def get_url(self, certificate: Certificate) -> str:
        return f"{settings.SITE_URL}{certificate.get_absolute_url()}"

    @extend_schema_field(serializers.DateField())
    def get_status_on(self, _certificate: Certificate) -> str:
        return self._date_asked.isoformat()

    def get_expiring_soon(self, certificate: Any) -> bool:
        active: bool = certificate.status_on == Certificate.Status.ACTIVE
        return active and bool(certificate.expires_within(self._date_asked))


class CertificationDetailSerializer(CertificationSerializer):
    """One certificate in full."""

    cure_by = serializers.SerializerMethodField(
        help_text="While suspended: the day on which it is revoked unless its cause was cured before."
    )
    history = serializers.SerializerMethodField()
    findings = serializers.ListField(
        child=serializers.DictField(), help_text="What today's rules say of an imported record."
    )
    supersedes = serializers.SerializerMethodField(help_text="Number of the certificate it replaced.")
    superseded_by = serializers.SerializerMethodField(help_text="Number of the certificate that replaced it.")

    class Meta(CertificationSerializer.Meta):
        fields = (
            *CertificationSerializer.Meta.fields,
            "description",
            "website_url",
            "documentation_url",
            "repo_url",
            "base_conformance_url",
            "base_platform",
            "checklist_revision",
            "checklist_digest",
            "run_digest",
            "run_finished_at",
            "findings",
            "cure_by",
            "history",
            "supersedes",
            "superseded_by",
        )

    @extend_schema_field(serializers.DateField(allow_null=True))
    def get_cure_by(self, certificate: Any) -> str | None:
        if certificate.status_on != Certificate.Status.SUSPENDED:
            return None
        known = [event for event in certificate.history.all() if event.effective_on <= self._date_asked]
        return known[-1].cure_by.isoformat() if known and known[-1].cure_by else None

    @extend_schema_field(CertificateEventSerializer(many=True))
    def get_history(self, certificate: Certificate) -> Any:
        known = [event for event in certificate.history.all() if event.effective_on <= self._date_asked]
        return CertificateEventSerializer(known, many=True).data

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_supersedes(self, certificate: Certificate) -> str | None:
        return certificate.supersedes.number if certificate.supersedes else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_superseded_by(self, certificate: Certificate) -> str | None:
        newer = [item for item in certificate.successors.all() if item.issued_on <= self._date_asked]
        return min(newer, key=lambda item: item.pk).number if newer else None


class ChecklistRequirementSerializer(serializers.ModelSerializer[Requirement]):
    """A requirement as a checklist words it."""

    id = serializers.CharField(source="requirement_id")
    category = serializers.CharField(source="category.key")
    title = serializers.SerializerMethodField()

    class Meta:
        model = Requirement
        fields = ("id", "title", "category", "level", "description")

    def get_title(self, requirement: Requirement) -> str:
        info = catalogue.REQUIREMENTS.get(requirement.requirement_id)
        return info.title if info else requirement.requirement_id


class ChecklistSerializer(serializers.ModelSerializer[Checklist]):
    """A published checklist: the newest revision of its version."""

    requirements = ChecklistRequirementSerializer(many=True)

    class Meta:
        model = Checklist
        fields = ("version", "revision", "digest", "source", "published_at", "requirements")
