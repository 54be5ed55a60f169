"""What a check is given: the cluster, its budget, and a place to create things that will be removed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from conformance.catalogue import Level
from conformance.cluster import errors
from conformance.cluster.patience import OutOfTime, Patience
from conformance.conclusions import BudgetExhausted, Cancelled, Concluded, unknown
from conformance.context import CHECK_LABEL, MANAGED_BY, RUN_LABEL, RunContext
from conformance.evidence import EvidenceBag
from conformance.following import Follower, State
from conformance.markers import END, Report, parse
from conformance.removal import Created, ask_removal, delete, wait_gone
from conformance.report import Cleanup
from conformance.resources import CLAIM_TEMPLATES, NAMESPACES, PODS, RESOURCE_CLAIMS, Resource
from conformance.rights import OWN_NAMESPACES, Right, Scope
from conformance.verdicts import Status

if TYPE_CHECKING:
    from conformance.cluster.connection import Query

logger = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")

CLEANUP_SECONDS = 120.0
# A platform's own wait is never cut below this, however fast a simulated cluster's clock runs.
SHORTEST_WAIT = 5.0
# Nor is the reading of a log.
SHORTEST_READ = 20.0
# Admission turns pods away until a new namespace has its default service account.
_SETTLING_SECONDS = 15.0
_LOG_BYTES = 512 * 1024


class Subject(Protocol):
    """What is run: a check or a scenario. `deadline` is in seconds."""

    @property
    def id(self) -> str:
        """The name it has in the report."""

    @property
    def deadline(self) -> int:
        """How long it may take."""

    @property
    def rights(self) -> tuple[Right, ...]:
        """What it must be allowed to do."""


class Run:
    """The view of the cluster one check or scenario has. Belongs to one thread.

    A scenario, which never changes an outcome, has the level SHOULD.
    """

    def __init__(self, context: RunContext, info: Subject, level: Level = Level.SHOULD) -> None:
        self.context = context
        self.info = info
        self.level = level
        self.settings = context.settings
        self.connection = context.connection
        self.evidence = EvidenceBag(self.secrets())
        self.deadline = min(context.deadline, time.monotonic() + info.deadline)
        self._namespace: str | None = None
        self._created: list[Created] = []
        self._allowed: set[Right] = set()

    def secrets(self) -> frozenset[str]:
        """Return what must not show in anything that is kept."""
        return frozenset(self.connection.access.secrets()) | self.settings.secrets()

    # Time -----------------------------------------------------------------------------------------

    def remaining(self) -> float:
        """Seconds of the engine's budget left for this check, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def scaled(self, seconds: float) -> float:
        """Return an observation window, shortened where the cluster's clock runs faster than ours."""
        return seconds / self.context.speed

    def patience(self, seconds: float | None = None) -> Patience:
        """Return how long a request may take: the budget, or less."""
        if self.context.stop.is_set():
            raise Cancelled
        if self.remaining() <= 0:
            raise BudgetExhausted
        budget = Patience(self.deadline, self._leave_if_stopped)
        return budget if seconds is None else budget.at_most(seconds)

    def _leave_if_stopped(self) -> None:
        if self.context.stop.is_set():
            raise Cancelled

    def awhile(self, seconds: float) -> Patience:
        """Return how long the platform may take for something, in seconds of the cluster's time."""
        return self.patience(max(self.scaled(seconds), min(SHORTEST_WAIT, seconds)))

    def blame_engine(self, patience: Patience) -> None:
        """Raise BudgetExhausted where a wait for the platform ends with the engine's own time."""
        if patience.deadline >= self.deadline:
            raise BudgetExhausted
        self.patience()

    def is_over(self, patience: Patience, seconds: float) -> bool:
        """Tell whether a wait for the platform ends within so many seconds of the cluster's time.

        Raises BudgetExhausted where what ends is the engine's own time.
        """
        if patience.remaining() > self.scaled(seconds):
            return False
        self.blame_engine(patience)
        return True

    def pause(self, seconds: float) -> None:
        """Sleep for a moment of the cluster's time."""
        self.patience().sleep(self.scaled(seconds))

    # Rights ---------------------------------------------------------------------------------------

    def require(self, option: str = "") -> None:
        """Make sure of the declared rights of an option; raise a verdict naming the first one missing."""
        needed = [right for right in self.info.rights if right.option == option]
        if self.context.namespace is None and any(right.scope is Scope.RUN for right in needed):
            needed += OWN_NAMESPACES
        self.require_rights(needed)

    def require_rights(self, rights: Iterable[Right]) -> None:
        """Ask the server for each right; raise a verdict naming the first one missing."""
        for right in sorted(set(rights) - self._allowed):
            if not self._is_allowed(right):
                raise Concluded(
                    Status.ERROR,
                    "forbidden",
                    f"The credential may not {right}{self._where(right)}. Apply the manifest that "
                    f"`conformance rbac --checklist {self.context.checklist_version}` prints.",
                )
            self._allowed.add(right)

    def _where(self, right: Right) -> str:
        if right.namespace:
            return f" in namespace {right.namespace}"
        return f" in namespace {self.planned_namespace}" if right.scope is Scope.RUN else ""

    def _is_allowed(self, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": right.namespace or (self.planned_namespace if right.scope is Scope.RUN else ""),
            "name": right.name,
        }
        answer = self.connection.create(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
            patience=self.patience(),
        )
        return (answer.get("status") or {}).get("allowed") is True

    # Reading --------------------------------------------------------------------------------------

    def groups(self) -> dict[str, Json]:
        """Return the API groups the server offers."""
        return self.context.groups(self.patience())

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json:
        """Return an object; raise NotFound where there is none."""
        return self.connection.get(
            resource.path(self._place(resource, namespace), name), patience=self.patience()
        )

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None:
        """Return an object or None."""
        return self.connection.find(
            resource.path(self._place(resource, namespace), name), patience=self.patience()
        )

    def items(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        everywhere: bool = False,
        selector: str = "",
    ) -> list[Json]:
        """Return the objects of the run's namespace, of another, or of the whole cluster."""
        place = None if everywhere else self._place(resource, namespace)
        return self.connection.listing(
            resource.path(place), label_selector=selector or None, patience=self.patience()
        ).items

    def _place(self, resource: Resource, namespace: str | None) -> str | None:
        if not resource.namespaced:
            return None
        return namespace or self.namespace

    def wait(
        self,
        resource: Resource,
        judge: Callable[[State], T | None],
        *,
        seconds: float,
        selector: str = "",
    ) -> T | None:
        """Follow a collection of the run's namespace until `judge` finds what it looks for.

        `judge` gets the objects by name, again after each change. Returns None where `seconds` of the
        cluster's time pass without it; raises BudgetExhausted where the engine's own budget ends first.
        """
        limit = max(self.scaled(seconds), min(SHORTEST_WAIT, seconds))
        return self._follow(resource, judge, limit, selector)

    def watch_window(
        self,
        resource: Resource,
        judge: Callable[[State], T | None],
        *,
        seconds: float,
        selector: str = "",
    ) -> T | None:
        """Follow a collection for a window in which something must not happen; see `wait`."""
        return self._follow(resource, judge, self.scaled(seconds), selector)

    def _follow(
        self, resource: Resource, judge: Callable[[State], T | None], limit: float, selector: str
    ) -> T | None:
        follower = Follower(
            self.connection, resource.path(self._place(resource, None)), selector, self.patience
        )
        return follower.until(judge, time.monotonic() + limit)

    # Creating and removing --------------------------------------------------------------------------

    @property
    def planned_namespace(self) -> str:
        """The name of the namespace things are created in, whether it is there yet or not."""
        if self.context.namespace:
            return self.context.namespace
        return f"certportal-{self.context.short}-{self.info.id.replace('_', '-')}"[:63]

    @property
    def namespace(self) -> str:
        """The namespace of this check, made when first needed."""
        if self._namespace is None:
            if self.context.namespace is None:
                self._make_namespace(self.planned_namespace)
            self._namespace = self.planned_namespace
        return self._namespace

    def _make_namespace(self, name: str) -> None:
        handle = Created(NAMESPACES, None, name)
        self._created.append(handle)
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                # A cluster-wide default stricter than this would turn the probes away.
                "labels": {**self.labels(), "pod-security.kubernetes.io/enforce": "baseline"},
            },
        }
        handle.remember(self.connection.create(NAMESPACES.path(None), body, patience=self.patience()))

    def labels(self) -> dict[str, str]:
        """The labels everything created here carries."""
        return {
            RUN_LABEL: self.context.label,
            CHECK_LABEL: self.info.id.replace("_", "-"),
            **MANAGED_BY,
        }

    @property
    def selector(self) -> str:
        """Selects what this check of this run created."""
        return f"{RUN_LABEL}={self.context.label},{CHECK_LABEL}={self.info.id.replace('_', '-')}"

    def create(self, resource: Resource, name: str, body: Json, *, dry_run: bool = False) -> Json:
        """Create an object in the run's namespace; its removal is registered before it is asked for.

        `body` holds what is particular; identity and labels are added here.
        """
        namespace = self.namespace if resource.namespaced else None
        given = body.get("metadata") or {}
        metadata = {**given, "name": name, "labels": {**(given.get("labels") or {}), **self.labels()}}
        if namespace:
            metadata["namespace"] = namespace
        whole = {**body, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        if dry_run:
            return self._post(resource, whole, dry_run=True)
        handle = Created(resource, namespace, name)
        self._created.append(handle)
        created = self._post(resource, whole)
        handle.remember(created)
        return created

    def _post(self, resource: Resource, whole: Json, *, dry_run: bool = False) -> Json:
        """Create an object, bearing with a young namespace and with a connection that broke."""
        path = resource.path(whole["metadata"].get("namespace"))
        settled = time.monotonic() + max(_SETTLING_SECONDS / self.context.speed, SHORTEST_WAIT)
        is_repeated = False
        while True:
            try:
                return self.connection.create(path, whole, dry_run=dry_run, patience=self.patience())
            except errors.ConnectionFailed:
                # The connection may have been idle for too long, or broke after the object was made.
                if is_repeated:
                    raise
                is_repeated = True
            except errors.Conflict:
                name = whole["metadata"]["name"]
                found = self.connection.find(f"{path}/{name}", patience=self.patience())
                if not is_repeated or found is None or not self._is_ours(found):
                    raise
                return found
            except errors.Forbidden:
                # The right itself was confirmed beforehand: this is admission in a young namespace.
                if resource != PODS or self.context.namespace or time.monotonic() >= settled:
                    raise
                self.pause(1)

    def _is_ours(self, item: Json) -> bool:
        return ((item.get("metadata") or {}).get("labels") or {}).get(RUN_LABEL) == self.context.label

    def change(self, resource: Resource, name: str, change: Json) -> Json:
        """Change an object of the run's own by a JSON merge patch."""
        place = self._place(resource, None)
        return self.connection.merge(resource.path(place, name), change, patience=self.patience())

    def remove(self, *things: tuple[Resource, str], seconds: float = 60) -> None:
        """Remove objects in the middle of a check, keep evidence of them, and wait until they are gone."""
        wanted = [Created(resource, self.namespace, name) for resource, name in things]
        handles = [handle for handle in self._created if handle in wanted]
        for handle in handles:
            self.capture(handle)
        for handle in handles:
            delete(self.connection, handle, self.patience())
        patience = self.patience(max(self.scaled(seconds), SHORTEST_WAIT))
        left = wait_gone(self.connection, handles, patience, pause=max(0.05, self.scaled(0.5)))
        left += self._wait_released({handle.name for handle in handles}, patience)
        if left:
            self.blame_engine(patience)
            raise Concluded(Status.ERROR, "not_removed", f"{left[0]} was deleted but does not go away.")
        self._created = [handle for handle in self._created if handle not in handles]

    def _wait_released(self, owners: set[str] | None, patience: Patience) -> list[Created]:
        """Wait until the claims made for these pods, or for any, have given their devices back."""
        if not any(handle.resource == CLAIM_TEMPLATES for handle in self._created):
            return []
        label = self.context.label
        return self._wait_none(RESOURCE_CLAIMS, lambda claim: _is_owned_by(claim, owners, label), patience)

    def _wait_no_pods(self, patience: Patience) -> list[Created]:
        """Wait until the pods controllers made for us are gone too: they may hold devices."""
        if all(handle.resource in (PODS, CLAIM_TEMPLATES, NAMESPACES) for handle in self._created):
            return []
        own = self.labels().items()
        return self._wait_none(
            PODS, lambda pod: own <= ((pod.get("metadata") or {}).get("labels") or {}).items(), patience
        )

    def _wait_none(
        self, resource: Resource, is_ours: Callable[[Json], bool], patience: Patience
    ) -> list[Created]:
        """Wait until nothing of a kind is ours any more, and return what stays."""
        path = resource.path(self.planned_namespace)
        while True:
            try:
                found = self.connection.listing(path, patience=patience).items
            except errors.ClusterError as error:
                logger.info("cannot tell whether %s are gone: %s", resource.qualified, error)
                return []
            left = [_name(item) for item in found if is_ours(item)]
            if not left or patience.remaining() <= 0:
                return [Created(resource, self.planned_namespace, name) for name in left]
            with contextlib.suppress(OutOfTime):
                patience.sleep(max(0.05, self.scaled(0.5)))

    # Logs -------------------------------------------------------------------------------------------

    def log(self, pod: str, container: str) -> str:
        """Return a container's log; raise a verdict where it cannot be read."""
        try:
            return self._log(self.namespace, pod, container, self.patience())
        except errors.ClusterError as error:
            raise _unreadable(pod, container, error) from error

    def _log(self, namespace: str, pod: str, container: str, patience: Patience) -> str:
        path = f"{PODS.path(namespace, pod)}/log"
        query: Query = {"container": container, "limitBytes": _LOG_BYTES}
        return self.connection.text(path, query=query, limit=2 * _LOG_BYTES, patience=patience)

    def markers(self, pod: str, container: str, *, seconds: float = 30) -> Report:
        """Follow a running container's log until the probe has said all it has to say.

        Raises a verdict: error where the log cannot be read, unknown where the probe never spoke.
        """
        # A fast clock makes the cluster quick to print, not us to read.
        patience = self.patience(max(self.scaled(seconds), min(SHORTEST_READ, seconds)))
        path = f"{PODS.path(self.namespace, pod)}/log"
        problem: errors.ClusterError | None = None
        while True:
            lines: list[str] = []
            try:
                self._read_until_end(path, container, lines, patience)
            except errors.ClusterError as error:
                # The last attempt is cut short by our own patience; what came before says more.
                problem = problem if problem and isinstance(error, errors.RequestTimeout) else error
            else:
                problem = None
            report = parse(lines)
            if report.is_complete or patience.remaining() <= 0:
                break
            # A server in trouble is not to be pressed, however fast the cluster's clock runs.
            least = 0.5 if isinstance(problem, errors.ServerError) else 0.1
            with contextlib.suppress(OutOfTime):
                patience.sleep(max(least, self.scaled(0.5)))
        self.patience()
        if report.is_complete:
            self.evidence.add_text(f"logs/{pod}-{container}.txt", "\n".join(lines) + "\n")
            return report
        if problem is not None:
            raise _unreadable(pod, container, problem) from problem
        if not report.has_begun:
            # The log may be empty because it cannot be read, or because the program never ran.
            self.evidence.add_text(f"logs/{pod}-{container}.txt", self.log(pod, container))
        raise unknown("probe_silent", f"The probe in pod {pod}, container {container}, did not report.")

    def _read_until_end(self, path: str, container: str, lines: list[str], patience: Patience) -> None:
        query: Query = {"container": container, "follow": "true", "limitBytes": _LOG_BYTES}
        length = 0
        with contextlib.closing(self.connection.lines(path, query=query, patience=patience)) as stream:
            for line in stream:
                lines.append(line)
                length += len(line)
                if line.startswith(END) or length > _LOG_BYTES:
                    return

    def image(self) -> str:
        """The image the probes run in."""
        return self.context.image

    # Evidence and cleaning up -----------------------------------------------------------------------

    def capture(self, handle: Created, patience: Patience | None = None) -> None:
        """Keep an object's present state, and the logs where it is a pod. Never stands in the way."""
        patience = patience or self.patience()
        try:
            value = self.connection.find(handle.path, patience=patience)
            if value is None:
                return
            self.evidence.add_object(f"{handle.resource.qualified}/{handle.name}", value)
            if handle.resource == PODS and handle.namespace:
                for container in _started_containers(value):
                    text = self._log(handle.namespace, handle.name, container, patience)
                    self.evidence.add_text(f"logs/{handle.name}-{container}.txt", text)
        except (errors.ClusterError, OutOfTime) as error:
            logger.info("no evidence of %s: %s", handle, error)

    def capture_all(self, patience: Patience) -> None:
        """Keep the state of everything still there, and the namespace's events."""
        if self._namespace is None:
            return
        try:
            # Pods that a controller made for us are among these too.
            pods = self.connection.listing(
                PODS.path(self._namespace), label_selector=self.selector, patience=patience
            ).items
        except (errors.ClusterError, OutOfTime) as error:
            logger.info("no pods of %s: %s", self._namespace, error)
            pods = []
        made = [Created(PODS, self._namespace, _name(pod)) for pod in pods]
        own = [handle for handle in self._created if handle.resource != NAMESPACES and handle not in made]
        for handle in (*own, *made):
            self.capture(handle, patience)
        try:
            found = self.connection.listing(f"/api/v1/namespaces/{self._namespace}/events", patience=patience)
        except (errors.ClusterError, OutOfTime) as error:
            logger.info("no events of %s: %s", self._namespace, error)
        else:
            mine = {handle.name for handle in (*own, *made)}
            self.evidence.add_events(
                [
                    event
                    for event in found.items
                    if self.context.namespace is None
                    or str((event.get("involvedObject") or {}).get("name")) in mine
                ]
            )

    def clean_up(self) -> Cleanup:
        """Remove everything this check created, last first, with a budget of its own."""
        patience = Patience.of(CLEANUP_SECONDS)
        handles = list(reversed(self._created))
        inside = [handle for handle in handles if handle.resource != NAMESPACES]
        left = [handle for handle in inside if not ask_removal(self.connection, handle, patience)]
        left += wait_gone(self.connection, [handle for handle in inside if handle not in left], patience)
        left += self._wait_no_pods(patience)
        left += self._wait_released(None, patience)
        outside = [handle for handle in handles if handle.resource == NAMESPACES]
        left += [handle for handle in outside if not ask_removal(self.connection, handle, patience)]
        # A namespace takes its time to go; the engine waits for all of them together at the end.
        self._created = [handle for handle in self._created if handle in left or handle in outside]
        return Cleanup(not left, tuple(str(handle) for handle in left))

    def namespaces_made(self) -> list[Created]:
        """Return the namespaces whose end is still to be waited for."""
        return [handle for handle in self._created if handle.resource == NAMESPACES]


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _is_owned_by(claim: Json, pods: set[str] | None, label: str) -> bool:
    """Tell whether a claim was generated for one of the pods, or for any pod of the run."""
    metadata = claim.get("metadata") or {}
    owners = {str(owner.get("name")) for owner in metadata.get("ownerReferences") or []}
    if pods is not None:
        return bool(owners & pods)
    return (metadata.get("labels") or {}).get(RUN_LABEL) == label


def _started_containers(pod: Json) -> list[str]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return [str(status.get("name")) for status in statuses if "waiting" not in (status.get("state") or {})]


def _unreadable(pod: str, container: str, error: errors.ClusterError) -> Concluded:
    return Concluded(
        Status.ERROR,
        "logs_unreadable",
        f"The log of pod {pod}, container {container}, cannot be read: {error}",
    )
