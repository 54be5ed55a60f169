"""The API for vendors' programs. A token acts in one organization, for the person who made it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, extend_schema
from rest_framework import exceptions, generics, status
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from certportal.accounts.models import User
from certportal.api.parsers import JSONParser
from conformance import bundle
from conformance.rules import Judgement
from submissions import rules
from submissions.api import examples, serializers
from submissions.api.authentication import TokenScope
from submissions.api.parsers import DOCUMENT_PARSERS, BundleParser, Document, Packed
from submissions.api.schema import problems
from submissions.errors import ApplicantError
from submissions.models import (
    ApiToken,
    CheckEvidence,
    Organization,
    ScenarioEvidence,
    Submission,
    TestCluster,
    VerificationRun,
)
from submissions.services import api_drafting, drafting, lifecycle, vendor_reports
from submissions.services import runs as run_service
from submissions.states import Status

TAG = ["submissions"]


class VendorView(APIView):
    """What every address has in common: who asks, and what they may see."""

    permission_classes = (IsAuthenticated, TokenScope)

    @property
    def person(self) -> User:
        user = self.request.user
        if not isinstance(user, User):
            raise exceptions.NotAuthenticated
        return user

    @property
    def token(self) -> ApiToken | None:
        return self.request.auth if isinstance(self.request.auth, ApiToken) else None

    def submissions(self) -> Any:
        """Those of the person's organizations; with a token only of the token's."""
        found = Submission.objects.visible_to(self.person).with_names()
        if self.token is not None:
            found = found.filter(configuration__platform__organization=self.token.organization_id)
        return found

    def runs(self) -> Any:
        found = VerificationRun.objects.visible_to(self.person).verifications()
        found = found.select_related("submission", "cluster", "signed_by")
        if self.token is not None:
            found = found.filter(submission__configuration__platform__organization=self.token.organization_id)
        return found.defer("cluster__kubeconfig_encrypted")

    def submission(self, uuid: UUID) -> Submission:
        found: Submission = get_object_or_404(self.submissions(), uuid=uuid)
        return found

    def require_editor(self, organization: Organization) -> None:
        if not rules.may_edit(self.person, organization):
            raise ApplicantError(
                "not_allowed", f"Only owners and editors of {organization} may do that; ask one of them."
            )

    def organization(self, slug: str = "") -> Organization:
        """The token's organization; else the one named, or the person's only one."""
        if self.token is not None:
            if slug and slug != self.token.organization.slug:
                raise Http404
            found: Organization = self.token.organization
            return found
        own = Organization.objects.visible_to(self.person)
        if slug:
            named: Organization = get_object_or_404(own, slug=slug)
            return named
        if own.count() != 1:
            raise exceptions.ValidationError({"organization": "Say which organization it is for."})
        only: Organization = own.get()
        return only

    def answer(self, submission: Submission, status_code: int = 200) -> Response:
        """The submission in full, judged as it stands now."""
        submission = (
            self.submissions().prefetch_related("claims__requirement__category").get(pk=submission.pk)
        )
        context = {"judgement": drafting.judge_submission(submission)}
        return Response(serializers.SubmissionOut(submission, context=context).data, status=status_code)


def unreadable(judgement: Judgement, reason: str) -> ApplicantError:
    found = [problem.as_dict() for problem in judgement.problems]
    return ApplicantError("document_unreadable", reason, problems=found)


def document_in(request: Request) -> Document | None:
    """The PRODUCT.yaml that is the request's body; None where the body is something else."""
    if isinstance(request.data, Document):
        return request.data
    kind = (request.content_type or "").split(";")[0].strip().lower()
    # An empty body never reaches a parser, and is an empty document all the same.
    return Document(b"") if kind in {parser.media_type for parser in DOCUMENT_PARSERS} else None


class SubmissionList(VendorView, generics.ListAPIView[Submission]):
    """Submissions, the one changed last first."""

    serializer_class = serializers.SubmissionRow
    parser_classes = (JSONParser, *DOCUMENT_PARSERS)
    queryset = Submission.objects.none()
    filter_backends = ()

    def get_queryset(self) -> Any:
        found = self.submissions().order_by("-updated_at", "-pk")
        wanted = self.request.query_params.get("status")
        if wanted:
            if wanted not in Status.values:
                raise exceptions.ValidationError({"status": f"One of {', '.join(Status.values)}."})
            found = found.filter(status=wanted)
        return found

    @extend_schema(
        operation_id="submissions_list",
        tags=TAG,
        parameters=[
            OpenApiParameter(
                "status", OpenApiTypes.STR, enum=Status.values, description="Only those with this status."
            )
        ],
        responses={200: serializers.SubmissionRow(many=True), **problems(400)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="submissions_create",
        tags=TAG,
        parameters=[
            OpenApiParameter(
                "organization",
                OpenApiTypes.STR,
                description="With a document as the body: its name in addresses. A token says it already.",
            )
        ],
        description="Start a draft, from JSON or from a PRODUCT.yaml as the body. A document with errors "
        "makes a draft all the same, as far as it can be read; the answer lists its problems.",
        request={
            "application/json": serializers.SubmissionIn,
            "application/yaml": OpenApiRequest(OpenApiTypes.STR, examples=[examples.DOCUMENT]),
        },
        responses={201: serializers.SubmissionOut, **problems(400, 403, 404, 422)},
    )
    def post(self, request: Request) -> Response:
        if (document := document_in(request)) is not None:
            organization = self.organization(request.query_params.get("organization", ""))
            self.require_editor(organization)
            upload = drafting.create_from_document(
                actor=self.person, organization=organization, data=document.data
            )
            if upload.submission is None:
                raise unreadable(
                    upload.judgement,
                    "No submission was made: the document does not say which platform it is about.",
                )
            return self.answer(upload.submission, status.HTTP_201_CREATED)
        form = serializers.SubmissionIn(data=request.data)
        form.is_valid(raise_exception=True)
        values = dict(form.validated_data)
        organization = self.organization(values.pop("organization", ""))
        self.require_editor(organization)
        submission = api_drafting.create_draft(
            organization=organization,
            actor=self.person,
            metadata=values.pop("metadata", {}),
            claims=values.pop("claims", []),
            **values,
        )
        return self.answer(submission, status.HTTP_201_CREATED)


class SubmissionDetail(VendorView):
    """One submission."""

    parser_classes = (JSONParser, *DOCUMENT_PARSERS)

    @extend_schema(
        operation_id="submissions_retrieve",
        tags=TAG,
        responses={200: serializers.SubmissionOut, **problems(404)},
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        return self.answer(self.submission(uuid))

    @extend_schema(
        operation_id="submissions_change",
        tags=TAG,
        description="Change a draft, by JSON or by a PRODUCT.yaml as the body. All is saved, or nothing.",
        request={
            "application/json": serializers.SubmissionChangeIn,
            "application/yaml": OpenApiRequest(OpenApiTypes.STR, examples=[examples.DOCUMENT]),
        },
        responses={200: serializers.SubmissionOut, **problems(400, 403, 404, 409, 422)},
    )
    def patch(self, request: Request, uuid: UUID) -> Response:
        submission = self.submission(uuid)
        self.require_editor(submission.organization)
        if (document := document_in(request)) is not None:
            upload = drafting.fill_from_document(submission=submission, actor=self.person, data=document.data)
            if upload.submission is None:
                raise unreadable(
                    upload.judgement, "Nothing was changed: too little of the document can be read."
                )
            return self.answer(upload.submission)
        form = serializers.SubmissionChangeIn(data=request.data)
        form.is_valid(raise_exception=True)
        values = form.validated_data
        changed = api_drafting.change_draft(
            submission=submission,
            actor=self.person,
            metadata=values.get("metadata", {}),
            claims=values.get("claims", []),
            revision=values.get("revision"),
            release={"release_on": values["release_on"]} if "release_on" in values else None,
        )
        return self.answer(changed)


class SubmissionSubmit(VendorView):
    """Handing a submission in."""

    @extend_schema(
        operation_id="submissions_submit",
        tags=TAG,
        description="Refused with the list of problems while errors stand.",
        request=None,
        responses={200: serializers.SubmissionOut, **problems(403, 404, 409, 422)},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        return self.answer(lifecycle.submit(submission=self.submission(uuid), actor=self.person))


class SubmissionWithdraw(VendorView):
    """Taking a submission back."""

    @extend_schema(
        operation_id="submissions_withdraw",
        tags=TAG,
        request=serializers.WithdrawIn,
        responses={200: serializers.SubmissionOut, **problems(403, 404, 409)},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        form = serializers.WithdrawIn(data=request.data)
        form.is_valid(raise_exception=True)
        withdrawn = lifecycle.withdraw(
            submission=self.submission(uuid), actor=self.person, reason=form.validated_data["reason"]
        )
        return self.answer(withdrawn)


class SubmissionFiles(VendorView):
    """Evidence files."""

    parser_classes = (MultiPartParser,)

    @extend_schema(
        operation_id="submissions_files_list",
        tags=TAG,
        responses={200: serializers.FileOut(many=True), **problems(404)},
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        return Response(serializers.FileOut(self.submission(uuid).files.all(), many=True).data)

    @extend_schema(
        operation_id="submissions_files_attach",
        tags=TAG,
        request={"multipart/form-data": serializers.FileIn},
        responses={201: serializers.FileOut, **problems(400, 403, 404, 409, 413, 422)},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        submission = self.submission(uuid)
        self.require_editor(submission.organization)
        form = serializers.FileIn(data=request.data)
        form.is_valid(raise_exception=True)
        file = form.validated_data["file"]
        attached = drafting.attach_file(
            submission=submission,
            actor=self.person,
            name=form.validated_data.get("name") or file.name,
            # One byte more than is allowed is enough to be refused for it.
            data=file.read(drafting.MAX_FILE_BYTES + 1),
        )
        return Response(serializers.FileOut(attached).data, status=status.HTTP_201_CREATED)


class SubmissionVerifications(VendorView, generics.ListAPIView[VerificationRun]):
    """The runs of a submission, the newest first."""

    serializer_class = serializers.VerificationRow
    queryset = VerificationRun.objects.none()
    filter_backends = ()

    def get_queryset(self) -> Any:
        return self.runs().filter(submission=self.submission(self.kwargs["uuid"])).defer("report")

    @extend_schema(
        operation_id="submissions_verifications_list",
        tags=TAG,
        responses={200: serializers.VerificationRow(many=True), **problems(404)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="submissions_verifications_start",
        tags=TAG,
        request=serializers.VerificationIn,
        responses={201: serializers.VerificationOut, **problems(400, 403, 404, 409, 422)},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        submission = self.submission(uuid)
        self.require_editor(submission.organization)
        form = serializers.VerificationIn(data=request.data)
        form.is_valid(raise_exception=True)
        cluster = _cluster(submission.organization, form.validated_data.get("cluster", ""))
        run = run_service.request_run(
            submission=submission,
            cluster=cluster,
            actor=self.person,
            only=form.validated_data.get("only", ()),
        )
        return Response(serializers.VerificationOut(run).data, status=status.HTTP_201_CREATED)


class SubmissionReports(VendorView):
    """Reports of runs the vendor made itself."""

    parser_classes = (BundleParser, MultiPartParser)

    @extend_schema(
        operation_id="submissions_reports_upload",
        tags=TAG,
        description="Upload a signed bundle as the body or as a file. It counts as run by the vendor. The "
        "same report again is answered with the run it became, and 200.",
        request={
            "application/zip": OpenApiRequest(OpenApiTypes.BINARY),
            "multipart/form-data": serializers.ReportIn,
        },
        responses={
            200: serializers.VerificationOut,
            201: serializers.VerificationOut,
            **problems(400, 403, 404, 409, 413, 422),
        },
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        submission = self.submission(uuid)
        self.require_editor(submission.organization)
        if isinstance(request.data, Packed):
            data = request.data.data
        else:
            form = serializers.ReportIn(data=request.data)
            form.is_valid(raise_exception=True)
            data = form.validated_data["file"].read(bundle.MAX_BUNDLE + 1)
        run, is_new = vendor_reports.take_report(
            submission=submission, actor=self.person, data=data, now=timezone.now()
        )
        answer = serializers.VerificationOut(run).data
        return Response(answer, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


def _cluster(organization: Organization, wanted: str) -> TestCluster:
    """The organization's cluster by id or name; without either its only usable one."""
    clusters = TestCluster.objects.filter(organization=organization)
    if not wanted:
        usable = list(clusters.usable()[:2])
        if len(usable) != 1:
            raise exceptions.ValidationError({"cluster": "Say which test cluster to use."})
        found: TestCluster = usable[0]
        return found
    try:
        named = clusters.filter(uuid=UUID(wanted)).first()
    except ValueError:
        named = None
    named = named or clusters.filter(name=wanted).first()
    if named is None:
        raise exceptions.ValidationError(
            {"cluster": "The organization has no test cluster of this name or id."}
        )
    return named


class Verification(VendorView):
    """One run."""

    @extend_schema(
        operation_id="verifications_retrieve",
        tags=TAG,
        responses={200: serializers.VerificationOut, **problems(404)},
    )
    def get(self, request: Request, uuid: UUID) -> Response:
        return Response(serializers.VerificationOut(self.run(uuid)).data)

    def run(self, uuid: UUID) -> VerificationRun:
        pieces = Prefetch("results__evidence", queryset=CheckEvidence.objects.defer("content"))
        scenes = Prefetch("scenarios__evidence", queryset=ScenarioEvidence.objects.defer("content"))
        runs = self.runs().prefetch_related("results", pieces, "scenarios", scenes)
        found: VerificationRun = get_object_or_404(runs, uuid=uuid)
        return found


class VerificationCancel(Verification):
    """Stopping a run."""

    http_method_names = ("post", "options")

    @extend_schema(
        operation_id="verifications_cancel",
        tags=TAG,
        description="A queued run ends at once; a running one stops at the next safe point and cleans up.",
        request=None,
        responses={200: serializers.VerificationOut, **problems(403, 404, 409)},
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        found = get_object_or_404(self.runs(), uuid=uuid)
        run_service.cancel_run(run=found, actor=self.person)
        return Response(serializers.VerificationOut(self.run(uuid)).data)
