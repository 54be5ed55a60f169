"""What every register in the admin site is made of: who reads it, and that nobody changes it there."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, ShowFacets, TabularInline
from django.contrib.admin import display as admin_display
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from certportal.accounts.models import User


def is_operator(user: object) -> bool:
    """Whether the person runs the portal: may see every record and look after people."""
    return isinstance(user, User) and user.is_active and (user.is_staff or user.is_superuser)


def is_reader(user: object) -> bool:
    """Whether the person may see the records of the accreditation group."""
    return isinstance(user, User) and (user.is_reviewer or is_operator(user))


class RecordAdmin(ModelAdmin):  # type: ignore[type-arg] # no generic at run time
    """A record that the group and operators read and nobody changes here: services do."""

    actions: Any = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        names = capfirst(str(self.opts.verbose_name_plural))
        response: HttpResponse = super().changelist_view(request, {"title": names, **(extra_context or {})})
        return response

    @admin_display(description=_("simulated"), ordering="simulated")
    def marked_simulated(self, record: Any) -> str:
        """The word itself: a tick beside what certifies nothing would mislead."""
        return str(_("Simulated")) if record.simulated else ""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_reader(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class OperatorAdmin(RecordAdmin):
    """A record that only operators see."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)


class ReadOnlyInline(TabularInline):  # type: ignore[type-arg] # no generic at run time
    """Rows that belong to a record, shown to whoever may see the record and changed by nobody."""

    extra = 0
    max_num = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
