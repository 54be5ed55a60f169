"""Log-in of programs: ``Authorization: Bearer cpt_…``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from certportal.accounts.models import User
from submissions.models import ApiToken
from submissions.models.organizations import hash_token

SCHEME = "Bearer"
# A token in constant use writes its row once a minute, not with every request.
USE_NOTED_EVERY = timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """Finds the token by its hash. One that is unknown, revoked, expired or homeless is refused with 401."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != SCHEME.lower().encode():
            return None
        if len(words) != 2:  # noqa: PLR2004 - the scheme and the token
            raise exceptions.AuthenticationFailed("Write the header as: Bearer, a space, the token.")
        try:
            secret = words[1].decode("ascii")
        except UnicodeDecodeError as error:
            raise exceptions.AuthenticationFailed("The token holds characters no token has.") from error
        return self._with(secret)

    def _with(self, secret: str) -> tuple[User, ApiToken]:
        token = (
            ApiToken.objects.select_related("user", "organization")
            .filter(token_hash=hash_token(secret))
            .first()
        )
        now = timezone.now()
        if token is None:
            raise exceptions.AuthenticationFailed("There is no such token.", code="unknown_token")
        if token.revoked_at is not None:
            raise exceptions.AuthenticationFailed("The token was revoked.", code="token_revoked")
        if token.expires_at <= now:
            raise exceptions.AuthenticationFailed(
                "The token has expired; make a new one.", code="token_expired"
            )
        if not token.user.is_active or not token.organization.memberships.filter(user=token.user).exists():
            raise exceptions.AuthenticationFailed(
                "Whoever made the token no longer works for the organization.", code="token_orphaned"
            )
        if token.last_used_at is None or token.last_used_at < now - USE_NOTED_EVERY:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="api"'


class TokenScope(BasePermission):
    """A token that only reads changes nothing. People who are signed in are judged by their role alone."""

    message = "This token may only read; make one that may write."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        token = request.auth
        if request.method in SAFE_METHODS or not isinstance(token, ApiToken):
            return True
        return token.scope == ApiToken.Scope.WRITE
