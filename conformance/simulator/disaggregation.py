"""A serving stack that runs prefill and decode in pods of their own, with a router before them."""

from __future__ import annotations

from conformance.simulator.definitions import deployment, namespace, service
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile

HOME, ROUTER, PORT, WORKER_PORT = "llm-serving", "llm-router", 8000, 8200
ROLE_LABEL = "llm-d.ai/role"
MODEL = "demo/llama-3.1-8b-instruct"
ROUTER_IMAGE, WORKER_IMAGE = (
    "registry.example/serving/llm-router:v0.5.1",
    "registry.example/serving/llm-worker:v0.5.1",
)
PREFILL, DECODE = "prefill", "decode"


def is_deployed(profile: Profile) -> bool:
    """Whether the platform's vendor has the stack running."""
    return profile.version in {"1.36", "1.37"} and "disaggregation-missing" not in profile.faults


def objects(profile: Profile) -> list[Json]:
    """Return what the profile's installation brings along."""
    if not is_deployed(profile):
        return []
    router = deployment(HOME, ROUTER, ROUTER_IMAGE, port=PORT)
    return [
        namespace(HOME),
        *(_worker(role) for role in _roles(profile)),
        router,
        service(HOME, ROUTER, ROUTER, port=PORT, target=PORT),
    ]


def _roles(profile: Profile) -> tuple[str, ...]:
    return (PREFILL,) if "disaggregation-without-decode" in profile.faults else (PREFILL, DECODE)


def _worker(role: str) -> Json:
    found = deployment(HOME, f"llm-{role}", WORKER_IMAGE, port=WORKER_PORT)
    template = found["spec"]["template"]
    template["metadata"]["labels"] = {**template["metadata"]["labels"], ROLE_LABEL: role}
    template["spec"]["containers"][0]["args"] = ["--role", role]
    return found


def settings(profile: Profile) -> Json:
    """Return what the vendor tells of the stack in the probe settings."""
    if not is_deployed(profile):
        return {}
    roles = {role: {ROLE_LABEL: role} for role in (PREFILL, DECODE)}
    if "disaggregation-shares-pods" in profile.faults:
        # One kind of pod does both; the vendor calls it by two names.
        roles = {PREFILL: {ROLE_LABEL: PREFILL}, DECODE: {"app.kubernetes.io/name": f"llm-{PREFILL}"}}
    endpoint = {"namespace": HOME, "service": ROUTER, "port": PORT}
    return {"disaggregated": {"endpoint": endpoint, **roles, "model": MODEL}}
