"""What the pages of the workspace ask.

The forms of a submission keep whatever is typed, however wrong: what is wrong with it is for the rules
to say, beside the field. The other forms refuse what cannot be stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from conformance import bundle, catalogue, document, probe_settings
from conformance.cluster import kubeconfig
from conformance.document import METADATA
from registry.models import Checklist
from submissions.guidance import METADATA_LABELS
from submissions.models import (
    ApiToken,
    Claim,
    ClaimStatus,
    Configuration,
    MembershipRole,
    Organization,
    Platform,
    Submission,
    TestCluster,
)
from submissions.probe_problems import place_of

LONGEST_FILE_NAME = 200
TOKEN_DAYS = (30, 90, 180, 365)
DEFAULT_TOKEN_DAYS = 90


class LineField(forms.CharField):
    """Text on one line; runs of white space count as one space."""

    def clean(self, value: Any) -> str:
        return " ".join(str(super().clean(value)).split())


class ProseField(forms.CharField):
    """Text on several lines, with the line ends browsers send made plain."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")


class LinesField(ProseField):
    """A list of texts, one a line; blank lines are dropped."""

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).split("\n") if line.strip()]


# Organizations, platforms, tokens ---------------------------------------------------------------------


class OrganizationForm(forms.Form):
    name = LineField(
        label=_("Name"),
        max_length=200,
        help_text=_("The company or project that owns the platforms, as it should stand on certificates."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    website_url = forms.URLField(
        label=_("Website"),
        max_length=500,
        required=False,
        assume_scheme="https",
        help_text=_("Such as https://…"),
    )


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        help_text=_("The person gets a link that works for 14 days and for this address alone."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(label=_("Role"), choices=MembershipRole.choices, initial=MembershipRole.EDITOR)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=MembershipRole.choices)


class PlatformForm(forms.ModelForm):  # type: ignore[type-arg]
    """A platform. Its name may be corrected as long as nothing was submitted under it."""

    name = LineField(
        label=_("Name"),
        max_length=200,
        help_text=_("The product's name without a version: each version is certified on its own."),
    )

    class Meta:
        model = Platform
        fields: ClassVar[list[str]] = ["name", "description", "base_platform"]
        labels: ClassVar[dict[str, Any]] = {"description": _("Description"), "base_platform": _("Built on")}
        help_texts: ClassVar[dict[str, Any]] = {
            "description": _("What it is, in a sentence or two. New submissions start with it."),
            "base_platform": _(
                "For a layered platform: the distribution underneath, with its version. Else empty."
            ),
        }
        widgets: ClassVar[dict[str, Any]] = {"description": forms.Textarea(attrs={"rows": 3})}


class ConfigurationForm(forms.ModelForm):  # type: ignore[type-arg]
    name = LineField(
        label=_("Name"),
        max_length=120,
        help_text=_("Such as cloud, bare metal, air-gapped. Each configuration is certified on its own."),
    )

    class Meta:
        model = Configuration
        fields: ClassVar[list[str]] = ["name", "description"]
        labels: ClassVar[dict[str, Any]] = {"description": _("Description")}
        widgets: ClassVar[dict[str, Any]] = {"description": forms.Textarea(attrs={"rows": 2})}


class TokenForm(forms.Form):
    name = LineField(label=_("Name"), max_length=80, help_text=_("What uses it, such as “release pipeline”."))
    scope = forms.ChoiceField(label=_("It may"), choices=ApiToken.Scope.choices, initial=ApiToken.Scope.READ)
    days = forms.TypedChoiceField(
        label=_("It works for"),
        coerce=int,
        choices=[(days, _("%d days") % days) for days in TOKEN_DAYS],
        initial=DEFAULT_TOKEN_DAYS,
    )

    @property
    def lasts(self) -> timedelta:
        return timedelta(days=self.cleaned_data["days"])


# Starting a submission ---------------------------------------------------------------------------------


class SecretTextarea(forms.Textarea):
    """A text area that never shows again what was put into it."""

    def format_value(self, value: Any) -> str:
        return ""


class ReportKeyForm(forms.Form):
    """A public key that signs the reports of an organization's own runs."""

    name = LineField(
        label=_("Name"),
        max_length=80,
        help_text=_("Where the private half is kept, such as “CI of the lab”."),
    )
    public_key = ProseField(
        label=_("Public key"),
        max_length=2000,
        help_text=_("As “conformance keygen” printed it. Never the private key."),
        # A private key that was pasted by mistake is not sent back.
        widget=SecretTextarea(
            attrs={"rows": 4, "spellcheck": "false", "class": "mono", "autocomplete": "off"}
        ),
    )


class PlatformConfigurationField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """The organization's configurations, by platform."""

    def __init__(self, organization: Organization) -> None:
        rows = Configuration.objects.filter(platform__organization=organization).select_related("platform")
        super().__init__(
            queryset=rows.order_by("platform__name", "name"),
            label=_("Platform and configuration"),
            empty_label=None,
        )

    def label_from_instance(self, obj: Configuration) -> str:
        return f"{obj.platform.name}, {obj.name}"


class ChecklistField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """The current checklists, the newest first."""

    def __init__(self) -> None:
        current = Checklist.objects.current()
        super().__init__(
            queryset=current,
            label=_("Kubernetes version"),
            empty_label=None,
            help_text=_("Its checklist is pinned: a later correction never changes your submission."),
        )
        newest = sorted(current, key=lambda row: catalogue.version_key(row.version), reverse=True)
        self.choices = [(row.pk, f"Kubernetes {row}") for row in newest]


class NewSubmissionForm(forms.Form):
    """Which platform in which configuration, against which checklist."""

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["configuration"] = PlatformConfigurationField(organization)
        self.fields["checklist"] = ChecklistField()


class DocumentForm(forms.Form):
    """A PRODUCT.yaml, as a file or pasted."""

    file = forms.FileField(
        label=_("Choose a file"),
        required=False,
        allow_empty_file=True,
        widget=forms.ClearableFileInput(attrs={"accept": ".yaml,.yml,application/yaml,text/yaml"}),
    )
    text = forms.CharField(
        label=_("Or write or paste its text"),
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 16, "spellcheck": "false", "class": "mono", "autocomplete": "off"}
        ),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("file") and not data.get("text", "").strip():
            raise forms.ValidationError(_("Choose a file, or paste its text."))
        return data

    @property
    def data_bytes(self) -> bytes:
        """The document; one byte more than the limit, so that the reader can say it is too large."""
        file = self.cleaned_data.get("file")
        if file:
            return bytes(file.read(document.MAX_BYTES + 1))
        return str(self.cleaned_data["text"]).replace("\r\n", "\n").encode("utf-8", "replace")


# The guided form ---------------------------------------------------------------------------------------

LONG_TEXTS = frozenset({"description"})
KEYBOARDS = {"url": "url", "base_url": "url", "email": "email"}


class MetadataForm(forms.Form):
    """The product's metadata. Every field takes any text."""

    def __init__(self, *args: Any, submission: Submission, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for entry in METADATA.values():
            # The configuration was chosen at the start; it is only asked for where a file named one too.
            if entry.name == "configuration" and not submission.metadata.get("configuration"):
                continue
            label, help_text = METADATA_LABELS[entry.name]
            long = entry.name in LONG_TEXTS
            field = ProseField if long else LineField
            widget: forms.Widget = forms.TextInput(attrs={"inputmode": KEYBOARDS.get(entry.kind, "text")})
            if long:
                widget = forms.Textarea(attrs={"rows": 3})
            widget.attrs["aria-describedby"] = f"id_{entry.name}_helptext id_{entry.name}_state"
            initial = submission.metadata.get(entry.name, "")
            self.fields[entry.name] = field(
                label=label, help_text=help_text, required=False, widget=widget, initial=initial
            )


class ClaimForm(forms.Form):
    """What the vendor says of one requirement."""

    status = forms.ChoiceField(label=_("Status"), required=False, widget=forms.RadioSelect)
    evidence = LinesField(
        label=_("Evidence"),
        required=False,
        help_text=_("One a line: a link, or file://results/junit.xml#TestName for a file that is attached."),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    notes = ProseField(
        label=_("Notes"),
        required=False,
        help_text=_("What a reviewer should know. For N/A: why it cannot apply to this platform."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    met_by = LineField(
        label=_("Met by"),
        required=False,
        max_length=200,
        help_text=_("Which layer meets it: this platform, or the one it is built on."),
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    accept = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, claim: Claim, layered: bool, **kwargs: Any) -> None:
        kwargs["prefix"] = claim.requirement.requirement_id
        super().__init__(*args, **kwargs)
        self.claim = claim
        choices: list[tuple[str, Any]] = list(ClaimStatus.choices)
        if claim.status and claim.status not in ClaimStatus.values:
            # An uploaded file said something else: it stays until another is chosen.
            choices.append((claim.status, _("as uploaded: “%s”") % claim.status))
        no_answer = _("no answer yet") if claim.requirement.is_must else _("no answer (allowed for a SHOULD)")
        choices.append(("", no_answer))
        self.fields["status"].choices = choices  # type: ignore[attr-defined]
        self.initial = {
            "status": claim.status,
            "evidence": "\n".join(claim.evidence),
            "notes": claim.notes,
            "met_by": claim.met_by,
        }
        if not layered:
            del self.fields["met_by"]
        for name in ("evidence", "notes", "met_by"):
            if name in self.fields:
                described = f"id_{self.prefix}-{name}_helptext {self.prefix}-{name}-state"
                self.fields[name].widget.attrs["aria-describedby"] = described

    @property
    def values(self) -> dict[str, Any]:
        """What is said, by the names of the claim's columns."""
        named = ("status", "evidence", "notes", "met_by")
        return {name: self.cleaned_data[name] for name in named if name in self.fields}


# The rest of a submission --------------------------------------------------------------------------------


class ReleaseForm(forms.Form):
    release_on = forms.DateField(
        label=_("Release date"),
        required=False,
        help_text=_(
            "Nothing is public before this day, even when it was approved. Empty: at once. Dates are UTC."
        ),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class WithdrawForm(forms.Form):
    reason = ProseField(
        label=_("Reason"),
        required=False,
        help_text=_("Reviewers read it."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """One or several uploaded files."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        files = (data or [None]) if isinstance(data, list | tuple) else [data]
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


class AttachForm(forms.Form):
    attachments = ManyFilesField(
        label=_("Files"), help_text=_("Several at once if you like; 20 MiB each at most.")
    )
    folder = forms.CharField(
        label=_("Folder"),
        required=False,
        max_length=LONGEST_FILE_NAME,
        help_text=_("Such as results: a file junit.xml is then quoted as file://results/junit.xml."),
    )


# Test clusters and runs ----------------------------------------------------------------------------------


class ProbeSettingsField(ProseField):
    """The optional settings document; its problems are told with the lines they stand on."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Probe settings"),
            required=False,
            help_text=_("YAML. What only you know of the cluster; leave it empty to have it found out."),
            widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "mono"}),
        )

    def clean(self, value: Any) -> str:
        text = str(super().clean(value))
        try:
            probe_settings.parse(text.encode())
        except probe_settings.SettingsError as error:
            raise forms.ValidationError(
                [f"{place_of(text, path)}{sentence}" for path, sentence in error.problems]
            ) from error
        return text


class ClusterForm(forms.Form):
    """A test cluster with its kubeconfig, uploaded or pasted."""

    name = LineField(
        label=_("Name"), max_length=120, help_text=_("For your own lists, such as “lab, two nodes”.")
    )
    file = forms.FileField(label=_("Kubeconfig file"), required=False, allow_empty_file=True)
    text = forms.CharField(
        label=_("Or paste the kubeconfig"),
        required=False,
        help_text=_("It is encrypted, never shown again, and deleted 30 days after the decision."),
        widget=SecretTextarea(
            attrs={"rows": 6, "spellcheck": "false", "class": "mono", "autocomplete": "off"}
        ),
    )
    context = forms.CharField(
        label=_("Context"),
        required=False,
        max_length=200,
        help_text=_("Empty: the kubeconfig's current context."),
    )
    probe_settings = ProbeSettingsField()

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("file") and not data.get("text"):
            self.add_error("file", _("Choose the kubeconfig file, or paste its text below."))
        return data

    @property
    def data_bytes(self) -> bytes:
        """The kubeconfig; one byte more than the limit, so that the loader can say it is too large."""
        file = self.cleaned_data.get("file")
        if file:
            return bytes(file.read(kubeconfig.MAX_BYTES + 1))
        return str(self.cleaned_data["text"]).encode("utf-8", "replace")


class ClusterSettingsForm(forms.Form):
    probe_settings = ProbeSettingsField()


class ReportForm(forms.Form):
    """A signed bundle of a run the vendor made itself."""

    file = forms.FileField(
        label=_("Bundle"),
        allow_empty_file=True,
        help_text=_("The zip that “conformance verify --sign-key … --bundle …” wrote."),
    )

    @property
    def data_bytes(self) -> bytes:
        """The bundle; one byte more than the limit, so that it can be refused for it."""
        return bytes(self.cleaned_data["file"].read(bundle.MAX_BUNDLE + 1))


class RunForm(forms.Form):
    """Which cluster, and which requirements if not all."""

    cluster = forms.ModelChoiceField(
        label=_("Test cluster"), queryset=TestCluster.objects.none(), empty_label=None
    )
    only = forms.MultipleChoiceField(
        label=_("Only these requirements"), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(
        self, *args: Any, submission: Submission, requirements: Iterable[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        usable = TestCluster.objects.filter(organization=submission.organization).usable()
        self.fields["cluster"].queryset = usable  # type: ignore[attr-defined]
        self.fields["only"].choices = list(requirements)  # type: ignore[attr-defined]
