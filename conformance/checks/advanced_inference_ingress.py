"""A gateway sends inference requests to the model server best placed to answer."""

from __future__ import annotations

import json
from collections.abc import Mapping

from conformance import pods, traffic
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.resources import DEPLOYMENTS, PODS, SERVICES, Resource
from conformance.rights import BASE, on
from conformance.run import Run
from conformance.traffic import APP_LABEL, Json
from conformance.verdicts import Status, Verdict

REQUESTS = 50
# A gateway that ignored the queues would reach this by chance once in several thousand runs.
LEAST_PREFERRED = 38
QUEUES: Mapping[str, int] = {"pool-server-empty": 0, "pool-server-busy": 40}
PICKER_IMAGE = "registry.k8s.io/gateway-api-inference-extension/epp:v1.2.1"
PICKER_SECONDS = 180.0

GROUP, OBJECTIVES = "inference.networking.k8s.io", "inference.networking.x-k8s.io"
_RBAC = "rbac.authorization.k8s.io"
POOLS = Resource(GROUP, "v1", "inferencepools", "InferencePool")
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")

_POOL, _PICKER, _GATEWAY = "certportal-pool", "certportal-picker", "certportal-pool"
_CLIENT = "pool-client"
_GRPC_PORT, _HEALTH_PORT = 9002, 9003
_BODY = {
    "model": "certportal-probe",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": "Say ok."}],
}
# What the picker may see, and what of it must be the verifier's own right: nobody hands out more
# than he has.
_SIGHT: tuple[tuple[str, str], ...] = (
    ("", "pods"),
    (GROUP, "inferencepools"),
    (OBJECTIVES, "inferenceobjectives inferencemodelrewrites"),
)
# One scorer alone, so that nothing but the queues decides.
_CONFIGURATION = f"""\
apiVersion: {OBJECTIVES}/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: max-score-picker
- type: single-profile-handler
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 1
  - pluginRef: max-score-picker
"""


@check(
    "advanced_inference_ingress",
    since="1.36",
    deadline=1200,
    rights=(
        *BASE,
        *traffic.RIGHTS,
        *on("inferencepools", "create get delete", group=GROUP),
        *on("deployments", "create get delete", group="apps"),
        *on("serviceaccounts", "create get delete"),
        *on("roles rolebindings", "create get delete", group=_RBAC),
        *(right for group, resources in _SIGHT for right in on(resources, "get list watch", group=group)),
    ),
)
def advanced_inference_ingress(run: Run) -> Verdict:
    """A gateway sends each request to the model server that is best placed to answer it.

    An InferencePool of two stand-in model servers with an endpoint picker is accepted by the gateway
    and its references resolved. The servers report queues of different length; of 50 requests the
    server with the empty queue gets the great majority, and none fails.

    KAR-0011. The picker is the reference implementation, which scores queues alone; it reads pods and
    pools through a role of its own that is removed with it.
    """
    if not traffic.serves(run, f"inferencepools.{GROUP}", "v1"):
        return Verdict(
            Status.NOT_APPLICABLE,
            "extension_absent",
            f"The server does not offer InferencePool in {GROUP}/v1: the inference extension is not there.",
        )
    inference = run.settings.inference
    class_name = traffic.gateway_class(run, inference.pool_gateway_class or inference.gateway_class)
    for name, queue in QUEUES.items():
        traffic.serve(run, name, _POOL, {"PROBE_QUEUE": str(queue)})
    _make_picker(run)
    _make_pool(run)
    traffic.make_gateway(run, _GATEWAY, class_name)
    backend = {"group": GROUP, "kind": "InferencePool", "name": _POOL}
    traffic.make_route(run, _GATEWAY, _GATEWAY, [{"backendRefs": [backend]}])
    traffic.await_ready(run, *QUEUES)
    _await_picker(run)
    address = traffic.await_programmed(run, _GATEWAY)
    traffic.await_parents(run, traffic.HTTP_ROUTES, _GATEWAY, _GATEWAY, "route")
    traffic.await_parents(run, POOLS, _POOL, _GATEWAY, "pool")
    preferred = _ask(run, address)
    return Verdict(
        Status.PASS,
        "emptier_preferred",
        f"GatewayClass {class_name}: of {REQUESTS} requests to a pool of two servers, {preferred} went to "
        "the one that reported the shorter queue.",
    )


def _make_picker(run: Run) -> None:
    """Create the endpoint picker with an account that may look at pods and pools."""
    image = run.settings.inference.picker_image or PICKER_IMAGE
    run.create(ACCOUNTS, _PICKER, {})
    rules = [
        {"apiGroups": [group], "resources": resources.split(), "verbs": ["get", "list", "watch"]}
        for group, resources in _SIGHT
    ]
    run.create(ROLES, _PICKER, {"rules": rules})
    subject = {"kind": "ServiceAccount", "name": _PICKER, "namespace": run.namespace}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": _PICKER}
    run.create(ROLE_BINDINGS, _PICKER, {"roleRef": reference, "subjects": [subject]})
    labels = {APP_LABEL: _PICKER}
    container = {
        "name": "picker",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            f"--pool-name={_POOL}",
            f"--pool-namespace={run.namespace}",
            f"--pool-group={GROUP}",
            f"--grpc-port={_GRPC_PORT}",
            f"--grpc-health-port={_HEALTH_PORT}",
            f"--secure-serving={'true' if run.settings.inference.picker_tls else 'false'}",
            f"--config-text={_CONFIGURATION}",
            "--tracing=false",
        ],
        "ports": [{"name": "grpc", "containerPort": _GRPC_PORT}],
        "readinessProbe": {
            "grpc": {"port": _HEALTH_PORT, "service": "inference-extension"},
            "periodSeconds": 2,
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": {**labels, **run.labels()}},
            "spec": {
                "serviceAccountName": _PICKER,
                "terminationGracePeriodSeconds": pods.GRACE_SECONDS,
                "containers": [container],
            },
        },
    }
    run.create(DEPLOYMENTS, _PICKER, {"spec": spec})
    port = {"name": "grpc", "port": _GRPC_PORT, "targetPort": _GRPC_PORT, "appProtocol": "http2"}
    run.create(SERVICES, _PICKER, {"spec": {"selector": labels, "ports": [port]}})


def _make_pool(run: Run) -> None:
    picker = {"name": _PICKER, "port": {"number": _GRPC_PORT}, "failureMode": "FailClose"}
    spec = {
        "selector": {"matchLabels": {APP_LABEL: _POOL}},
        "targetPorts": [{"number": traffic.PORT}],
        "endpointPickerRef": picker,
    }
    run.create(POOLS, _POOL, {"spec": spec})


def _await_picker(run: Run) -> None:
    """Wait for the picker; it is ours, so that it is not the platform's failure where it never is Ready."""

    def judge(found: Mapping[str, Json]) -> bool | None:
        mine = [
            pod
            for pod in found.values()
            if ((pod.get("metadata") or {}).get("labels") or {}).get(APP_LABEL) == _PICKER
        ]
        if any(pods.lacks_image(pod) for pod in mine):
            image = run.settings.inference.picker_image or PICKER_IMAGE
            raise unknown(
                "picker_unpullable",
                f"The cluster cannot pull the endpoint picker {image}; name another image under "
                "`inference.picker.image` in the probe settings.",
            )
        return True if any(traffic.is_ready(pod) for pod in mine) else None

    if not run.wait(PODS, judge, seconds=PICKER_SECONDS, selector=run.selector):
        raise unknown("picker_not_ready", "The endpoint picker did not become Ready in time.")


def _ask(run: Run, address: str) -> int:
    """Send the requests and return how many the emptier server got; conclude where they go astray."""
    base = f"http://{address}:{traffic.GATEWAY_PORT}"
    told = {
        "PROBE_READY": f"{base}/health",
        "PROBE_URL": f"{base}/v1/chat/completions",
        "PROBE_BODY": json.dumps(_BODY),
        "PROBE_COUNT": str(REQUESTS),
    }
    answers = traffic.ask(run, _CLIENT, told)
    if not answers.reached and not answers.status:
        raise unknown(
            "status_only",
            f"Every condition holds, but from a pod nothing answers at the gateway's address {address}.",
        )
    if not answers.reached:
        raise failed("pool_not_served", f"The gateway answers {answers.status} instead of a model server.")
    if answers.failures:
        seen = ", ".join(str(status) for status in sorted(answers.statuses) if status != 200)  # noqa: PLR2004
        raise failed(
            "requests_failed", f"{answers.failures} of {answers.sent} requests failed (status {seen})."
        )
    preferred = answers.servers.get(min(QUEUES, key=QUEUES.__getitem__), 0)
    if preferred < LEAST_PREFERRED:
        raise failed(
            "emptier_not_preferred",
            f"Of {REQUESTS} requests only {preferred} went to the server that reported the shorter queue.",
        )
    return preferred
