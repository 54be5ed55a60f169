"""The rows of exports that no other address of the API shows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.api.serializers import CertifiedRequirementSerializer
from registry.models import CertificateEvent, Requirement


class OfCertificateSerializer(serializers.Serializer[Any]):
    """Which certificate a row belongs to."""

    number = serializers.CharField(source="certificate.number")
    vendor = serializers.CharField(source="certificate.vendor")
    platform_name = serializers.CharField(source="certificate.platform_name")
    platform_version = serializers.CharField(source="certificate.platform_version")
    configuration = serializers.CharField(source="certificate.configuration")
    kubernetes_version = serializers.CharField(source="certificate.kubernetes_version")
    simulated = serializers.BooleanField(source="certificate.simulated")


OF_CERTIFICATE = tuple(OfCertificateSerializer().fields)


class ExportedRequirementSerializer(OfCertificateSerializer, CertifiedRequirementSerializer):
    """What one certificate says of one requirement."""

    class Meta(CertifiedRequirementSerializer.Meta):
        fields = (*OF_CERTIFICATE, *CertifiedRequirementSerializer.Meta.fields)  # type: ignore[assignment]


class ExportedChangeSerializer(OfCertificateSerializer, serializers.ModelSerializer[CertificateEvent]):
    """One entry in the history of one certificate, as it was recorded."""

    on = serializers.DateField(source="effective_on", help_text="The day on which it took effect.")

    class Meta:
        model = CertificateEvent
        fields = ("on", "kind", "status", "reason", "cure_by", *OF_CERTIFICATE)


class ExportedChecklistSerializer(serializers.ModelSerializer[Requirement]):
    """One requirement of one checklist."""

    version = serializers.CharField(source="checklist.version")
    revision = serializers.IntegerField(source="checklist.revision")
    digest = serializers.CharField(source="checklist.digest")
    source = serializers.CharField(source="checklist.source")  # type: ignore[assignment]
    category = serializers.CharField(source="category.key")
    id = serializers.CharField(source="requirement_id")

    class Meta:
        model = Requirement
        fields = ("version", "revision", "digest", "source", "category", "id", "level", "description")
