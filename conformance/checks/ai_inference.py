"""A gateway spreads inference traffic by weight and routes it by header."""

from __future__ import annotations

from conformance import traffic
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.rights import BASE
from conformance.run import Run
from conformance.traffic import Answers
from conformance.verdicts import Status, Verdict

REQUESTS, HEADER_REQUESTS = 200, 20
WEIGHTS = (90, 10)
# Chance alone keeps a share of one in ten within these bounds in all but one of a thousand runs.
LEAST_SHARE, MOST_SHARE = 0.04, 0.18
HEADER = "OpenAI-Organization"
_CHOSEN, _OTHER = "certportal-chosen", "certportal-other"
_GATEWAY, _ROUTE = "certportal-traffic", "certportal-traffic"
_MAJORITY, _MINORITY = "traffic-majority", "traffic-minority"


@check("ai_inference", deadline=1200, rights=(*BASE, *traffic.RIGHTS))
def ai_inference(run: Run) -> Verdict:
    """An implementation of the Gateway API manages traffic to model servers.

    A gateway of an accepted class is programmed and a route of it accepted, at their present
    generation. Of 200 requests a tenth goes to the backend with a tenth of the weight; requests with
    a certain OpenAI-style header go to that backend alone, those with another value do not.

    The requests are sent from a pod, to the address the gateway gives.
    """
    if not traffic.serves(run, f"gateways.{traffic.GROUP}", "v1"):
        raise failed("api_missing", f"The server does not offer Gateway in {traffic.GROUP}/v1.")
    class_name = traffic.gateway_class(run, run.settings.inference.gateway_class)
    for name in (_MAJORITY, _MINORITY):
        traffic.serve(run, name, name, {})
        traffic.expose(run, name, name)
    traffic.make_gateway(run, _GATEWAY, class_name)
    traffic.make_route(run, _ROUTE, _GATEWAY, _rules())
    traffic.await_ready(run, _MAJORITY, _MINORITY)
    address = traffic.await_programmed(run, _GATEWAY)
    traffic.await_parents(run, traffic.HTTP_ROUTES, _ROUTE, _GATEWAY, "route")
    answers = {}
    for name, told in _rounds(address).items():
        answers[name] = traffic.ask(run, f"traffic-{name}", told)
        _expect_answered(answers[name], address)
    _expect_by_header(answers["chosen"], answers["other"])
    share = answers["plain"].servers.get(_MINORITY, 0) / REQUESTS
    if not LEAST_SHARE <= share <= MOST_SHARE:
        raise failed(
            "weights_not_kept",
            f"Of {REQUESTS} requests the backend with weight {WEIGHTS[1]} of 100 got {share:.0%}.",
        )
    return Verdict(
        Status.PASS,
        "routed",
        f"GatewayClass {class_name}: the backend with weight {WEIGHTS[1]} of 100 got {share:.0%} of "
        f"{REQUESTS} requests, and every request with the header {HEADER} went where it belongs.",
    )


def _rules() -> list[traffic.Json]:
    def backend(name: str, weight: int) -> traffic.Json:
        return {"name": name, "port": traffic.PORT, "weight": weight}

    header = {"type": "Exact", "name": HEADER, "value": _CHOSEN}
    return [
        {"matches": [{"headers": [header]}], "backendRefs": [backend(_MINORITY, 1)]},
        {"backendRefs": [backend(_MAJORITY, WEIGHTS[0]), backend(_MINORITY, WEIGHTS[1])]},
    ]


def _rounds(address: str) -> dict[str, dict[str, str]]:
    base = f"http://{address}:{traffic.GATEWAY_PORT}"
    common = {"PROBE_URL": f"{base}/v1/models", "PROBE_READY": f"{base}/health"}
    few = {**common, "PROBE_COUNT": str(HEADER_REQUESTS)}
    return {
        "plain": {**common, "PROBE_COUNT": str(REQUESTS)},
        "chosen": {**few, "PROBE_HEADER": f"{HEADER}: {_CHOSEN}"},
        "other": {**few, "PROBE_HEADER": f"{HEADER}: {_OTHER}"},
    }


def _expect_answered(found: Answers, address: str) -> None:
    """Conclude unless the backends answered every request."""
    if not found.reached and not found.status:
        raise unknown(
            "no_data_path",
            f"Every condition holds, but from a pod nothing answers at the gateway's address {address}.",
        )
    if not found.reached:
        raise failed(
            "route_not_served", f"The gateway answers {found.status} although the route is accepted."
        )
    if found.failures:
        seen = ", ".join(str(status) for status in sorted(found.statuses) if status != 200)  # noqa: PLR2004
        raise failed("requests_failed", f"{found.failures} of {found.sent} requests failed (status {seen}).")


def _expect_by_header(chosen: Answers, other: Answers) -> None:
    """Conclude unless the header alone decides where its requests go."""
    astray = HEADER_REQUESTS - chosen.servers.get(_MINORITY, 0)
    if astray:
        raise failed(
            "header_not_matched",
            f"Of {HEADER_REQUESTS} requests with the header {HEADER}, {astray} went to another backend than "
            "the route says.",
        )
    if not other.servers.get(_MAJORITY):
        raise failed(
            "header_matched_wrongly",
            f"Requests with another value of {HEADER} were routed as if it were the one the route names.",
        )
