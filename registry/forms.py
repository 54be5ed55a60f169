"""What the public may ask besides the filters of the list."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from conformance.credentials import MAX_TOKEN


def date_field(**options: Any) -> forms.DateField:
    """A day in the one spelling that the addresses use."""
    return forms.DateField(
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("This is no date. Write it as 2026-03-31.")},
        **options,
    )


class OnDateForm(forms.Form):
    """Asks one certificate for its status on a date."""

    on = date_field(label=_("Date"))


class VerifyForm(forms.Form):
    """Asks the registry whether a number was certified on a date."""

    number = forms.CharField(
        label=_("Certificate number"),
        max_length=24,
        help_text=_("As it stands on the certificate, such as AIK-2026-0042."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}
        ),
    )
    on = date_field(label=_("On the date"), required=False, help_text=_("Today, if you leave it empty."))

    def clean_number(self) -> str:
        return str(self.cleaned_data["number"]).strip().upper()


class CredentialForm(forms.Form):
    """Takes a credential as text, as a file, or as an address of this portal."""

    credential = forms.CharField(
        label=_("Credential or address"),
        required=False,
        max_length=MAX_TOKEN,
        help_text=_(
            "The text of a credential, which begins with eyJ, or the address of a certificate, a credential "
            "or a badge of this portal. No other address is opened."
        ),
        widget=forms.Textarea(
            attrs={"rows": 5, "autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        ),
    )
    file = forms.FileField(
        label=_("Or a file"), required=False, help_text=_("A credential (.jwt), or a badge (.svg).")
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file and file.size > MAX_TOKEN:
            raise forms.ValidationError(_("This file is larger than any credential of ours."))
        return file

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and not found.get("file") and not found.get("credential"):
            raise forms.ValidationError(_("Paste a credential or an address, or choose a file."))
        return found


class PlatformForm(forms.Form):
    """Asks whether a platform was certified on a date, by its name."""

    platform = forms.CharField(
        label=_("Platform"),
        max_length=200,
        help_text=_("Its name in full, or as it stands in addresses."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    vendor = forms.CharField(label=_("Vendor"), max_length=200, required=False)
    version = forms.CharField(label=_("Platform version"), max_length=100, required=False)
    on = date_field(label=_("On the date"), required=False, help_text=_("Today, if you leave it empty."))
