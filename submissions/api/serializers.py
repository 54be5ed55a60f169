"""How work in progress looks in the API: what comes in, and what goes out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from conformance.document import METADATA
from submissions.api import examples
from submissions.models import (
    CheckEvidence,
    CheckResult,
    Claim,
    EvidenceFile,
    ScenarioEvidence,
    ScenarioResult,
    Submission,
    VerificationRun,
)
from submissions.services.runs import sealed_report
from submissions.states import Status, Verdict

MAX_TEXT = 20_000
MAX_EVIDENCE = 200


# In -----------------------------------------------------------------------------------------------------


class TextField(serializers.CharField):
    """Text and nothing else: of a number as 1.30 it is too late to know that it was not 1.3."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class NumberField(serializers.IntegerField):
    """A whole number, as JSON writes one."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class ClaimIn(serializers.Serializer[Any]):
    """What is said of one requirement. Fields that are left out stay as they are."""

    id = TextField(max_length=60, help_text="The requirement's id, such as gang_scheduling.")
    status = TextField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="Implemented, N/A, …; judged, not refused.",
    )
    evidence = serializers.ListField(
        child=TextField(max_length=2_000), required=False, max_length=MAX_EVIDENCE
    )
    notes = TextField(required=False, allow_blank=True, max_length=MAX_TEXT)
    met_by = TextField(required=False, allow_blank=True, max_length=200)


class MetadataField(serializers.DictField):
    """Metadata under its camelCase names."""

    child = TextField(allow_blank=True, max_length=MAX_TEXT)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        values: dict[str, str] = super().to_internal_value(data)
        unknown = sorted(set(values) - set(METADATA))
        if unknown:
            raise serializers.ValidationError(
                {name: f"There is no such field; known are {', '.join(METADATA)}." for name in unknown}
            )
        return values


@extend_schema_serializer(examples=[examples.NEW_SUBMISSION])
class SubmissionIn(serializers.Serializer[Any]):
    """A new draft. A platform or configuration that is not there yet is added."""

    organization = serializers.SlugField(
        required=False, help_text="Its name in addresses. A token says it already; people with one need not."
    )
    platform = TextField(max_length=200, help_text="Its name, or its name in addresses.")
    configuration = TextField(max_length=120, default="default")
    kubernetes_version = TextField(max_length=20, help_text="Such as 1.36 or v1.36.2.")
    metadata = MetadataField(required=False)
    claims = ClaimIn(many=True, required=False)


@extend_schema_serializer(examples=[examples.CHANGE])
class SubmissionChangeIn(serializers.Serializer[Any]):
    """Changes of a draft; what is left out stays."""

    metadata = MetadataField(required=False)
    claims = ClaimIn(many=True, required=False)
    release_on = serializers.DateField(required=False, allow_null=True)
    revision = NumberField(
        required=False,
        help_text="The revision you have seen. Where others saved since, nothing changes: 409.",
    )


@extend_schema_serializer(examples=[examples.WITHDRAWAL])
class WithdrawIn(serializers.Serializer[Any]):
    reason = TextField(required=False, allow_blank=True, default="", max_length=MAX_TEXT)


class FileIn(serializers.Serializer[Any]):
    """A file to attach; one of the same name is replaced."""

    file = serializers.FileField(allow_empty_file=True)
    name = TextField(
        required=False, max_length=200, help_text="Its path in the submission, such as results/junit.xml."
    )


class ReportIn(serializers.Serializer[Any]):
    """A signed bundle, as `conformance verify --sign-key … --bundle …` writes it."""

    file = serializers.FileField()


@extend_schema_serializer(examples=[examples.NEW_RUN])
class VerificationIn(serializers.Serializer[Any]):
    """A run to start."""

    cluster = TextField(
        required=False,
        max_length=120,
        help_text="Id or name of a test cluster; may be left out where the organization has one.",
    )
    only = serializers.ListField(
        child=TextField(max_length=60),
        required=False,
        help_text="Requirement ids; all if left out.",
    )


# Out ----------------------------------------------------------------------------------------------------


class FindingOut(serializers.Serializer[Any]):
    """A problem the rules found."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=["error", "warning"])
    message = serializers.CharField()
    path = serializers.CharField()
    line = serializers.IntegerField(allow_null=True)
    column = serializers.IntegerField(allow_null=True)


class ClaimOut(serializers.ModelSerializer[Claim]):
    """What is said of one requirement."""

    id = serializers.CharField(source="requirement.requirement_id")
    category = serializers.CharField(source="requirement.category.key")
    level = serializers.CharField(source="requirement.level")
    evidence = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Claim
        fields = ("id", "category", "level", "status", "evidence", "notes", "met_by")


@extend_schema_serializer(examples=[examples.SUBMISSION_IN_A_LIST])
class SubmissionRow(serializers.ModelSerializer[Submission]):
    """A submission in a list."""

    id = serializers.UUIDField(source="uuid")
    url = serializers.SerializerMethodField(help_text="The page for people.")
    organization = serializers.CharField(source="organization.slug")
    platform = serializers.CharField(source="platform.slug")
    platform_name = serializers.CharField(source="platform.name")
    platform_version = serializers.CharField()
    configuration = serializers.CharField(source="configuration.name")
    kubernetes_version = serializers.CharField(source="checklist.version")
    status = serializers.ChoiceField(choices=Status.choices)

    class Meta:
        model = Submission
        fields: tuple[str, ...] = (
            "id",
            "url",
            "organization",
            "platform",
            "platform_name",
            "platform_version",
            "configuration",
            "kubernetes_version",
            "status",
            "revision",
            "round",
            "simulated",
            "created_at",
            "updated_at",
            "submitted_at",
            "due_on",
            "decided_at",
            "release_on",
            "certificate_number",
        )

    def get_url(self, submission: Submission) -> str:
        return f"{settings.SITE_URL}{submission.get_absolute_url()}"


@extend_schema_serializer(examples=[examples.SUBMISSION])
class SubmissionOut(SubmissionRow):
    """A submission in full, with what the rules say of it as it stands."""

    checklist_digest = serializers.CharField(source="checklist.digest")
    metadata = serializers.DictField(child=serializers.CharField())
    claims = ClaimOut(many=True)
    valid = serializers.SerializerMethodField(help_text="Whether it can be submitted: no error is left.")
    problems = serializers.SerializerMethodField()

    class Meta(SubmissionRow.Meta):
        fields = (*SubmissionRow.Meta.fields, "checklist_digest", "metadata", "claims", "valid", "problems")

    def get_valid(self, _submission: Submission) -> bool:
        return bool(self.context["judgement"].valid)

    @extend_schema_field(FindingOut(many=True))
    def get_problems(self, _submission: Submission) -> list[dict[str, Any]]:
        return [problem.as_dict() for problem in self.context["judgement"].problems]


@extend_schema_serializer(examples=[examples.FILE])
class FileOut(serializers.ModelSerializer[EvidenceFile]):
    """An attached file."""

    class Meta:
        model = EvidenceFile
        fields = ("name", "size", "sha256", "uploaded_at")


class PieceOut(serializers.ModelSerializer[CheckEvidence]):
    """A piece of evidence a check captured."""

    class Meta:
        model = CheckEvidence
        fields = ("name", "media_type", "sha256", "size")


class ResultOut(serializers.ModelSerializer[CheckResult]):
    """What a run says of one requirement."""

    id = serializers.CharField(source="requirement_id")
    evidence = PieceOut(many=True)

    class Meta:
        model = CheckResult
        fields = (
            "id",
            "level",
            "status",
            "reason",
            "message",
            "started_at",
            "finished_at",
            "duration_seconds",
            "evidence",
        )


class ScenePieceOut(serializers.ModelSerializer[ScenarioEvidence]):
    """A piece of evidence a scenario captured."""

    class Meta:
        model = ScenarioEvidence
        fields = ("name", "media_type", "sha256", "size")


class StepOut(serializers.Serializer[Any]):
    """A step of a scenario."""

    id = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=Verdict.choices)
    reason = serializers.CharField()
    message = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    duration_seconds = serializers.FloatField()


class ScenarioOut(serializers.ModelSerializer[ScenarioResult]):
    """What a run says of a simulated workload; it changes no outcome."""

    id = serializers.CharField(source="scenario_id")
    steps = StepOut(many=True)
    evidence = ScenePieceOut(many=True)

    class Meta:
        model = ScenarioResult
        fields = (
            "id",
            "status",
            "reason",
            "message",
            "started_at",
            "finished_at",
            "duration_seconds",
            "steps",
            "evidence",
        )


@extend_schema_serializer(examples=[examples.RUN_IN_A_LIST])
class VerificationRow(serializers.ModelSerializer[VerificationRun]):
    """A run in a list."""

    id = serializers.UUIDField(source="uuid")
    url = serializers.SerializerMethodField(help_text="The page for people.")
    submission = serializers.UUIDField(source="submission.uuid")
    cluster = serializers.CharField(
        source="cluster.name", allow_null=True, help_text="Null for a run of the vendor's own."
    )
    signed_by = serializers.CharField(
        source="signed_by.key_id", allow_null=True, help_text="The key of a run of the vendor's own."
    )
    only = serializers.ListField(child=serializers.CharField(), help_text="Empty: every requirement.")

    class Meta:
        model = VerificationRun
        fields: tuple[str, ...] = (
            "id",
            "url",
            "submission",
            "kind",
            "cluster",
            "signed_by",
            "status",
            "outcome",
            "only",
            "simulated",
            "created_at",
            "started_at",
            "finished_at",
            "cancel_requested_at",
            "attempts",
            "error",
            "report_digest",
        )

    def get_url(self, run: VerificationRun) -> str:
        return f"{settings.SITE_URL}{reverse('submissions:run', args=[run.uuid])}"


@extend_schema_serializer(examples=[examples.RUN])
class VerificationOut(VerificationRow):
    """A run with what it says of each requirement so far, and its sealed report once it has ended."""

    results = ResultOut(many=True)
    scenarios = ScenarioOut(many=True)
    report = serializers.SerializerMethodField(help_text="With its seal; null as long as the run goes on.")

    class Meta(VerificationRow.Meta):
        fields = (*VerificationRow.Meta.fields, "results", "scenarios", "report")

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_report(self, run: VerificationRun) -> dict[str, Any] | None:
        return sealed_report(run)
