"""`fields=`: an answer with only the fields that are asked for."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions, serializers
from rest_framework.request import Request


def fields_parameter(rows: type[serializers.Serializer[Any]]) -> OpenApiParameter:
    """The parameter in the description of the API, for rows of this kind."""
    return OpenApiParameter(
        "fields",
        OpenApiTypes.STR,
        many=True,
        explode=False,
        enum=list(rows().fields),
        description="Names of the fields to answer with, separated by commas; all of them without it.",
    )


def fields_asked(request: Request) -> set[str] | None:
    """The names in `fields`; None where everything is asked for."""
    text = request.query_params.get("fields", "")
    return {name.strip() for name in text.split(",")} if text else None


def keep_fields(serializer: Any, asked: set[str] | None) -> None:
    """Drop the fields of `serializer` that were not asked for. Raises ValidationError for unknown names."""
    if asked is None:
        return
    inner = getattr(serializer, "child", serializer)
    if unknown := sorted(asked - set(inner.fields)):
        known = ", ".join(sorted(inner.fields))
        message = _("There is no field %(name)s. There are: %(known)s.") % {
            "name": unknown[0],
            "known": known,
        }
        raise exceptions.ValidationError({"fields": [exceptions.ErrorDetail(message, code="unknown_field")]})
    for name in set(inner.fields) - asked:
        inner.fields.pop(name)


class FieldSelection:
    """For views of DRF: their serializers answer with the fields that are asked for."""

    def asked_fields(self) -> set[str] | None:
        return fields_asked(self.request)  # type: ignore[attr-defined]

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        serializer = super().get_serializer(*args, **kwargs)  # type: ignore[misc]
        # The description of the API is made without a request.
        if getattr(self, "request", None) is not None:
            keep_fields(serializer, self.asked_fields())
        return serializer
