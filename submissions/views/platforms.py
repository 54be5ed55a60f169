"""Platforms and the configurations in which they are certified."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_safe

from submissions.errors import ApplicantError
from submissions.forms import ConfigurationForm, PlatformForm
from submissions.models import Submission
from submissions.services import organizations
from submissions.services import platforms as service
from submissions.views.access import page, person, posted, require_editor, rows_of, seat_at, signed_in
from submissions.views.organizations import listed


@require_safe
@signed_in
def platforms(request: HttpRequest, slug: str) -> HttpResponse:
    """The organization's platforms."""
    seat = seat_at(request, slug)
    rows = seat.organization.platforms.annotate(
        configuration_count=Count("configurations", distinct=True),
        submission_count=Count("configurations__submissions", distinct=True),
    ).order_by("name")
    context = {"seat": seat, "tab": "platforms", "page": rows_of(request, rows)}
    return page(request, "submissions/platforms.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """Add a platform; it starts with one configuration."""
    seat = seat_at(request, slug)
    require_editor(seat)
    form = PlatformForm(posted(request))
    if form.is_valid():
        platform = organizations.create_platform(
            organization=seat.organization, actor=person(request), **form.cleaned_data
        )
        messages.success(request, f"{platform} is there. Add configurations, or start a submission.")
        return redirect("submissions:platform", slug, platform.slug)
    context = {"seat": seat, "tab": "platforms", "form": form}
    return page(request, "submissions/platform_create.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def platform(request: HttpRequest, slug: str, platform: str) -> HttpResponse:
    """A platform: its configurations, its submissions, its description to correct."""
    seat = seat_at(request, slug)
    found = get_object_or_404(seat.organization.platforms, slug=platform)
    changing = "add_configuration" not in request.POST
    form = PlatformForm(request.POST if request.POST and changing else None, instance=found)
    addition = ConfigurationForm(request.POST if request.POST and not changing else None, prefix="new")
    if request.method == "POST":
        require_editor(seat)
        try:
            if changing and form.is_valid():
                service.change_platform(platform=found, actor=person(request), **form.cleaned_data)
                messages.success(request, "Saved.")
                return redirect("submissions:platform", slug, found.slug)
            if not changing and addition.is_valid():
                added = organizations.create_configuration(platform=found, **addition.cleaned_data)
                messages.success(request, f"{added} is certified on its own from now on.")
                return redirect("submissions:platform", slug, found.slug)
        except ApplicantError as error:
            addition.add_error("name", str(error))
    # A form that was refused has written into its instance; the page shows what stands in the database.
    found.refresh_from_db()
    submissions = (
        Submission.objects.filter(configuration__platform=found).with_names().order_by("-updated_at")
    )
    context = {
        "seat": seat,
        "tab": "platforms",
        "platform": found,
        "configurations": found.configurations.annotate(number=Count("submissions")).order_by("name"),
        "form": form,
        "addition": addition,
        **listed(request, submissions),
    }
    status = 422 if form.errors or addition.errors else 200
    return page(request, "submissions/platform.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def configuration(request: HttpRequest, slug: str, platform: str, pk: int) -> HttpResponse:
    """Correct a configuration."""
    seat = seat_at(request, slug)
    require_editor(seat)
    found = get_object_or_404(seat.organization.platforms, slug=platform)
    row = get_object_or_404(found.configurations, pk=pk)
    form = ConfigurationForm(posted(request), instance=row)
    if form.is_valid():
        try:
            service.change_configuration(
                configuration=found.configurations.get(pk=pk), actor=person(request), **form.cleaned_data
            )
        except ApplicantError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, "Saved.")
            return redirect("submissions:platform", slug, found.slug)
    row = found.configurations.get(pk=pk)
    context = {"seat": seat, "tab": "platforms", "platform": found, "configuration": row, "form": form}
    return page(request, "submissions/configuration.html", context, status=422 if form.errors else 200)
