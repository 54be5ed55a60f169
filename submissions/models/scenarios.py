"""What runs saw of simulated workloads, beside the requirements. None of it decides anything."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from conformance import scenarios
from submissions.models.runs import CapturedEvidence, VerificationRun
from submissions.states import Verdict

NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a scenario as pages show it. `verdict` is ``waiting`` or ``running`` before there is one."""

    id: str
    title: str
    verdict: str
    reason: str
    message: str
    duration_seconds: float


class ScenarioResult(models.Model):
    """What a run saw of one scenario. `steps` are stored as the report has them."""

    run = models.ForeignKey(VerificationRun, on_delete=models.CASCADE, related_name="scenarios")
    scenario_id = models.CharField(_("scenario"), max_length=40)
    position = models.PositiveSmallIntegerField(_("position"))
    status = models.CharField(_("verdict"), max_length=16, choices=Verdict, default=Verdict.UNKNOWN)
    reason = models.CharField(_("reason"), max_length=80, default=NOT_RUN)
    message = models.TextField(_("message"), blank=True)
    steps = models.JSONField(_("steps"), default=list)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    duration_seconds = models.FloatField(_("duration"), null=True, blank=True)

    class Meta:
        verbose_name = _("scenario result")
        verbose_name_plural = _("scenario results")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "scenario_id"], name="submissions_one_result_per_scenario"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scenario_id}: {self.status}"

    @property
    def title(self) -> str:
        known = scenarios.load().get(self.scenario_id)
        return known.info.title if known else self.scenario_id.replace("_", " ").capitalize()

    @property
    def observes(self) -> str:
        known = scenarios.load().get(self.scenario_id)
        return known.info.observes if known else ""

    @property
    def verdict(self) -> str:
        """The verdict; ``waiting`` or ``running`` as long as there is none."""
        if self.finished_at is not None or not self.run.is_active:
            return str(self.status)
        return "running" if self.started_at is not None else "waiting"

    @property
    def timeline(self) -> list[Step]:
        """The steps; of a scenario that is being played the first without a verdict is running."""
        shown = []
        next_state = self.verdict
        for entry in self.steps:
            verdict = str(entry["status"])
            if entry["reason"] == NOT_RUN and next_state in {"running", "waiting"}:
                verdict, next_state = next_state, "waiting"
            shown.append(
                Step(
                    id=entry["id"],
                    title=entry["title"],
                    verdict=verdict,
                    reason=entry["reason"],
                    message=entry["message"],
                    duration_seconds=entry["duration_seconds"],
                )
            )
        return shown


class ScenarioEvidence(CapturedEvidence):
    """What a scenario captured."""

    result = models.ForeignKey(ScenarioResult, on_delete=models.CASCADE, related_name="evidence")

    class Meta(CapturedEvidence.Meta):
        verbose_name = _("evidence of a scenario")
        verbose_name_plural = _("evidence of scenarios")
        constraints = [
            models.UniqueConstraint(fields=["result", "name"], name="submissions_scenario_evidence_unique"),
        ]
