"""kubectl works on a simulated cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from .conftest import condition_of, pod, until
from .kubectl import WHY_NOT, Kubectl, found

pytestmark = pytest.mark.skipif(found() is None, reason=WHY_NOT)


@pytest.fixture(scope="module")
def kubectl(cluster, tmp_path_factory) -> Kubectl:
    return Kubectl(str(found()), cluster.admin_kubeconfig, tmp_path_factory.mktemp("admin"))


@pytest.fixture(scope="module")
def verifier_kubectl(cluster, tmp_path_factory) -> Kubectl:
    return Kubectl(str(found()), cluster.kubeconfig, tmp_path_factory.mktemp("verifier"))


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def manifest(name: str = "web", *, replicas: int = 2, image: str = "nginx:1", **spec: Any) -> str:
    """Return a Deployment, with a port for two protocols, and a ConfigMap."""
    container = {
        "name": "main",
        "image": image,
        "ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}],
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}}
    return yaml.safe_dump_all([deployment, settings])


def ray_cluster(**spec: Any) -> str:
    containers = [{"name": "head", "image": "rayproject/ray:2.46.0"}]
    head = {"rayStartParams": {}, "template": {"spec": {"containers": containers}}}
    return yaml.safe_dump(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": "ray"},
            "spec": {"rayVersion": "2.46.0", "headGroupSpec": head, **spec},
        }
    )


# Reading


def test_get_shows_the_columns_of_the_kind(kubectl):
    head, *nodes = rows(kubectl("get", "nodes"))
    assert head == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert ["control-plane-0", "Ready", "control-plane"] in [row[:3] for row in nodes]


def test_get_wide_shows_more(kubectl):
    wide = kubectl("get", "pods", "-A", "-o", "wide").splitlines()
    assert wide[0].split("  ")[-1].strip() == "READINESS GATES"
    assert "10.244." in wide[1]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("deployments", ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]),
        (
            "daemonsets",
            ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE", "SELECTOR"],
        ),
        ("services", ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]),
        ("crd", ["NAME", "CREATED", "AT"]),
        ("resourceslices", ["NAME", "NODE", "DRIVER", "POOL", "AGE"]),
        ("clusterrolebindings", ["NAME", "ROLE", "AGE"]),
        ("events", ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]),
        ("validatingwebhookconfigurations", ["NAME", "WEBHOOKS", "AGE"]),
    ],
)
def test_get_has_a_table_for(kubectl, kind, columns):
    head = kubectl("get", kind, "-A").splitlines()[0].split()
    assert [column for column in head if column != "NAMESPACE"][: len(columns)] == columns


def test_get_prints_objects_whole(kubectl, namespace):
    kubectl("create", "configmap", "cm", "--from-literal=a=1", "-n", namespace)
    as_json = json.loads(kubectl("get", "cm", "cm", "-n", namespace, "-o", "json"))
    as_yaml = yaml.safe_load(kubectl("get", "cm", "cm", "-n", namespace, "-o", "yaml"))
    assert as_json == as_yaml
    assert as_json["data"] == {"a": "1"}
    assert kubectl("get", "cm", "cm", "-n", namespace, "-o", "name") == "configmap/cm\n"
    assert kubectl("get", "cm", "cm", "-n", namespace, "-o", "jsonpath={.data.a}") == "1"


def test_get_of_nothing_says_so(kubectl, namespace):
    answer = kubectl.ask("get", "pod", "nobody", "-n", namespace)
    assert answer.code == 1
    assert answer.err == 'Error from server (NotFound): pods "nobody" not found\n'
    assert (
        kubectl.ask("get", "pods", "-n", namespace).err == f"No resources found in {namespace} namespace.\n"
    )


def test_get_selects_and_sorts(kubectl):
    names = kubectl("get", "nodes", "-l", "nvidia.com/gpu.present=true", "-o", "name").splitlines()
    assert "node/gpu-worker-0" in names
    assert "node/control-plane-0" not in names
    running = kubectl(
        "get", "pods", "-A", "--field-selector=status.phase=Running", "--sort-by=.metadata.name"
    )
    assert len(running.splitlines()) > 1


def test_columns_of_a_definition_are_shown(kubectl, cluster):
    kubectl(
        "apply",
        "-f",
        "-",
        stdin=yaml.safe_dump(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": "widgets.example.com"},
                "spec": {
                    "group": "example.com",
                    "scope": "Cluster",
                    "names": {"plural": "widgets", "kind": "Widget"},
                    "versions": [
                        {
                            "name": "v1",
                            "served": True,
                            "storage": True,
                            "schema": {
                                "openAPIV3Schema": {
                                    "type": "object",
                                    "properties": {
                                        "spec": {
                                            "type": "object",
                                            "properties": {
                                                "sizes": {"type": "array", "items": {"type": "integer"}}
                                            },
                                        }
                                    },
                                }
                            },
                            "additionalPrinterColumns": [
                                {"name": "First", "type": "integer", "jsonPath": ".spec.sizes[0]"},
                                {
                                    "name": "All",
                                    "type": "string",
                                    "jsonPath": ".spec.sizes[*]",
                                    "priority": 1,
                                },
                                {"name": "Missing", "type": "string", "jsonPath": ".status.phase"},
                                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                            ],
                        }
                    ],
                },
            }
        ),
    )
    kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")
    widget = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"sizes": [3, 4]},
    }
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(widget))
    head, row = rows(kubectl("get", "widgets"))
    assert head == ["NAME", "FIRST", "MISSING", "AGE"]
    assert row[:2] == ["w", "3"]
    assert rows(kubectl("get", "widgets", "-o", "wide"))[1][1:3] == ["3", "3,4"]
    kubectl("delete", "crd", "widgets.example.com")
    assert "widgets.example.com" not in cluster.call(lambda world: world.types)


def test_watch_shows_what_changes(kubectl, namespace):
    with kubectl.start("get", "configmaps", "-n", namespace, "--watch") as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().split() == ["NAME", "DATA", "AGE"]
            assert watching.stdout.readline().split()[:2] == ["kube-root-ca.crt", "1"]
            kubectl("create", "configmap", "new", "--from-literal=a=1", "-n", namespace)
            assert watching.stdout.readline().split()[:2] == ["new", "1"]
        finally:
            watching.kill()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["node", "gpu-worker-0"], "nvidia.com/gpu.count=2"),
        (["namespace", "kuberay-system"], "No resource quota."),
        (["pods", "-n", "kuberay-system"], "Successfully assigned"),
        (["deployment", "-n", "kuberay-system"], "NewReplicaSet:"),
        (["replicasets", "-n", "kuberay-system"], "Controlled By:  Deployment/"),
        (["service", "-n", "kuberay-system"], "Endpoints:"),
        (["daemonsets", "-n", "nvidia-dra-driver"], "Pods Status:"),
        (["crd", "rayclusters.ray.io"], "openAPIV3Schema"),
        (["deviceclass", "gpu.nvidia.com"], "device.driver == 'gpu.nvidia.com'"),
        (["resourceslices"], "Product Name"),
        (["clusterrole", "certportal-verifier"], "resourceslices.resource.k8s.io"),
        (["clusterrolebinding", "certportal-verifier"], "certportal-verification"),
        (["validatingwebhookconfigurations"], "Failure Policy:"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_describe_tells_of(kubectl, arguments, told):
    assert told in kubectl("describe", *arguments)


def test_describe_shows_the_events_of_a_pod(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod("told", hold=60)))
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/told", "--timeout=10s")
    shown = kubectl("describe", "pod", "told", "-n", namespace)
    assert "Started container main" in shown
    assert "Started container main" in kubectl("events", "-n", namespace, "--for", "pod/told")


def test_logs_follow_a_container_to_its_end(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod("logged", hold=50)))
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/logged", "--timeout=10s")
    followed = kubectl("logs", "-n", namespace, "-f", "logged").splitlines()
    assert followed[0] == "::probe begin program=hold"
    assert followed[-1].startswith("::probe end ")
    assert kubectl("logs", "-n", namespace, "logged", "--tail=1").splitlines() == followed[-1:]
    assert kubectl("logs", "-n", namespace, "logged", "--timestamps").splitlines()[0].endswith(followed[0])


# What the server says of itself


def test_api_resources_and_versions_are_listed(kubectl):
    names = {row[0] for row in rows(kubectl("api-resources", "--no-headers"))}
    assert {"pods", "deployments", "resourceclaims", "rayclusters", "podgroups"} <= names
    assert "customresourcedefinitions" in kubectl("api-resources", "--categories=api-extensions")
    assert {"v1", "apps/v1", "ray.io/v1"} <= set(kubectl("api-versions").split())


def test_version_and_addresses_are_told(kubectl, cluster):
    assert "Server Version: v1.36." in kubectl("version")
    assert cluster.url in kubectl("cluster-info")
    assert kubectl("get", "--raw", "/readyz") == "ok"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("pods", "Containers that run together on one node."),
        ("pods.spec.containers.ports", "containerPort\t<integer> -required-"),
        ("deployment.spec.strategy", "rollingUpdate"),
        ("jobs.spec.template.spec.volumes", "configMap"),
        ("resourceclaims.spec.devices.requests.exactly", "deviceClassName"),
        ("resourceslices.spec.devices.attributes", "version"),
        ("podgroups.spec.schedulingPolicy.gang", "minCount"),
        ("rayclusters.spec.headGroupSpec", "rayStartParams"),
        ("customresourcedefinition.spec.versions.schema.openAPIV3Schema", "x-kubernetes-validations"),
        ("horizontalpodautoscalers.spec.metrics", "pods"),
    ],
)
def test_explain_knows_the_fields_of(kubectl, path, told):
    if path.startswith("horizontal") and "horizontalpodautoscalers" not in kubectl("api-resources"):
        pytest.skip("this platform has no autoscaler")
    assert told in kubectl("explain", path)


def test_explain_goes_all_the_way_down(kubectl):
    kinds = [row[0] for row in rows(kubectl("api-resources", "--verbs=list", "--no-headers"))]
    shown = [kubectl("explain", kind, "--recursive") for kind in sorted(set(kinds))]
    assert all("FIELDS:" in text for text in shown)


def test_explain_refuses_a_field_nobody_knows(kubectl):
    answer = kubectl.ask("explain", "pods.spec.colour")
    assert answer.code == 1
    assert "colour" in answer.err


# Writing


def test_apply_twice_changes_nothing(kubectl, namespace):
    assert "deployment.apps/web created" in kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    assert "deployment.apps/web unchanged" in kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())


def test_apply_changes_what_differs_and_drops_what_is_gone(kubectl, cluster, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(replicas=1, minReadySeconds=1))
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(replicas=3, image="nginx:2"))
    spec = cluster.store.get("deployments.apps", namespace, "web")["spec"]
    assert spec["replicas"] == 3
    assert "minReadySeconds" not in spec
    container = spec["template"]["spec"]["containers"][0]
    assert container["image"] == "nginx:2"
    assert [port["protocol"] for port in container["ports"]] == ["TCP", "UDP"]


def test_diff_tells_by_its_exit_code(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    assert kubectl.ask("diff", "-n", namespace, "-f", "-", stdin=manifest()).code == 0
    answer = kubectl.ask("diff", "-n", namespace, "-f", "-", stdin=manifest(replicas=3))
    assert answer.code == 1
    assert "+  replicas: 3" in answer.out


@pytest.mark.parametrize("side", [[], ["--server-side"]], ids=["client", "server"])
def test_apply_refuses_a_field_nobody_knows(kubectl, namespace, side):
    answer = kubectl.ask("apply", *side, "-n", namespace, "-f", "-", stdin=manifest(replicaz=3))
    assert answer.code == 1
    assert "spec.replicaz" in answer.err


def test_apply_warns_of_a_field_nobody_knows_where_asked_to(kubectl, cluster, namespace):
    answer = kubectl.ask("apply", "--validate=warn", "-n", namespace, "-f", "-", stdin=manifest(replicaz=3))
    assert answer.code == 0
    assert 'Warning: unknown field "spec.replicaz"' in answer.err
    assert "replicaz" not in cluster.store.get("deployments.apps", namespace, "web")["spec"]


def test_apply_refuses_a_value_of_the_wrong_type(kubectl, namespace):
    answer = kubectl.ask(
        "apply", "-n", namespace, "-f", "-", stdin=manifest().replace("replicas: 2", "replicas: two")
    )
    assert answer.code == 1
    assert "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas" in answer.err


def test_dry_run_on_the_server_stores_nothing(kubectl, cluster, namespace):
    kubectl("apply", "--dry-run=server", "-n", namespace, "-f", "-", stdin=manifest())
    assert cluster.store.get("deployments.apps", namespace, "web") is None


def test_managers_conflict_over_a_field(kubectl, cluster, namespace):
    def apply(manager: str, replicas: int, *more: str) -> Any:
        return kubectl.ask(
            "apply",
            "--server-side",
            f"--field-manager={manager}",
            "-n",
            namespace,
            "-f",
            "-",
            *more,
            stdin=manifest(replicas=replicas),
        )

    assert apply("one", 1).code == 0
    refused = apply("two", 2)
    assert refused.code == 1
    assert 'conflict with "one": .spec.replicas' in refused.err
    assert apply("two", 2, "--force-conflicts").code == 0
    assert cluster.store.get("deployments.apps", namespace, "web")["spec"]["replicas"] == 2


def test_server_side_apply_meets_what_was_applied_by_the_client(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest(replicas=1))
    refused = kubectl.ask("apply", "--server-side", "-n", namespace, "-f", "-", stdin=manifest(replicas=2))
    assert 'conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas' in refused.err
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=manifest(replicas=1))
    # Having taken over, the same manager may change the field.
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=manifest(replicas=2))
    fields = yaml.safe_load(
        kubectl("get", "deploy", "web", "-n", namespace, "-o", "yaml", "--show-managed-fields")
    )["metadata"]["managedFields"]
    assert ("kubectl", "Apply") in [(entry["manager"], entry["operation"]) for entry in fields]


def test_custom_resource_is_applied_either_way(kubectl, cluster, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=ray_cluster())
    assert kubectl.ask("diff", "-n", namespace, "-f", "-", stdin=ray_cluster()).code == 0
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=ray_cluster())
    kubectl(
        "wait", "-n", namespace, "--for=jsonpath={.status.state}=ready", "raycluster/ray", "--timeout=10s"
    )
    assert kubectl.ask("apply", "-n", namespace, "-f", "-", stdin=ray_cluster(colour="red")).code == 1
    assert "colour" not in cluster.store.get("rayclusters.ray.io", namespace, "ray")["spec"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (
            "strategic",
            {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:9"}]}}}},
        ),
        ("json", [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx:9"}]),
    ],
)
def test_patch_changes_a_part(kubectl, cluster, namespace, kind, patch):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    kubectl("patch", "deploy", "web", "-n", namespace, f"--type={kind}", "-p", json.dumps(patch))
    containers = cluster.store.get("deployments.apps", namespace, "web")["spec"]["template"]["spec"][
        "containers"
    ]
    assert [(container["name"], container["image"]) for container in containers] == [("main", "nginx:9")]


def test_merge_patch_and_labels_and_annotations(kubectl, cluster, namespace):
    kubectl("create", "configmap", "cm", "--from-literal=a=1", "-n", namespace)
    kubectl("patch", "cm", "cm", "-n", namespace, "--type=merge", "-p", '{"data": {"a": null, "b": "2"}}')
    kubectl("label", "cm", "cm", "-n", namespace, "colour=red")
    kubectl("annotate", "cm", "cm", "-n", namespace, "why=because")
    assert kubectl.ask("label", "cm", "cm", "-n", namespace, "colour=blue").code == 1
    kubectl("label", "cm", "cm", "-n", namespace, "colour=blue", "--overwrite")
    found_map = cluster.store.get("configmaps", namespace, "cm")
    assert found_map["data"] == {"b": "2"}
    assert found_map["metadata"]["labels"] == {"colour": "blue"}
    assert found_map["metadata"]["annotations"] == {"why": "because"}
    kubectl("label", "cm", "cm", "-n", namespace, "colour-")
    assert not cluster.store.get("configmaps", namespace, "cm")["metadata"].get("labels")


def test_wait_sees_conditions_and_ends_in_time(kubectl, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    kubectl("wait", "-n", namespace, "--for=condition=Available", "deploy/web", "--timeout=10s")
    answer = kubectl.ask("wait", "-n", namespace, "--for=condition=Nonsense", "deploy/web", "--timeout=1s")
    assert answer.code == 1
    assert "timed out" in answer.err


def test_delete_waits_until_it_is_gone(kubectl, cluster, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod("brief", hold=600)))
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/brief", "--timeout=10s")
    assert "deleted" in kubectl("delete", "pod", "brief", "-n", namespace, "--wait")
    assert cluster.store.get("pods", namespace, "brief") is None


def test_wait_for_deletion_of_a_namespace(kubectl, cluster):
    kubectl("create", "namespace", "passing")
    kubectl("create", "configmap", "cm", "-n", "passing")
    kubectl("delete", "namespace", "passing", "--wait=false")
    kubectl("wait", "--for=delete", "namespace/passing", "--timeout=20s")
    assert cluster.store.get("namespaces", "", "passing") is None


def test_workload_is_scaled_rolled_out_and_rolled_back(kubectl, cluster, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    kubectl("scale", "deploy/web", "-n", namespace, "--replicas=3")
    kubectl("set", "image", "deploy/web", "-n", namespace, "main=nginx:2")
    assert "successfully rolled out" in kubectl(
        "rollout", "status", "deploy/web", "-n", namespace, "--timeout=20s"
    )
    history = [row[0] for row in rows(kubectl("rollout", "history", "deploy/web", "-n", namespace)) if row]
    assert history[-2:] == ["1", "2"]
    kubectl("rollout", "undo", "deploy/web", "-n", namespace)
    spec = cluster.store.get("deployments.apps", namespace, "web")["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["spec"]["containers"][0]["image"] == "nginx:1"
    kubectl("rollout", "restart", "deploy/web", "-n", namespace)
    kubectl("expose", "deploy", "web", "-n", namespace, "--port=53", "--protocol=TCP")
    assert cluster.store.get("services", namespace, "web")["spec"]["selector"] == {"app": "web"}


def test_node_is_cordoned_tainted_and_drained(kubectl, cluster, namespace):
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    kubectl("rollout", "status", "deploy/web", "-n", namespace, "--timeout=20s")
    try:
        kubectl("taint", "node", "gpu-worker-1", "a=b:NoSchedule")
        kubectl(
            "drain",
            "gpu-worker-1",
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=20s",
        )
        node = cluster.store.get("nodes", "", "gpu-worker-1")
        assert node["spec"]["unschedulable"] is True
        places = {
            entry["spec"].get("nodeName")
            for entry in cluster.store.list("pods", namespace)
            if "deletionTimestamp" not in entry["metadata"]
        }
        assert "gpu-worker-1" not in places
    finally:
        kubectl("uncordon", "gpu-worker-1")
        kubectl("taint", "node", "gpu-worker-1", "a-")


# Creation in the binary encoding

CREATED: list[tuple[list[str], str, dict[str, Any]]] = [
    (["configmap", "x", "--from-literal=a=1"], "configmaps", {"data": {"a": "1"}}),
    (["secret", "generic", "x", "--from-literal=p=q"], "secrets", {"data": {"p": "cQ=="}, "type": "Opaque"}),
    (
        ["secret", "docker-registry", "x", "--docker-server=s", "--docker-username=u", "--docker-password=p"],
        "secrets",
        {"type": "kubernetes.io/dockerconfigjson"},
    ),
    (["serviceaccount", "x"], "serviceaccounts", {}),
    (
        ["role", "x", "--verb=get,list", "--resource=pods,deployments.apps/scale", "--resource-name=y"],
        "roles.rbac.authorization.k8s.io",
        {
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["y"], "verbs": ["get", "list"]},
                {
                    "apiGroups": ["apps"],
                    "resources": ["deployments/scale"],
                    "resourceNames": ["y"],
                    "verbs": ["get", "list"],
                },
            ]
        },
    ),
    (
        ["rolebinding", "x", "--clusterrole=cluster-admin", "--serviceaccount=a:b", "--user=u"],
        "rolebindings.rbac.authorization.k8s.io",
        {
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            }
        },
    ),
    (
        ["quota", "x", "--hard=pods=3,requests.cpu=500m"],
        "resourcequotas",
        {"spec": {"hard": {"pods": "3", "requests.cpu": "500m"}}},
    ),
    (
        ["job", "x", "--image=busybox:1", "--", "true"],
        "jobs.batch",
        {"spec.template.spec.containers.0.command": ["true"], "spec.template.spec.restartPolicy": "Never"},
    ),
    (
        ["cronjob", "x", "--image=busybox:1", "--schedule=* * * * *"],
        "cronjobs.batch",
        {"spec.schedule": "* * * * *", "spec.jobTemplate.spec.template.spec.containers.0.image": "busybox:1"},
    ),
    (
        ["deployment", "x", "--image=nginx:1", "--replicas=0", "--port=80"],
        "deployments.apps",
        {
            "spec.replicas": 0,
            "spec.template.spec.containers.0.ports": [{"containerPort": 80, "protocol": "TCP"}],
            "metadata.labels": {"app": "x"},
        },
    ),
    (
        ["service", "clusterip", "x", "--tcp=80:http"],
        "services",
        {"spec.ports": [{"name": "80-http", "port": 80, "protocol": "TCP", "targetPort": "http"}]},
    ),
    (
        ["service", "externalname", "x", "--external-name=a.example"],
        "services",
        {"spec.type": "ExternalName"},
    ),
    (
        ["poddisruptionbudget", "x", "--selector=a=b", "--min-available=50%"],
        "poddisruptionbudgets.policy",
        {"spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}},
    ),
    (
        ["ingress", "x", "--rule=a.example/p*=web:80"],
        "ingresses.networking.k8s.io",
        {"spec.rules.0.http.paths.0.backend": {"service": {"name": "web", "port": {"number": 80}}}},
    ),
]


@pytest.mark.parametrize(
    ("arguments", "key", "expected"), CREATED, ids=[" ".join(row[0][:2]) for row in CREATED]
)
def test_create_makes(kubectl, cluster, namespace, arguments, key, expected):
    kubectl("create", *arguments[:1], "-n", namespace, *arguments[1:])
    made = cluster.store.get(key, namespace, "x")
    for path, value in expected.items():
        node: Any = made
        for step in path.split("."):
            node = node[int(step)] if isinstance(node, list) else node[step]
        assert node == value, path


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["namespace", "made"], "namespaces"),
        (
            ["clusterrole", "made", "--verb=get", "--non-resource-url=/x"],
            "clusterroles.rbac.authorization.k8s.io",
        ),
        (
            ["clusterrolebinding", "made", "--clusterrole=x", "--user=u"],
            "clusterrolebindings.rbac.authorization.k8s.io",
        ),
        (["priorityclass", "made", "--value=7"], "priorityclasses.scheduling.k8s.io"),
    ],
)
def test_create_makes_for_the_whole_cluster(kubectl, cluster, arguments, key):
    kubectl("create", *arguments)
    assert cluster.store.get(key, "", "made") is not None
    kubectl("delete", arguments[0], "made")


def test_autoscaler_is_made_for_a_workload(kubectl, cluster, namespace):
    if "horizontalpodautoscalers" not in kubectl("api-resources"):
        pytest.skip("this platform has no autoscaler")
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest())
    kubectl("autoscale", "deploy", "web", "-n", namespace, "--min=1", "--max=3")
    made = cluster.store.get("horizontalpodautoscalers.autoscaling", namespace, "web")
    assert made["spec"]["maxReplicas"] == 3


# Rights


def test_can_i_answers_yes_and_no(kubectl, verifier_kubectl):
    assert kubectl.ask("auth", "can-i", "delete", "nodes").out == "yes\n"
    assert verifier_kubectl("auth", "can-i", "list", "nodes") == "yes\n"
    refused = verifier_kubectl.ask("auth", "can-i", "delete", "nodes")
    assert (refused.code, refused.out) == (1, "no\n")


def test_can_i_lists_what_was_granted(verifier_kubectl, kubectl):
    listed = {row[0]: row for row in rows(verifier_kubectl("auth", "can-i", "--list"))}
    assert "secrets" not in listed
    assert listed["pods/log"][-1] == "[get]"
    assert "*.*" in kubectl("auth", "can-i", "--list")


def test_whoami_tells_the_account(verifier_kubectl):
    assert "system:serviceaccount:certportal-verification:certportal-verifier" in verifier_kubectl(
        "auth", "whoami"
    )


def test_only_those_who_may_speak_for_others(kubectl, verifier_kubectl):
    other = "--as=system:serviceaccount:certportal-verification:certportal-verifier"
    assert kubectl.ask("auth", "can-i", "delete", "nodes", other).out == "no\n"
    assert kubectl.ask("auth", "can-i", "get", "pods", "--as=bob").out == "no\n"
    # A refusal of discovery itself is told as "unknown": what is served has to be known before.
    assert verifier_kubectl.ask("get", "nodes").code == 0
    refused = verifier_kubectl.ask("get", "nodes", "--as=bob")
    assert refused.code == 1
    assert 'cannot impersonate resource "users"' in refused.err


def test_what_is_not_granted_is_forbidden(verifier_kubectl):
    refused = verifier_kubectl.ask("get", "secrets", "-A")
    assert refused.code == 1
    assert "(Forbidden): secrets is forbidden" in refused.err


def test_token_of_an_account_is_one_to_log_in_with(kubectl, namespace):
    kubectl("create", "serviceaccount", "bob", "-n", namespace)
    token = kubectl("create", "token", "bob", "-n", namespace, "--duration=10m").strip()
    shown = kubectl("--token", token, "auth", "whoami")
    assert f"system:serviceaccount:{namespace}:bob" in shown


def test_deployment_made_by_kubectl_becomes_available(kubectl, cluster, namespace):
    kubectl("create", "deployment", "web", "-n", namespace, "--image=nginx:1", "--replicas=2")
    kubectl("wait", "-n", namespace, "--for=condition=Available", "deploy/web", "--timeout=10s")
    made = until(lambda: cluster.store.get("deployments.apps", namespace, "web"))
    assert condition_of(made, "Available")["status"] == "True"
