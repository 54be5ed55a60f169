"""Gateways, model pools, monitoring and a serving stack, seen by the pods that use them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance import probes
from conformance.simulator.fetching import fetch
from conformance.simulator.network import Response

from .conftest import condition_of, place, pod, until

GATEWAY = "gateways.gateway.networking.k8s.io"
ROUTE = "httproutes.gateway.networking.k8s.io"
POOL = "inferencepools.inference.networking.k8s.io"
API = "gateway.networking.k8s.io/v1"


def server(name: str, app: str, **variables: str) -> dict[str, Any]:
    body = pod(name, "serve")
    told = {"PROBE_NAME": name, **variables}
    body["metadata"]["labels"] = {"app": app}
    container = body["spec"]["containers"][0]
    container["env"] = [{"name": key, "value": value} for key, value in told.items()]
    container["ports"] = [{"name": "http", "containerPort": 8080}]
    return body


def service(name: str, port: int = 80) -> dict[str, Any]:
    ports = [{"name": "http", "port": port, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def gateway(name: str = "way", class_name: str = "inference-gateway") -> dict[str, Any]:
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    spec = {"gatewayClassName": class_name, "listeners": [listener]}
    return {"apiVersion": API, "kind": "Gateway", "metadata": {"name": name}, "spec": spec}


def route(*rules: dict[str, Any], parent: str = "way", **reference: Any) -> dict[str, Any]:
    spec = {"parentRefs": [{"name": parent, **reference}], "rules": list(rules)}
    return {"apiVersion": API, "kind": "HTTPRoute", "metadata": {"name": "route"}, "spec": spec}


def to(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "port": 80, **more}


def create(cluster, namespace, *objects):
    for obj in objects:
        cluster.store.create(place(obj, namespace))


def address_of(cluster, namespace, name="way"):
    found = cluster.store.get(GATEWAY, namespace, name)
    addresses = (found.get("status") or {}).get("addresses") or [{}]
    return addresses[0].get("value")


def get(cluster, namespace, url, **options) -> Response | None:
    return cluster.call(lambda world: fetch(world, url, namespace=namespace, **options))


def answered_by(cluster, namespace, url, **options):
    answer = get(cluster, namespace, url, **options)
    return json.loads(answer.body)["served_by"] if answer is not None and answer.status == 200 else None


def are_ready(cluster, namespace, *services):
    slices = cluster.store.list("endpointslices.discovery.k8s.io", namespace)
    ready = {
        piece["metadata"]["labels"]["kubernetes.io/service-name"]
        for piece in slices
        for endpoint in piece.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
    }
    return set(services) <= ready


def parent_condition(obj, kind):
    parents = (obj.get("status") or {}).get("parents") or [{}]
    return condition_of({"status": parents[0]}, kind)


def test_pods_reach_each_other_by_name_and_address(cluster, namespace):
    create(cluster, namespace, server("a", "app"), service("app"))
    until(lambda: are_ready(cluster, namespace, "app"))
    own = cluster.store.get("pods", namespace, "a")["status"]["podIP"]
    virtual = cluster.store.get("services", namespace, "app")["spec"]["clusterIP"]

    for host in ("app", f"app.{namespace}", f"app.{namespace}.svc", f"app.{namespace}.svc.cluster.local"):
        assert answered_by(cluster, namespace, f"http://{host}/x") == "a"
    assert answered_by(cluster, "default", f"http://app.{namespace}/x") == "a"
    assert answered_by(cluster, namespace, f"http://{own}:8080/x") == "a"
    assert answered_by(cluster, namespace, f"http://{virtual}/x") == "a"
    assert answered_by(cluster, namespace, "http://127.0.0.1:8080/x", address=own) == "a"
    for host in ("app", "app.elsewhere.svc", f"app.{namespace}.example.com", f"{own}:81", "app:81"):
        assert get(cluster, "default", f"http://{host}/x") is None


def test_ask_prints_who_answered(cluster, namespace, admin):
    create(cluster, namespace, server("a", "app"), service("app"))
    client = pod("client", "ask")
    variables = {"PROBE_READY": "http://app/health", "PROBE_URL": "http://app/x", "PROBE_COUNT": "2"}
    client["spec"]["containers"][0]["env"] = [
        {"name": key, "value": value} for key, value in variables.items()
    ]
    create(cluster, namespace, client)
    until(lambda: cluster.store.get("pods", namespace, "client")["status"]["phase"] == "Succeeded")

    assert admin.core.read_namespaced_pod_log("client", namespace).splitlines() == [
        "::probe begin program=ask",
        "::probe answer n=1 status=200 by=a",
        "::probe answer n=2 status=200 by=a",
        "::probe end reached=yes status=200 sent=2 answered=2",
    ]


def test_ask_stops_with_its_pod(cluster, namespace):
    client = pod("client", "ask")
    client["spec"]["containers"][0]["env"] = [
        {"name": "PROBE_READY", "value": "http://nobody/"},
        {"name": "PROBE_PATIENCE", "value": "100000"},
    ]
    create(cluster, namespace, client)
    until(lambda: cluster.store.get("pods", namespace, "client")["status"]["phase"] == "Running")

    cluster.store.delete("pods", namespace, "client")

    until(lambda: cluster.store.get("pods", namespace, "client") is None)


def test_gateway_gets_an_address_and_conditions(cluster, namespace):
    create(cluster, namespace, gateway())
    found = cluster.store.get(GATEWAY, namespace, "way")
    assert condition_of(found, "Programmed")["status"] == "Unknown"

    until(lambda: address_of(cluster, namespace))

    found = cluster.store.get(GATEWAY, namespace, "way")
    for kind in ("Accepted", "Programmed"):
        entry = condition_of(found, kind)
        assert (entry["status"], entry["observedGeneration"]) == ("True", 1)
    assert found["status"]["listeners"][0]["name"] == "http"


def test_gateway_of_a_foreign_class_is_left_alone(cluster, namespace):
    create(cluster, namespace, gateway("foreign", "nobodys"), gateway())
    until(lambda: address_of(cluster, namespace))

    found = cluster.store.get(GATEWAY, namespace, "foreign")
    assert condition_of(found, "Accepted")["status"] == "Unknown"


def test_route_goes_by_path_and_header_before_anything_else(cluster, namespace):
    header = {"name": "X-Model", "value": "b"}
    create(
        cluster,
        namespace,
        *(server(name, name) for name in ("a", "b", "c")),
        *(service(name) for name in ("a", "b", "c")),
        gateway(),
        route(
            {"backendRefs": [to("a")]},
            {"matches": [{"headers": [header]}], "backendRefs": [to("b")]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/deep"}}], "backendRefs": [to("c")]},
        ),
    )
    until(lambda: are_ready(cluster, namespace, "a", "b", "c"))
    until(lambda: address_of(cluster, namespace))
    base = f"http://{address_of(cluster, namespace)}"
    until(lambda: answered_by(cluster, namespace, f"{base}/x") == "a")

    assert answered_by(cluster, namespace, f"{base}/x", headers={"x-model": "b"}) == "b"
    assert answered_by(cluster, namespace, f"{base}/x", headers={"X-Model": "other"}) == "a"
    assert answered_by(cluster, namespace, f"{base}/deep/er", headers={"X-Model": "b"}) == "c"
    assert answered_by(cluster, namespace, f"{base}/deeper") == "a"
    listener = cluster.store.get(GATEWAY, namespace, "way")["status"]["listeners"][0]
    assert listener["attachedRoutes"] == 1


def test_weights_share_out_requests(cluster, namespace):
    create(
        cluster,
        namespace,
        *(server(name, name) for name in ("a", "b", "c")),
        *(service(name) for name in ("a", "b", "c")),
        gateway(),
        route({"backendRefs": [to("a", weight=3), to("b", weight=1), to("c", weight=0)]}),
    )
    until(lambda: are_ready(cluster, namespace, "a", "b", "c"))
    until(lambda: address_of(cluster, namespace))
    url = f"http://{address_of(cluster, namespace)}/x"
    until(lambda: answered_by(cluster, namespace, url))

    answers = [answered_by(cluster, namespace, url) for _ in range(40)]

    assert (answers.count("a"), answers.count("b"), answers.count("c")) == (30, 10, 0)


def test_gateway_that_goes_takes_its_address_along(cluster, namespace):
    create(cluster, namespace, gateway())
    until(lambda: address_of(cluster, namespace))
    url = f"http://{address_of(cluster, namespace)}/"
    assert get(cluster, namespace, url).status == 404

    cluster.store.delete(GATEWAY, namespace, "way")

    until(lambda: get(cluster, namespace, url) is None)


@pytest.mark.parametrize(
    ("made", "kind", "reason"),
    [
        (route({"backendRefs": [to("nobody")]}), "ResolvedRefs", "BackendNotFound"),
        (
            route({"backendRefs": [to("nobody", kind="Widget", group="example.com")]}),
            "ResolvedRefs",
            "InvalidKind",
        ),
        (route({"backendRefs": []}, sectionName="other"), "Accepted", "NoMatchingParent"),
    ],
)
def test_route_that_leads_nowhere_is_told_so(cluster, namespace, made, kind, reason):
    create(cluster, namespace, gateway(), made)
    until(lambda: parent_condition(cluster.store.get(ROUTE, namespace, "route"), kind))

    entry = parent_condition(cluster.store.get(ROUTE, namespace, "route"), kind)

    assert (entry["status"], entry["reason"]) == ("False", reason)


def test_backend_that_comes_later_is_found(cluster, namespace):
    create(cluster, namespace, gateway(), route({"backendRefs": [to("a")]}))

    def resolved():
        entry = parent_condition(cluster.store.get(ROUTE, namespace, "route"), "ResolvedRefs")
        return entry and entry["status"]

    until(lambda: resolved() == "False")
    url = f"http://{until(lambda: address_of(cluster, namespace))}/"
    assert get(cluster, namespace, url).status == 503

    create(cluster, namespace, service("a"))

    until(lambda: resolved() == "True")


# Pools --------------------------------------------------------------------------------------------


def pool() -> dict[str, Any]:
    spec = {
        "selector": {"matchLabels": {"app": "model"}},
        "targetPorts": [{"number": 8080}],
        "endpointPickerRef": {"name": "picker", "port": {"number": 9002}},
    }
    api = "inference.networking.k8s.io/v1"
    return {"apiVersion": api, "kind": "InferencePool", "metadata": {"name": "models"}, "spec": spec}


def picker(account: str = "default") -> list[dict[str, Any]]:
    container = {
        "name": "picker",
        "image": "registry.k8s.io/gateway-api-inference-extension/epp:v1.2.1",
        "args": ["--pool-name", "models"],
        "ports": [{"containerPort": 9002}],
    }
    metadata = {"name": "picker", "labels": {"app": "picker"}}
    spec = {"containers": [container], "serviceAccountName": account}
    ports = [{"port": 9002, "targetPort": 9002}]
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "picker"},
            "spec": {"selector": {"app": "picker"}, "ports": ports},
        },
    ]


def sight() -> list[dict[str, Any]]:
    rbac = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": ["get", "list", "watch"]}
        for group, resource in (
            ("", "pods"),
            ("inference.networking.k8s.io", "inferencepools"),
            ("inference.networking.x-k8s.io", "inferenceobjectives"),
        )
    ]
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "picker"}, "rules": rules}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "picker"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "picker"},
        "subjects": [{"kind": "ServiceAccount", "name": "default"}],
    }
    return [role, binding]


def pooled() -> dict[str, Any]:
    return to("models", group="inference.networking.k8s.io", kind="InferencePool")


def test_pool_is_served_by_the_emptier_server(cluster, namespace):
    servers = [server("busy", "model", PROBE_QUEUE="9"), server("idle", "model", PROBE_QUEUE="2")]
    create(cluster, namespace, *sight(), *picker(), *servers, pool(), gateway())
    create(cluster, namespace, route({"backendRefs": [pooled()]}))
    url = f"http://{until(lambda: address_of(cluster, namespace))}/v1/chat/completions"

    until(lambda: answered_by(cluster, namespace, url) == "idle")
    until(lambda: parent_condition(cluster.store.get(POOL, namespace, "models"), "Accepted"))

    assert {answered_by(cluster, namespace, url) for _ in range(10)} == {"idle"}
    found = cluster.store.get(POOL, namespace, "models")
    for kind in ("Accepted", "ResolvedRefs"):
        entry = parent_condition(found, kind)
        assert (entry["status"], entry["observedGeneration"]) == ("True", 1)
    assert found["status"]["parents"][0]["parentRef"]["name"] == "way"


def test_picker_without_sight_never_gets_ready(cluster, namespace, admin):
    create(cluster, namespace, *picker())
    until(lambda: cluster.store.get("pods", namespace, "picker")["status"]["phase"] == "Running")

    found = cluster.store.get("pods", namespace, "picker")

    assert condition_of(found, "Ready")["status"] == "False"
    assert "is forbidden" in admin.core.read_namespaced_pod_log("picker", namespace)


@pytest.mark.parametrize(("mode", "status"), [("FailClose", 503), ("FailOpen", 200)])
def test_pool_without_picker_fails_as_it_was_told(cluster, namespace, mode, status):
    made = pool()
    made["spec"]["endpointPickerRef"]["failureMode"] = mode
    create(cluster, namespace, server("a", "model"), made, gateway(), route({"backendRefs": [pooled()]}))
    url = f"http://{until(lambda: address_of(cluster, namespace))}/x"
    until(lambda: parent_condition(cluster.store.get(POOL, namespace, "models"), "ResolvedRefs"))
    until(lambda: cluster.store.get("pods", namespace, "a")["status"]["phase"] == "Running")

    until(lambda: get(cluster, namespace, url).status == status)

    entry = parent_condition(cluster.store.get(POOL, namespace, "models"), "ResolvedRefs")
    assert (entry["status"], entry["reason"]) == ("False", "InvalidExtensionRef")


# Monitoring ---------------------------------------------------------------------------------------


def queried(talker, query: str) -> tuple[int, Any]:
    path = "/api/v1/namespaces/monitoring/services/prometheus-k8s:9090/proxy/api/v1/query"
    return talker.call("GET", f"{path}?query={query}")


def values(talker, query: str) -> list[str]:
    status, answer = queried(talker, query)
    assert status == 200
    return [entry["value"][1] for entry in answer["data"]["result"]]


def monitor(kind: str, endpoints: str) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "app"}}, endpoints: [{"port": "http"}]}
    metadata = {"name": "app", "labels": {"release": "monitoring"}}
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("wiring", ["service", "pod", "annotation"])
def test_prometheus_scrapes_what_is_wired(cluster, namespace, admin, wiring):
    body = server("a", "app", PROBE_LABEL=wiring, PROBE_LEVEL="77")
    if wiring == "annotation":
        body["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    create(cluster, namespace, body, service("app"))
    if wiring == "service":
        create(cluster, namespace, monitor("ServiceMonitor", "endpoints"))
    if wiring == "pod":
        create(cluster, namespace, monitor("PodMonitor", "podMetricsEndpoints"))
    query = f'certportal_probe_level{{namespace="{namespace}",run="{wiring}"}}'.replace('"', "%22")

    until(lambda: values(admin, query) == ["77"])
    cluster.store.delete("pods", namespace, "a")
    until(lambda: values(admin, query) == [])


def test_monitor_without_the_wanted_label_is_not_noticed(cluster, namespace, admin):
    made = monitor("ServiceMonitor", "endpoints")
    made["metadata"]["labels"] = {}
    noticed = monitor("PodMonitor", "podMetricsEndpoints")
    create(cluster, namespace, server("a", "app"), service("app"), made, noticed)
    query = f'up{{namespace="{namespace}"}}'.replace('"', "%22")

    until(lambda: values(admin, query) == ["1"])

    jobs = [entry["metric"]["job"] for entry in queried(admin, query)[1]["data"]["result"]]
    assert jobs == [f"{namespace}/app"]


def test_target_that_does_not_answer_is_down(cluster, namespace, admin):
    body = pod("a", "hold", hold=3600)
    body["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "1"}
    create(cluster, namespace, body)
    query = f'up{{namespace="{namespace}"}}'.replace('"', "%22")

    until(lambda: values(admin, query) == ["0"])


def test_prometheus_answers_as_its_api_does(admin):
    assert values(admin, "vector(1)") == ["1"]
    status, refused = queried(admin, "rate(x[")
    assert (status, refused["errorType"]) == (400, "bad_data")
    assert admin.call("GET", "/api/v1/namespaces/monitoring/services/prometheus-k8s:9090/proxy/x")[0] == 404


# The serving stack --------------------------------------------------------------------------------


def test_serving_stack_logs_the_id_of_a_request_in_both_phases(cluster, admin):
    path = "/api/v1/namespaces/llm-serving/services/llm-router:8000/proxy/v1/completions"
    url = f"{cluster.url}{path}"
    headers = {
        "Authorization": f"Bearer {admin.token}",
        "Content-Type": "application/json",
        "X-Request-Id": "id-7",
    }
    answer = admin.api.call_api("POST", url, headers, {"prompt": "x"}, None, _request_timeout=5)
    answer.read()
    assert json.loads(answer.data)["choices"]

    for name in ("llm-prefill", "llm-decode"):
        found = next(
            entry["metadata"]["name"]
            for entry in cluster.store.list("pods", "llm-serving")
            if entry["metadata"]["name"].startswith(name)
        )
        assert "id-7" in admin.core.read_namespaced_pod_log(found, "llm-serving")


# Rights -------------------------------------------------------------------------------------------


def role(verb: str, resource: str) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "granted-"},
        "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}],
    }


def test_nobody_grants_more_than_he_has(verifier, namespace):
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"

    assert verifier.call("POST", path, role("watch", "pods"))[0] == 201
    status, refused = verifier.call("POST", path, role("get", "secrets"))

    assert status == 403
    assert "attempting to grant RBAC permissions not currently held" in refused["message"]


def test_nobody_binds_a_role_that_has_more_than_he(cluster, verifier, namespace):
    strong = {**role("get", "secrets"), "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    cluster.store.create(place({**strong, "metadata": {"name": "strong"}}, namespace))
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"

    def binding(kind: str, name: str) -> dict[str, Any]:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]
        return {"metadata": {"generateName": "bound-"}, "roleRef": reference, "subjects": subjects}

    assert verifier.call("POST", path, binding("Role", "strong"))[0] == 403
    assert verifier.call("POST", path, binding("ClusterRole", "cluster-admin"))[0] == 403
    assert verifier.call("POST", path, binding("ClusterRole", "certportal-verifier"))[0] == 201


def test_image_of_the_probes_knows_the_new_programs():
    assert {"serve", "ask"} <= probes.programs()
