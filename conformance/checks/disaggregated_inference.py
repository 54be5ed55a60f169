"""A serving stack runs the phases of a language model in pods of their own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.probe_settings import DisaggregatedSettings
from conformance.resources import PODS
from conformance.run import Run
from conformance.traffic import Json, is_ready
from conformance.verdicts import Status, Verdict

ANSWER_SECONDS = 120.0
LOG_SECONDS = 30.0
PHASES = ("prefill", "decode")
_LOG_BYTES = 1024 * 1024
_RECENT_SECONDS = 600
_MOST_PODS = 16
_MOST_LINES = 20


@check("disaggregated_inference", since="1.36", deadline=420)
def disaggregated_inference(run: Run) -> Verdict:
    """A serving stack runs prefill and decode in separate groups of pods and answers requests.

    Both phases have Ready pods and no pod in common. One request with a random id is answered, and
    the id stands in the logs of both.

    KAR-0041. The vendor names the stack: the labels of its pods and where it takes requests. Nothing is
    created in the cluster.
    """
    stack = run.settings.disaggregated
    if stack is None:
        run.evidence.observe("probe settings", "no stack is named under `disaggregated`")
        return Verdict(
            Status.NOT_APPLICABLE,
            "not_deployed",
            "The vendor names no disaggregated serving stack in the probe settings.",
        )
    run.require_rights(stack.rights())
    found = _pods_by_phase(run, stack)
    request_id = f"certportal-{secrets.token_hex(8)}"
    _send(run, stack, request_id)
    _expect_logged(run, stack, found, request_id)
    counts = ", ".join(f"{len(found[phase])} for {phase}" for phase in PHASES)
    return Verdict(
        Status.PASS,
        "both_phases_served",
        f"Separate Ready pods ({counts}) served one request, whose id stands in the logs of both phases.",
    )


def _pods_by_phase(run: Run, stack: DisaggregatedSettings) -> dict[str, list[Json]]:
    """Return the Ready pods of each phase; conclude where one has none or both share one."""
    found: dict[str, list[Json]] = {}
    for phase, labels in zip(PHASES, (stack.prefill, stack.decode), strict=True):
        listed = run.items(PODS, namespace=stack.namespace, selector=_selector(labels))
        found[phase] = [pod for pod in listed if is_ready(pod)]
        run.evidence.observe(
            f"{phase} pods",
            [{"name": _name(pod), "uid": _uid(pod), "ready": is_ready(pod)} for pod in listed[:50]],
        )
        if not listed:
            raise failed(
                "phase_missing",
                f"No pod in namespace {stack.namespace} carries the labels of {phase}: {_selector(labels)}.",
            )
        if not found[phase]:
            raise failed("phase_not_ready", f"None of the {len(listed)} pods for {phase} is Ready.")
    shared = {_uid(pod) for pod in found["prefill"]} & {_uid(pod) for pod in found["decode"]}
    if shared:
        name = next(_name(pod) for pod in found["prefill"] if _uid(pod) in shared)
        raise failed("phases_share_a_pod", f"Pod {name} belongs to prefill and to decode.")
    return found


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _name(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("name"))


def _uid(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("uid"))


def _send(run: Run, stack: DisaggregatedSettings, request_id: str) -> None:
    """Send one request that carries the id; conclude where it is not answered."""
    body: Json = {"prompt": "Say ok.", "max_tokens": 8, "user": request_id}
    if stack.model is not None:
        body["model"] = stack.model
    try:
        answer = run.connection.create(
            stack.endpoint.address("v1/completions"),
            body,
            headers={"X-Request-Id": request_id},
            patience=run.patience(ANSWER_SECONDS),
        )
    except errors.StatusError as error:
        raise _refused(error, stack) from error
    run.evidence.observe("request", {"id": request_id, "answer": sorted(answer)})
    if not answer.get("choices"):
        raise failed("request_failed", f"The stack at {stack.endpoint} answered without any completion.")


def _refused(error: errors.StatusError, stack: DisaggregatedSettings) -> Concluded:
    """Return what a refused request says; the API server's own errors name a reason, the stack's do not."""
    if error.kind == "ServiceUnavailable":
        return failed("request_failed", f"The stack at {stack.endpoint} cannot be reached: {error}")
    if error.kind or isinstance(error, errors.Throttled):
        raise error
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        return unknown(
            "endpoint_refuses", f"The stack at {stack.endpoint} wants credentials ({error.status})."
        )
    return failed(
        "request_failed", f"The stack at {stack.endpoint} answered the request with {error.status}."
    )


def _expect_logged(
    run: Run, stack: DisaggregatedSettings, found: Mapping[str, list[Json]], request_id: str
) -> None:
    """Conclude as unknown unless the logs of both phases carry the id."""
    patience = run.awhile(LOG_SECONDS)
    waiting = list(PHASES)
    while True:
        is_last = patience.remaining() <= run.scaled(1)
        waiting = [phase for phase in waiting if not _is_logged(run, stack, phase, found[phase], request_id)]
        if not waiting:
            return
        if is_last:
            run.blame_engine(patience)
            break
        run.pause(1)
    raise unknown(
        "id_not_logged",
        f"The request was answered, but its id does not stand in the logs of {' and '.join(waiting)}; "
        "whether they took part cannot be told.",
    )


def _is_logged(
    run: Run, stack: DisaggregatedSettings, phase: str, group: list[Json], request_id: str
) -> bool:
    """Tell whether the id stands in the log of a phase; only the lines that carry it are kept."""
    lines: list[str] = []
    for pod in group[:_MOST_PODS]:
        for container in (pod.get("spec") or {}).get("containers") or []:
            name = str(container.get("name"))
            text = run.connection.text(
                f"{PODS.path(stack.namespace, _name(pod))}/log",
                query={"container": name, "sinceSeconds": _RECENT_SECONDS, "limitBytes": _LOG_BYTES},
                limit=2 * _LOG_BYTES,
                patience=run.patience(),
            )
            lines += [f"{_name(pod)}/{name}: {line}" for line in text.splitlines() if request_id in line]
    if lines:
        run.evidence.add_text(f"logs/{phase}.txt", "\n".join(lines[:_MOST_LINES]) + "\n")
    return bool(lines)
