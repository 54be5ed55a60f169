"""Running the checks of a checklist against a cluster and sealing what they found.

Every requirement is in the report from the start as unknown; only a returned verdict or a caught
exception changes that. Threads cannot be killed, so each request and wait keeps to the budget.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

from conformance import checks, execution, probes, scenarios
from conformance.catalogue import Checklist
from conformance.checks import Check
from conformance.cluster import errors
from conformance.cluster.connection import Connection
from conformance.cluster.patience import OutOfTime, Patience
from conformance.context import RunContext
from conformance.probe_settings import ProbeSettings
from conformance.redaction import redact_text
from conformance.removal import Created, wait_gone
from conformance.report import Cleanup, ClusterFacts, Report
from conformance.resources import NAMESPACES, NODES
from conformance.run import CLEANUP_SECONDS, Run
from conformance.scenarios import Scenario
from conformance.sweeping import sweep
from conformance.verdicts import CheckResult, ScenarioResult, Status, StepResult, Verdict, outcome_of

logger = logging.getLogger(__name__)

SIDE_BY_SIDE = 4
_POLL_SECONDS = 0.2
_FASTEST = 1000.0


class Listener(Protocol):
    """Who wants to know as things happen. Called from the thread that called `verify`, never another."""

    def started(self, check_id: str, at: datetime) -> None:
        """A check begins."""

    def finished(self, result: CheckResult) -> None:
        """A check came to a verdict and has cleaned up behind itself."""

    def scenario_started(self, scenario_id: str, at: datetime) -> None:
        """A scenario begins."""

    def step_finished(self, scenario_id: str, step: StepResult) -> None:
        """A step of a scenario came to a verdict."""

    def scenario_finished(self, result: ScenarioResult) -> None:
        """A scenario is through and has cleaned up behind itself."""

    def cleaned(self, cleanup: Cleanup) -> None:
        """The run has removed what it created, or could not."""


class _Silent:
    def started(self, check_id: str, at: datetime) -> None:
        """Ignore it."""

    def finished(self, result: CheckResult) -> None:
        """Ignore it."""

    def scenario_started(self, scenario_id: str, at: datetime) -> None:
        """Ignore it."""

    def step_finished(self, scenario_id: str, step: StepResult) -> None:
        """Ignore it."""

    def scenario_finished(self, result: ScenarioResult) -> None:
        """Ignore it."""

    def cleaned(self, cleanup: Cleanup) -> None:
        """Ignore it."""


def never() -> bool:
    """Cancel nothing."""
    return False


_NOTHING: Mapping[str, CheckResult] = MappingProxyType({})
_NOT_PLAYED: Mapping[str, ScenarioResult] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class _Started:
    """News from a thread: a check begins."""

    check_id: str
    at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class _Finished:
    """News from a thread: a check ended and cleaned up as far as it could."""

    result: CheckResult | ScenarioResult
    cleanup: Cleanup
    namespaces: list[Created]


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    """News from a thread: a step of a scenario ended."""

    scenario_id: str
    result: StepResult


@dataclasses.dataclass(frozen=True, slots=True)
class _ScenarioStarted:
    """News from a thread: a scenario begins."""

    scenario_id: str
    at: datetime


_News = _Started | _Finished | _Step | _ScenarioStarted


def verify(
    connection: Connection,
    checklist: Checklist,
    *,
    run_id: str,
    budget: timedelta,
    settings: ProbeSettings | None = None,
    only: Collection[str] | None = None,
    completed: Mapping[str, CheckResult] = _NOTHING,
    listener: Listener | None = None,
    cancelled: Callable[[], bool] = never,
    namespace: str | None = None,
    image_prefix: str = "",
    parallel: int = SIDE_BY_SIDE,
    scenarios: Collection[str] = (),
    played: Mapping[str, ScenarioResult] = _NOT_PLAYED,
) -> Report:
    """Run the checks of `checklist`, then play the `scenarios`, and return the report.

    `completed` and `played` results of an earlier attempt are taken over, and what that attempt left
    in the cluster is removed first. With `namespace` everything happens in that one; otherwise the run makes
    its own. Up to `parallel` checks that take no devices run side by side. The report is also returned
    after `cancelled` turned true, with what was found by then.
    """
    return _Verification(
        connection,
        checklist,
        run_id=run_id,
        budget=budget,
        settings=settings or ProbeSettings(),
        only=only,
        completed=completed,
        listener=listener or _Silent(),
        cancelled=cancelled,
        namespace=namespace,
        image=probes.image(image_prefix),
        parallel=parallel,
        wanted=scenarios,
        played=played,
    ).report()


class _Verification:
    """The state of one call of `verify`."""

    def __init__(
        self,
        connection: Connection,
        checklist: Checklist,
        *,
        run_id: str,
        budget: timedelta,
        settings: ProbeSettings,
        only: Collection[str] | None,
        completed: Mapping[str, CheckResult],
        listener: Listener,
        cancelled: Callable[[], bool],
        namespace: str | None,
        image: str,
        parallel: int,
        wanted: Collection[str],
        played: Mapping[str, ScenarioResult],
    ) -> None:
        self._connection = connection
        self._checklist = checklist
        self._run_id = run_id
        self._settings = settings
        self._listener = listener
        self._cancelled = cancelled
        self._namespace = namespace
        self._image = image
        self._parallel = parallel
        self._started_at = datetime.now(UTC)
        self._deadline = time.monotonic() + budget.total_seconds()
        self._stop = threading.Event()
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._cleanup = Cleanup()
        self._namespaces: list[Created] = []
        self._facts = ClusterFacts()
        self._simulated = False
        self._levels = {requirement.id: requirement.level for _, requirement in checklist.requirements()}
        self._results: dict[str, CheckResult] = {}
        self._waiting: list[Check] = []
        available = checks.load()
        for check_id, level in self._levels.items():
            if check_id in completed:
                # The level is this checklist's, whatever the stored result says.
                self._results[check_id] = dataclasses.replace(completed[check_id], level=level)
            elif check_id not in available:
                self._fill(check_id, Status.UNKNOWN, "no_check", "No automatic check exists for this yet.")
            elif only is not None and check_id not in only:
                self._fill(check_id, Status.UNKNOWN, "not_selected", "The check was not selected.")
            else:
                self._fill(check_id, Status.UNKNOWN, "not_run", "The check was not run.")
                self._waiting.append(available[check_id])
        self._played: dict[str, ScenarioResult] = {}
        self._to_play: list[Scenario] = []
        for scenario_id, scenario in scenarios.load().items():
            if scenario_id in wanted and scenario_id in played:
                self._played[scenario_id] = played[scenario_id]
            elif scenario_id in wanted:
                self._played[scenario_id] = execution.without_steps(
                    scenario, Verdict(Status.UNKNOWN, "not_run", "The scenario was not played.")
                )
                self._to_play.append(scenario)

    def _fill(self, check_id: str, status: Status, reason: str, message: str) -> None:
        self._results[check_id] = CheckResult(check_id, self._levels[check_id], status, reason, message)

    def report(self) -> Report:
        """Do everything and say what was found."""
        try:
            context = self._meet_cluster()
        except (errors.ClusterError, OutOfTime) as error:
            reason = error.reason if isinstance(error, errors.ClusterError) else "budget"
            message = str(error) or "The time ran out before the cluster answered."
            for waiting in self._waiting:
                self._fill(waiting.info.id, Status.ERROR, reason, message)
                self._listener.finished(self._results[waiting.info.id])
            for scenario in self._to_play:
                verdict = Verdict(Status.ERROR, reason, message)
                self._played[scenario.info.id] = execution.without_steps(scenario, verdict)
                self._listener.scenario_finished(self._played[scenario.info.id])
        else:
            try:
                self._run_all(context)
                self._play_all(context)
            finally:
                self._wait_for_namespaces()
        self._listener.cleaned(self._cleanup)
        results = tuple(self._results[check_id] for check_id in self._levels)
        return Report(
            checklist=self._checklist.version,
            checklist_digest=self._checklist.digest,
            outcome=outcome_of(results),
            cluster=self._facts,
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            results=results,
            scenarios=tuple(self._played.values()),
            simulated=self._simulated,
            cancelled=self._stop.is_set(),
            cleanup=self._cleanup,
        )

    # Before ---------------------------------------------------------------------------------------

    def _meet_cluster(self) -> RunContext:
        """Ask the cluster who it is and remove what a dead predecessor left; raise ClusterError."""
        patience = Patience(self._deadline)
        version = self._connection.get("/version", patience=patience)
        speed = self._speed(version.get("simulated"))
        self._facts = ClusterFacts(
            version=redact_text(errors.shortened(str(version.get("gitVersion", "")), 60)),
            uid=self._cluster_uid(patience),
            nodes=self._count_nodes(patience),
        )
        if self._waiting or self._to_play:
            self._cleanup += sweep(
                self._connection, self._run_id, namespace=self._namespace, patience=patience
            )
        return RunContext(
            connection=self._connection,
            run_id=self._run_id,
            server_version=_server_version(version),
            settings=self._settings,
            image=self._image,
            namespace=self._namespace,
            speed=speed,
            deadline=self._deadline,
            stop=self._stop,
            checklist_version=self._checklist.version,
        )

    def _speed(self, simulated: Any) -> float:
        """Return how much faster than ours the cluster's clock runs; only a simulated one says so."""
        if not isinstance(simulated, dict):
            return 1.0
        self._simulated = True
        try:
            return min(_FASTEST, max(1.0, float(simulated.get("speed", 1))))
        except (TypeError, ValueError):
            return 1.0

    def _cluster_uid(self, patience: Patience) -> str:
        try:
            found = self._connection.get(NAMESPACES.path(None, "kube-system"), patience=patience)
        except errors.StatusError:
            return ""
        return redact_text(errors.shortened(str(_metadata(found).get("uid", "")), 60))

    def _count_nodes(self, patience: Patience) -> int:
        try:
            return len(self._connection.listing(NODES.path(), patience=patience).items)
        except errors.StatusError:
            return 0

    # During ---------------------------------------------------------------------------------------

    def _run_all(self, context: RunContext) -> None:
        """Run the exclusive checks one after another, the rest beside them, and pass on the news."""
        exclusive = [waiting for waiting in self._waiting if waiting.info.exclusive]
        others = [waiting for waiting in self._waiting if not waiting.info.exclusive]
        with (
            ThreadPoolExecutor(self._parallel, thread_name_prefix="check") as side_by_side,
            ThreadPoolExecutor(1, thread_name_prefix="device-check") as one_by_one,
        ):
            try:
                for waiting in others:
                    side_by_side.submit(self._work, context, waiting)
                for waiting in exclusive:
                    one_by_one.submit(self._work, context, waiting)
                left = len(self._waiting)
                while left:
                    left -= self._pass_on()
            except BaseException:
                # The caller interrupts or its listener failed: leave the cluster clean all the same.
                self._stop.set()
                raise

    def _pass_on(self) -> int:
        """Tell the listener the next piece of news; return 1 where a check or scenario finished."""
        if not self._stop.is_set() and self._cancelled():
            self._stop.set()
        try:
            news = self._news.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return 0
        match news:
            case _Started():
                self._listener.started(news.check_id, news.at)
            case _ScenarioStarted():
                self._listener.scenario_started(news.scenario_id, news.at)
            case _Step():
                self._listener.step_finished(news.scenario_id, news.result)
            case _Finished():
                self._take(news)
                return 1
        return 0

    def _take(self, news: _Finished) -> None:
        """Keep what a check or scenario found and what it could not remove."""
        self._cleanup += news.cleanup
        self._namespaces += news.namespaces
        if isinstance(news.result, ScenarioResult):
            self._played[news.result.id] = news.result
            self._listener.scenario_finished(news.result)
        else:
            self._results[news.result.id] = news.result
            self._listener.finished(news.result)

    def _work(self, context: RunContext, waiting: Check) -> None:
        """Run one check in a thread of the pool; whatever happens, say how it ended."""
        check_id, level = waiting.info.id, self._levels[waiting.info.id]
        result = CheckResult(check_id, level, Status.ERROR, "internal", "The engine itself failed.")
        cleanup = Cleanup(complete=False)
        namespaces: list[Created] = []
        try:
            if self._stop.is_set():
                result = CheckResult(check_id, level, *execution.CANCELLED)
                cleanup = Cleanup()
            else:
                self._news.put(_Started(check_id, datetime.now(UTC)))
                run = Run(context, waiting.info, level)
                result = execution.execute(run, waiting, level)
                cleanup = run.clean_up()
                namespaces = run.namespaces_made()
        except Exception:
            logger.exception("cleaning up after %s failed", check_id)
        finally:
            self._news.put(_Finished(result, cleanup, namespaces))

    def _play_all(self, context: RunContext) -> None:
        """Play the scenarios one after another: each is to have the devices for itself."""
        with ThreadPoolExecutor(1, thread_name_prefix="scenario") as stage:
            try:
                for scenario in self._to_play:
                    stage.submit(self._play, context, scenario)
                left = len(self._to_play)
                while left:
                    left -= self._pass_on()
            except BaseException:
                self._stop.set()
                raise

    def _play(self, context: RunContext, scenario: Scenario) -> None:
        """Play one scenario in a thread of its own; whatever happens, say how it ended."""
        scenario_id = scenario.info.id
        failed = Verdict(Status.ERROR, "internal", "The engine itself failed.")
        result = execution.without_steps(scenario, failed)
        cleanup = Cleanup(complete=False)
        namespaces: list[Created] = []
        try:
            if self._stop.is_set():
                result = execution.without_steps(scenario, Verdict(*execution.CANCELLED))
                cleanup = Cleanup()
            else:
                self._news.put(_ScenarioStarted(scenario_id, datetime.now(UTC)))
                run = Run(context, scenario.info)
                result = execution.play(run, scenario, lambda step: self._news.put(_Step(scenario_id, step)))
                cleanup = run.clean_up()
                namespaces = run.namespaces_made()
        except Exception:
            logger.exception("cleaning up after %s failed", scenario_id)
        finally:
            self._news.put(_Finished(result, cleanup, namespaces))

    # After ----------------------------------------------------------------------------------------

    def _wait_for_namespaces(self) -> None:
        # Threads may have ended after the loop was left by an exception; their namespaces count too.
        while not self._news.empty():
            news = self._news.get()
            if isinstance(news, _Finished):
                self._cleanup += news.cleanup
                self._namespaces += news.namespaces
        left = wait_gone(self._connection, self._namespaces, Patience.of(CLEANUP_SECONDS))
        if left:
            self._cleanup += Cleanup(complete=False, left_behind=tuple(str(handle) for handle in left))


def _metadata(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = item.get("metadata")
    return found if isinstance(found, dict) else {}


def _server_version(version: Mapping[str, Any]) -> tuple[int, int]:
    try:
        return checks.minor(f"{version.get('major')}.{version.get('minor')}")
    except ValueError as error:
        raise errors.BadAnswer("the server does not tell its version as Kubernetes does") from error
