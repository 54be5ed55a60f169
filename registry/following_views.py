"""Pages of those who follow: sign up, confirm, see and end what one follows.

No form here carries a CSRF token: nobody's session is used, the signed link in the address is what allows
a change, and a sign-up does nothing before it was confirmed. So no cookie is set, and the public pages of
whoever was here stay the same for everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from certportal.clients import is_too_often
from certportal.languages import current_language
from registry import following_services as following
from registry.caching import public_page
from registry.changes import KINDS
from registry.following import Scope, ScopeError
from registry.following_forms import EmailFollowForm, KindsForm, WebhookFollowForm
from registry.following_mails import link_of
from registry.following_models import Subscription

LOG_SHOWN = 50
BAD, GONE, UNPROCESSABLE, TOO_MANY = 400, 410, 422, 429
HOUR = 3600


def _private(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """For pages behind a signed link: kept by nobody, found by nobody, and the link goes nowhere else."""

    @never_cache
    @csrf_exempt
    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return inner


# --- Signing up ---------------------------------------------------------------------------------------


@require_safe
@public_page
def follow(request: HttpRequest) -> HttpResponse:
    """The ways to follow a part of the registry."""
    return _page(request, request.GET)


@csrf_exempt
@require_POST
def follow_by_mail(request: HttpRequest) -> HttpResponse:
    """The answer is the same whoever asks for whichever address."""
    form = EmailFollowForm(request.POST, auto_id="id_mail_%s")
    scope = _scope(request)
    if scope is None or not form.is_valid():
        return _page(request, request.POST, mail_form=form, status=UNPROCESSABLE)
    if is_too_often(request, "follow", quota=settings.FOLLOW_SIGNUPS_PER_HOUR, window=HOUR):
        return _page(request, request.POST, mail_form=form, status=TOO_MANY)
    following.sign_up_by_mail(
        email=form.cleaned_data["email"],
        query=scope.query,
        kinds=form.kinds_asked(),
        language=current_language(),
    )
    return render(
        request, "registry/follow_sent.html", {"section": "follow", "email": form.cleaned_data["email"]}
    )


@csrf_exempt
@require_POST
@never_cache
def follow_by_webhook(request: HttpRequest) -> HttpResponse:
    """Shows the secret, once, and the way to the page of this webhook."""
    if is_too_often(request, "follow", quota=settings.FOLLOW_SIGNUPS_PER_HOUR, window=HOUR):
        # Asked first: the form looks names up.
        form = WebhookFollowForm(auto_id="id_hook_%s")
        return _page(request, request.POST, hook_form=form, status=TOO_MANY)
    form = WebhookFollowForm(request.POST, auto_id="id_hook_%s")
    scope = _scope(request)
    if scope is None or not form.is_valid():
        return _page(request, request.POST, hook_form=form, status=UNPROCESSABLE)
    subscription, secret = following.sign_up_by_webhook(
        url=form.cleaned_data["url"],
        query=scope.query,
        kinds=form.kinds_asked(),
        language=current_language(),
    )
    context = {
        "section": "follow",
        "subscription": subscription,
        "secret": secret,
        "manage": link_of(subscription, "manage"),
    }
    return render(request, "registry/follow_webhook.html", context)


def _scope(request: HttpRequest) -> Scope | None:
    try:
        return Scope.read(request.POST.dict())
    except ScopeError:
        return None


def _page(
    request: HttpRequest,
    query: Any,
    *,
    mail_form: EmailFollowForm | None = None,
    hook_form: WebhookFollowForm | None = None,
    status: int = 200,
) -> HttpResponse:
    problems: dict[str, str] = {}
    scope = Scope()
    try:
        scope = Scope.read(query.dict())
    except ScopeError as error:
        problems = dict(error.problems)
        status = BAD if request.method != "POST" else status
    context = {
        "section": "follow",
        "scope": scope,
        "problems": problems,
        "is_too_often": status == TOO_MANY,
        "atom": settings.SITE_URL + scope.address("changes-atom"),
        "json": settings.SITE_URL + scope.address("changes-json"),
        "mail_form": mail_form or EmailFollowForm(auto_id="id_mail_%s"),
        "hook_form": hook_form or WebhookFollowForm(auto_id="id_hook_%s"),
    }
    response = render(request, "registry/follow.html", context, status=status)
    if status == TOO_MANY:
        response["Retry-After"] = str(HOUR)
    return response


# --- Behind a signed link --------------------------------------------------------------------------------


def _of_link(token: str, purpose: str) -> tuple[Subscription | None, bool]:
    """Whose link it is, and whether the portal made it and it has not run out."""
    try:
        return following.subscription_of(token, purpose), True
    except signing.BadSignature:
        return None, False


def _said(request: HttpRequest, title: str, text: str, *, status: int = 200) -> HttpResponse:
    context = {"section": "follow", "title": title, "text": text}
    return render(request, "registry/follow_said.html", context, status=status)


def _gone(request: HttpRequest) -> HttpResponse:
    return _said(
        request,
        _("This link no longer leads anywhere"),
        _("It has run out, is not complete, or belongs to something that has been ended."),
        status=GONE,
    )


def _context(subscription: Subscription) -> dict[str, Any]:
    return {
        "section": "follow",
        "subscription": subscription,
        "follows": Scope.kept(subscription.query).words,
        "kinds": [str(words) for kind, (words, _tone) in KINDS.items() if subscription.wants(kind)],
    }


@require_http_methods(["GET", "HEAD", "POST"])
@_private
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Asks first: a program that opens every link in a mail confirms nothing."""
    subscription, _is_ours = _of_link(token, "confirm")
    if subscription is None:
        return _gone(request)
    if request.method == "POST":
        following.confirm(subscription=subscription)
        return HttpResponseRedirect(link_of(subscription, "manage").removeprefix(settings.SITE_URL))
    return render(request, "registry/follow_confirm.html", _context(subscription))


@require_http_methods(["GET", "HEAD", "POST"])
@_private
def stop(request: HttpRequest, token: str) -> HttpResponse:
    """Asks on GET and acts on POST, which mail programs send for their own button (RFC 8058)."""
    subscription, is_ours = _of_link(token, "stop")
    if not is_ours:
        return _gone(request)
    if subscription is not None and request.method != "POST":
        return render(request, "registry/follow_stop.html", _context(subscription))
    if subscription is not None:
        following.stop(subscription=subscription)
    return _said(
        request, _("It has been ended"), _("Nothing more is sent, and the address has been deleted.")
    )


@require_http_methods(["GET", "HEAD", "POST"])
@_private
def manage(request: HttpRequest, token: str) -> HttpResponse:
    """Everything that this address follows; of a webhook its state and what was delivered."""
    subscription, _is_ours = _of_link(token, "manage")
    if subscription is None:
        return _gone(request)
    form = KindsForm(initial={"kinds": subscription.kinds.split() or list(KINDS)})
    if request.method != "POST":
        return _managed(request, subscription, form)
    action = request.POST.get("action", "")
    if action in {"stop", "stop-all"}:
        return _stopped(request, subscription, whole=action == "stop-all")
    if action == "again":
        following.try_again(subscription=subscription)
    elif action == "kinds":
        form = KindsForm(request.POST)
        if not form.is_valid():
            return _managed(request, subscription, form, status=UNPROCESSABLE)
        following.change_kinds(subscription=subscription, kinds=form.kinds_asked())
    return HttpResponseRedirect(request.path)


def _stopped(request: HttpRequest, subscription: Subscription, *, whole: bool) -> HttpResponse:
    """End one of what the address follows, or all of it, and show what is left."""
    for row in following.everything_of(subscription):
        if whole or str(row.pk) == request.POST.get("subscription"):
            following.stop(subscription=row)
    left = following.everything_of(subscription)
    if not left:
        return _said(
            request, _("It has been ended"), _("Nothing more is sent, and the address has been deleted.")
        )
    page = subscription if any(row.pk == subscription.pk for row in left) else left[0]
    return HttpResponseRedirect(link_of(page, "manage").removeprefix(settings.SITE_URL))


def _managed(
    request: HttpRequest,
    subscription: Subscription,
    form: KindsForm,
    *,
    status: int = 200,
) -> HttpResponse:
    rows = subscription.deliveries.select_related("event__certificate").order_by("-event")[:LOG_SHOWN]
    context = {
        **_context(subscription),
        "form": form,
        "others": [
            (row, Scope.kept(row.query).words, link_of(row, "manage"))
            for row in following.everything_of(subscription)
            if row.pk != subscription.pk
        ],
        "deliveries": [(row, KINDS[row.event.kind][0]) for row in rows],
    }
    return render(request, "registry/follow_manage.html", context, status=status)
