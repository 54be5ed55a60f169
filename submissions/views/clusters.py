"""Test clusters: registering, settings, the log of uses, forgetting; and the rights a verifier needs."""

from __future__ import annotations

from uuid import UUID

import yaml
from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from conformance import catalogue
from conformance.cluster import rbac
from registry.models import Checklist
from submissions.errors import ApplicantError
from submissions.forms import ClusterForm, ClusterSettingsForm
from submissions.models import TestCluster
from submissions.services import clusters as service
from submissions.states import RunKind
from submissions.views.access import (
    cluster_at,
    explain,
    page,
    person,
    posted,
    require_editor,
    rows_of,
    seat_at,
    signed_in,
)

USES_SHOWN = 50
SWEEPS_SHOWN = 5
# Where the form says what is wrong, by the error's code; the kubeconfig is what most are about.
_FIELDS = {
    "name_taken": "name",
    "secret_missing": "probe_settings",
    "secret_unreadable": "probe_settings",
}


class PlainDumper(yaml.SafeDumper):
    """Writes YAML that people read and apply: no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@require_safe
@signed_in
def clusters(request: HttpRequest, slug: str) -> HttpResponse:
    """The organization's test clusters."""
    seat = seat_at(request, slug)
    rows = TestCluster.objects.filter(organization=seat.organization).defer("kubeconfig_encrypted")
    rows = rows.annotate(run_count=Count("runs", filter=~Q(runs__kind=RunKind.SWEEP))).order_by("name")
    context = {"seat": seat, "tab": "clusters", "page": rows_of(request, rows)}
    return page(request, "submissions/clusters.html", context)


@sensitive_post_parameters("text")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@sensitive_variables("form", "data")
def register(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a kubeconfig in, or say why not. Other fields keep what was typed; the secret is not sent back."""
    seat = seat_at(request, slug)
    require_editor(seat)
    form = ClusterForm(posted(request), request.FILES or None)
    refusal = ""
    if form.is_valid():
        try:
            cluster = service.register_cluster(
                organization=seat.organization,
                actor=person(request),
                name=form.cleaned_data["name"],
                data=form.data_bytes,
                context=form.cleaned_data["context"],
                probe_settings=form.cleaned_data["probe_settings"],
            )
        except ApplicantError as error:
            refusal = str(error)
            form.add_error(_FIELDS.get(error.code, "file"), refusal)
        else:
            messages.success(
                request, f"{cluster} is registered. Its kubeconfig is encrypted and not shown again."
            )
            return redirect("submissions:cluster", cluster.uuid)
    context = {
        "seat": seat,
        "tab": "clusters",
        "form": form,
        "refusal": refusal,
        "is_bound": form.is_bound,
        "versions": _versions(),
    }
    return page(request, "submissions/cluster_register.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def cluster(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A test cluster: its settings, its runs, every use of its kubeconfig."""
    found, seat = cluster_at(request, uuid)
    form = ClusterSettingsForm(posted(request), initial={"probe_settings": found.probe_settings})
    if request.method == "POST":
        require_editor(seat)
        if form.is_valid():
            try:
                service.change_probe_settings(cluster=found, actor=person(request), **form.cleaned_data)
            except ApplicantError as error:
                form.add_error("probe_settings", str(error))
            else:
                messages.success(request, "Saved. The next run uses the new settings.")
                return redirect("submissions:cluster", uuid)
    context = {
        "seat": seat,
        "tab": "clusters",
        "cluster": found,
        "form": form,
        "uses": found.uses.select_related("actor")[:USES_SHOWN],
        "runs": found.runs.verifications()
        .select_related("submission__configuration__platform", "submission__checklist")
        .defer("report")[:USES_SHOWN],
        "sweeps": found.runs.filter(kind=RunKind.SWEEP)[:SWEEPS_SHOWN],
        "is_busy": found.runs.active().exists(),
    }
    return page(request, "submissions/cluster.html", context, status=422 if form.errors else 200)


@require_POST
@signed_in
def forget(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Delete the kubeconfig; the page asks before."""
    found, seat = cluster_at(request, uuid)
    require_editor(seat)
    try:
        service.forget_cluster(cluster=found, actor=person(request), reason="deleted by the vendor")
    except ApplicantError as error:
        explain(request, error)
    else:
        messages.success(request, f"The kubeconfig of {found} is deleted. Its runs stay on record.")
    return redirect("submissions:cluster", uuid)


@require_safe
@signed_in
def rights(request: HttpRequest) -> HttpResponse:
    """What the verifier may do in a cluster, and how to give it exactly that."""
    versions = _versions()
    shown = versions[0] if versions else ""
    context = {"versions": versions, "shown": shown, "manifest": _manifest(shown) if shown else ""}
    return page(request, "submissions/rights.html", context)


@require_safe
def manifest(request: HttpRequest, version: str) -> HttpResponse:
    """The manifest for one checklist; no secret, so that kubectl can apply it by its address."""
    if version not in _versions():
        raise Http404
    return HttpResponse(
        _manifest(version),
        content_type="application/yaml; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="certportal-verifier-{version}.yaml"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _versions() -> list[str]:
    known = Checklist.objects.current().values_list("version", flat=True)
    return sorted(known, key=catalogue.version_key, reverse=True)


def _manifest(version: str) -> str:
    return yaml.dump_all(rbac.manifest(version), Dumper=PlainDumper, sort_keys=False, explicit_start=True)
