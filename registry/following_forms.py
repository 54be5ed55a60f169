"""What those who follow fill in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from registry.changes import KINDS
from registry.following_webhooks import refusal_of


def _kinds() -> list[tuple[str, Any]]:
    return [(kind, words) for kind, (words, _tone) in KINDS.items()]


class KindsForm(forms.Form):
    """Which kinds of change are told."""

    kinds = forms.MultipleChoiceField(
        label=_("What you want to hear of"),
        choices=_kinds,
        widget=forms.CheckboxSelectMultiple,
        initial=list(KINDS),
        error_messages={"required": _("Choose at least one kind of change.")},
    )

    def kinds_asked(self) -> list[str]:
        """Empty where all are asked for, so that a kind that is added later is among them."""
        asked = [kind for kind in KINDS if kind in self.cleaned_data["kinds"]]
        return [] if len(asked) == len(KINDS) else asked


class EmailFollowForm(KindsForm):
    """Follow by e-mail."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("A link is sent there first; nothing else before you have opened it."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    field_order = ("email", "kinds")


class WebhookFollowForm(KindsForm):
    """Follow by webhook."""

    url = forms.URLField(
        label=_("Address of the receiver"),
        max_length=500,
        assume_scheme="https",
        help_text=_("A public https address. It is asked to send a challenge back before anything is told."),
        widget=forms.URLInput(
            attrs={"placeholder": "https://", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    field_order = ("url", "kinds")

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if problem := refusal_of(url):
            raise forms.ValidationError(problem, code="refused")
        return url
