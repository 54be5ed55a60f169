"""The manifest grants what the checks declare, and nothing a vendor should worry about."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from conformance import checks, probe_settings
from conformance.cli import main
from conformance.cluster import rbac
from conformance.rights import Scope, on

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")


def granted(objects: list[dict[str, Any]], kind: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for entry in objects
        if entry["kind"] == kind
        for rule in entry["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_manifest_grants_just_what_the_checks_declare(version: str) -> None:
    wanted = {(right.group, right.resource, right.verb) for right in rbac.rights_for(version)}

    assert granted(rbac.manifest(version), "ClusterRole") == wanted


@pytest.mark.parametrize("version", VERSIONS)
def test_manifest_never_grants_much(version: str) -> None:
    found = granted(rbac.manifest(version), "ClusterRole")

    assert not any("*" in entry for entry in found)
    assert not any(resource == "secrets" for _, resource, _ in found)
    assert not any(resource in {"pods/exec", "pods/attach", "nodes/proxy"} for _, resource, _ in found)
    assert not any(verb in {"escalate", "bind", "impersonate"} for _, _, verb in found)
    assert not any(resource.startswith("clusterrole") for _, resource, _ in found)
    # The endpoint picker of model pools gets a role of its own; no more can be handed out than is held.
    assert {verb for _, resource, verb in found if resource.startswith("role")} <= {"create", "get", "delete"}


def test_rights_to_write_end_at_the_border_of_a_prepared_namespace() -> None:
    objects = rbac.manifest("1.36", namespace="prepared")

    cluster_wide = granted(objects, "ClusterRole")
    assert {verb for _, _, verb in cluster_wide} == {"get", "list"}
    assert ("", "pods", "create") in granted(objects, "Role")
    assert not any(resource == "namespaces" for _, resource, _ in cluster_wide)
    role = next(entry for entry in objects if entry["kind"] == "Role")
    assert role["metadata"]["namespace"] == "prepared"


def test_a_right_of_a_check_belongs_to_the_versions_that_have_it() -> None:
    assert ("resource.k8s.io", "deviceclasses", "create") in granted(rbac.manifest("1.35"), "ClusterRole")
    assert ("resource.k8s.io", "deviceclasses", "create") not in granted(rbac.manifest("1.36"), "ClusterRole")


def test_the_operator_of_the_settings_is_added() -> None:
    settings = probe_settings.from_plain(
        {"operator": {"crd": "models.example.com", "valid": {"spec": {}}, "invalid": {"spec": {"a": 1}}}}
    )

    found = granted(rbac.manifest("1.36", settings=settings), "ClusterRole")

    assert ("example.com", "models", "create") in found


@pytest.mark.parametrize("version", VERSIONS)
def test_services_are_proxied_to_by_name_only(version: str) -> None:
    rules = [
        rule
        for entry in rbac.manifest(version)
        for rule in entry.get("rules", [])
        if "services/proxy" in rule["resources"]
    ]

    assert rules
    assert all(rule["resourceNames"] and rule["resources"] == ["services/proxy"] for rule in rules)


def test_what_the_settings_name_may_be_read_there_alone() -> None:
    settings = probe_settings.from_plain(
        {"metrics": {"endpoint": {"namespace": "monitoring", "service": "gpus", "port": 9400}}}
    )

    objects = rbac.manifest("1.36", settings=settings)

    [role] = [entry for entry in objects if entry["kind"] == "Role"]
    assert role["metadata"]["namespace"] == "monitoring"
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["services/proxy"],
            "verbs": ["get"],
            "resourceNames": ["gpus:9400"],
        }
    ]
    assert [entry["metadata"]["namespace"] for entry in objects if entry["kind"] == "RoleBinding"] == [
        "monitoring"
    ]


def test_right_for_everything_needs_no_names_beside_it() -> None:
    rights = [*on("services/proxy", "get", name="a"), *on("services/proxy", "get"), *on("services", "get")]

    assert rbac._rules(rights) == [
        {"apiGroups": [""], "resources": ["services", "services/proxy"], "verbs": ["get"]}
    ]


def test_every_declared_deletion_can_be_waited_for() -> None:
    for info in checks.info():
        deleted = {(r.group, r.resource) for r in info.rights if r.verb == "delete" and r.scope is Scope.RUN}
        readable = {(r.group, r.resource) for r in info.rights if r.verb == "get"}
        assert deleted <= readable, info.id


def test_command_prints_a_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--checklist", "1.36"]) == 0

    printed = capsys.readouterr().out
    assert list(yaml.safe_load_all(printed)) == rbac.manifest("1.36")
    assert "&id" not in printed


def test_command_refuses_an_unknown_checklist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--checklist", "9.99"]) == 2

    assert "1.36" in capsys.readouterr().err


@pytest.mark.parametrize(
    "statement",
    [
        "from conformance.cluster import rbac; rbac.manifest('1.36')",
        "from conformance import checks; checks.info()",
        "import conformance.cluster.kubeconfig, conformance.cluster.guard, conformance.report",
        "import conformance.probe_settings, conformance.redaction, conformance.evidence",
    ],
)
def test_the_kubernetes_client_is_not_loaded_for(statement: str) -> None:
    program = f"{statement}\nimport sys\nsys.exit('kubernetes' in sys.modules or 'django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
