"""What built-in kinds hold, and the two ways clients write them down."""

from __future__ import annotations

import base64
import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.client import models

from conformance.simulator import decoding, protobuf, schemas
from conformance.simulator.errors import ApiError
from conformance.simulator.kinds import builtin_types, resource_types
from conformance.simulator.schemas import Shape

from .conftest import config_map, until

# A writer of the binary encoding, as far as the tests need one.


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def part(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(key: str, value: bytes | str) -> bytes:
    return part(1, key) + part(2, value)


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    identity = part(1, api_version) + part(2, kind)
    return b"k8s\x00" + part(1, identity) + part(2, raw) + part(3, "") + part(4, "")


METADATA = part(1, part(1, "x") + part(2, "") + part(8, b"") + part(11, entry("a", "b")))


def test_config_map_is_read() -> None:
    raw = METADATA + part(2, entry("k", "v")) + part(3, entry("raw", b"\x00\xff"))
    assert protobuf.decode(envelope("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "data": {"k": "v"},
        "binaryData": {"raw": base64.b64encode(b"\x00\xff").decode()},
    }


def test_what_json_would_leave_out_is_left_out_and_a_chosen_nothing_stays() -> None:
    raw = METADATA + part(2, part(1, 0) + part(5, 0) + part(7, 0) + part(6, 0))
    spec = protobuf.decode(envelope("apps/v1", "Deployment", raw))["spec"]
    assert spec == {"replicas": 0, "revisionHistoryLimit": 0}


def test_inlined_messages_stand_beside_their_neighbours() -> None:
    reference = part(1, part(1, "passwords")) + part(2, "mine")
    variable = part(1, "SECRET") + part(3, part(4, reference))
    volume = part(1, "v") + part(2, part(6, part(1, "passwords")))
    raw = METADATA + part(2, part(1, volume) + part(2, part(1, "c") + part(7, variable)))
    spec = protobuf.decode(envelope("v1", "Pod", raw))["spec"]
    assert spec["containers"][0]["env"] == [
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "passwords", "key": "mine"}}}
    ]
    assert spec["volumes"] == [{"name": "v", "secret": {"secretName": "passwords"}}]


@pytest.mark.parametrize(
    ("data", "value"),
    [(part(1, 0) + part(2, 80), 80), (part(1, 1) + part(3, "http"), "http"), (part(2, -1), -1)],
)
def test_number_or_name_is_read_as_which_it_is(data: bytes, value: Any) -> None:
    port = part(3, 80) + part(4, data)
    spec = protobuf.decode(envelope("v1", "Service", METADATA + part(2, part(1, port))))["spec"]
    assert spec["ports"] == [{"port": 80, "targetPort": value}]


def test_quantities_times_and_packed_numbers_are_read() -> None:
    hard = part(1, part(1, "pods") + part(2, part(1, "3")))
    quota = protobuf.decode(envelope("v1", "ResourceQuota", METADATA + part(2, hard)))
    assert quota["spec"] == {"hard": {"pods": "3"}}
    context = part(4, varint(5) + varint(7))
    pod = protobuf.decode(envelope("v1", "Pod", METADATA + part(2, part(14, context))))
    assert pod["spec"]["securityContext"] == {"supplementalGroups": [5, 7]}
    event = protobuf.decode(envelope("v1", "Event", METADATA + part(6, part(1, 1_700_000_000))))
    assert event["firstTimestamp"] == "2023-11-14T22:13:20Z"


def test_options_of_a_deletion_are_read_in_any_group() -> None:
    options = protobuf.decode(envelope("apps/v1", "DeleteOptions", part(1, 0) + part(4, "Foreground")))
    assert options["gracePeriodSeconds"] == 0
    assert options["propagationPolicy"] == "Foreground"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"k8s\x00",
        envelope("v1", "Nothing", b""),
        envelope("v1", "Pod", b"\x0a\xff"),
        envelope("v1", "Pod", b"\x0b"),
        envelope("v1", "Pod", part(1, 7)),
        envelope("v1", "Pod", part(1, part(1, b"\xff"))),
        envelope("v1", "Pod", b"\xff" * 20),
        envelope("apps/v1", "Deployment", part(2, part(1, "text"))),
    ],
)
def test_what_is_no_object_is_told(data: bytes) -> None:
    with pytest.raises(protobuf.ProtobufError):
        protobuf.decode(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["Pod", "Node", "Secret", "Event", "Service"]), st.binary(max_size=200))
def test_any_bytes_are_read_or_told(kind: str, raw: bytes) -> None:
    with contextlib.suppress(protobuf.ProtobufError):
        assert protobuf.decode(envelope("v1", kind, raw))["kind"] == kind


def test_messages_within_messages_are_not_followed_for_ever() -> None:
    with pytest.raises(protobuf.ProtobufError, match="too deeply"):
        protobuf._message(schemas.lookup("core/v1", "Pod"), METADATA, 100)


def test_double_is_read() -> None:
    assert protobuf._double(struct.pack("<d", 1.5)) == 1.5


def test_object_sent_in_the_binary_encoding_is_stored(admin, cluster, namespace) -> None:
    raw = part(1, part(1, "sent")) + part(2, entry("a", "1"))
    code, made = admin.call(
        "POST",
        f"/api/v1/namespaces/{namespace}/configmaps",
        envelope("v1", "ConfigMap", raw),
        kind=protobuf.MEDIA_TYPE,
    )
    assert (code, made["data"]) == (201, {"a": "1"})
    assert cluster.store.get("configmaps", namespace, "sent")["data"] == {"a": "1"}


# The table of fields


def test_every_field_of_the_table_has_a_type() -> None:
    for message in schemas.everything():
        numbers = [field.number for field in message.fields if field.number]
        assert len(numbers) == len(set(numbers)), message.name
        for field in message.fields:
            assert (field.type is not None) or field.scalar in schemas.SCALARS, (message.name, field.name)
            assert not field.inline or field.shape is Shape.ONE


SERVED = [
    (kind, version) for kind in [*builtin_types(), *resource_types(("v1",))] for version in kind.versions
]


@pytest.mark.parametrize(
    ("kind", "version"), SERVED, ids=[f"{kind.key}/{version}" for kind, version in SERVED]
)
def test_kinds_hold_what_the_official_client_knows(kind, version) -> None:
    message = schemas.message(kind.group, version, kind.kind)
    assert message is not None
    name = f"{version.capitalize()}{kind.kind}"
    candidates = [getattr(models, f"{prefix}{name}", None) for prefix in ("", "Core", "Resource")]
    known = [
        set(found.attribute_map.values())
        for found in candidates
        if hasattr(found, "attribute_map") and "metadata" in found.attribute_map.values()
    ]
    if not known:
        pytest.skip("the client has no model of that name")
    assert known[0] - {"apiVersion", "kind"} <= set(message.by_name())


# JSON


def decoded(api_version: str, kind: str, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    return decoding.decoded(api_version, {"apiVersion": api_version, "kind": kind, **fields})


def test_unknown_fields_are_dropped_and_named() -> None:
    spec = {"replicas": 1, "replicaz": 2, "template": {"spec": {"containers": [{"name": "c", "colour": 1}]}}}
    obj, unknown = decoded("apps/v1", "Deployment", metadata={"name": "x", "colour": "y"}, spec=spec, more=1)
    assert unknown == ["metadata.colour", "spec.replicaz", "spec.template.spec.containers[0].colour", "more"]
    assert obj["spec"] == {"replicas": 1, "template": {"spec": {"containers": [{"name": "c"}]}}}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"replicas": "two"},
            "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        ({"replicas": 1.5}, "cannot unmarshal number"),
        ({"replicas": 2**40}, "cannot unmarshal number"),
        ({"paused": "yes"}, "of type bool"),
        ({"template": []}, "cannot unmarshal array"),
        (
            {"template": {"spec": {"containers": {}}}},
            "PodSpec.spec.template.spec.containers of type []Container",
        ),
        (
            {"template": {"spec": {"containers": [{"name": 5}]}}},
            "Container.spec.template.spec.containers.name",
        ),
        ({"template": {"metadata": {"labels": {"a": 1}}}}, "ObjectMeta.spec.template.metadata.labels.a"),
        ({"template": {"spec": {"overhead": {"cpu": "lots"}}}}, "quantities must match"),
    ],
)
def test_values_of_the_wrong_type_are_refused(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(ApiError) as refused:
        decoded("apps/v1", "Deployment", metadata={"name": "x"}, spec=spec)
    assert refused.value.code == 400
    assert told in refused.value.message


def test_values_are_kept_the_way_the_server_writes_them() -> None:
    obj, _ = decoded(
        "v1",
        "Pod",
        metadata={"name": "x", "creationTimestamp": "2026-01-01T01:00:00+01:00", "labels": None},
        spec={"containers": [{"name": "c", "resources": {"limits": {"cpu": 2}}}], "priority": 3.0},
    )
    assert obj["metadata"] == {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}
    assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2"}
    assert obj["spec"]["priority"] == 3


def test_secret_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ApiError, match="illegal base64"):
        decoded("v1", "Secret", metadata={"name": "x"}, data={"a": "%%"})


def test_unknown_field_is_warned_of_refused_or_ignored_as_asked(admin, namespace) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {**config_map("x", a="1"), "colour": "red"}
    code, status = admin.call("POST", f"{path}?fieldValidation=Strict", body)
    assert (code, status["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "colour"' in status["message"]
    assert admin.call("POST", f"{path}?fieldValidation=Nonsense", body)[0] == 400
    code, made = admin.call("POST", f"{path}?fieldValidation=Ignore", body)
    assert code == 201
    assert "colour" not in made


# Tables and managed fields, for clients that are no kubectl


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def test_list_as_a_table_has_cells_and_metadata(admin) -> None:
    _, table = admin.call("GET", "/api/v1/nodes?limit=1", accept=TABLE)
    assert table["kind"] == "Table"
    names = [column["name"] for column in table["columnDefinitions"]]
    assert len(table["rows"][0]["cells"]) == len(names)
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"]["continue"]
    _, bare = admin.call("GET", "/api/v1/nodes?includeObject=None", accept=TABLE)
    assert bare["rows"][0]["object"] is None


def test_every_kind_has_a_table_for_what_is_there(admin, cluster) -> None:
    kinds = cluster.call(
        lambda world: [
            (f"/apis/{kind.group}/{kind.versions[0]}" if kind.group else "/api/v1") + f"/{kind.plural}"
            for kind in world.types
            if "list" in kind.verbs
        ]
    )
    for path in kinds:
        code, table = admin.call("GET", path, accept=TABLE)
        assert (code, table["kind"]) == (200, "Table"), path
        for row in table["rows"]:
            assert len(row["cells"]) == len(table["columnDefinitions"])


def _fields(obj: dict[str, Any], manager: str) -> dict[str, Any]:
    return next(
        entry["fieldsV1"] for entry in obj["metadata"]["managedFields"] if entry["manager"] == manager
    )


def test_writers_own_what_they_set_last(admin, namespace) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    merge = "application/merge-patch+json"
    admin.call("POST", f"{path}?fieldManager=one", config_map("owned", a="1", b="1"))
    admin.call("PATCH", f"{path}/owned?fieldManager=two", {"data": {"b": "2", "c": "2"}}, kind=merge)
    _, found = admin.call("GET", f"{path}/owned")
    assert _fields(found, "one") == {"f:data": {"f:a": {}}}
    assert _fields(found, "two") == {"f:data": {"f:b": {}, "f:c": {}}}
    admin.call("PATCH", f"{path}/owned?fieldManager=one", {"data": {"b": None, "c": None}}, kind=merge)
    _, found = admin.call("GET", f"{path}/owned")
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["one"]


def test_writer_of_nothing_new_leaves_everything_alone(admin, namespace) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    _, made = admin.call("POST", f"{path}?fieldManager=one", config_map("same", a="1"))
    merge = "application/merge-patch+json"
    _, after = admin.call("PATCH", f"{path}/same?fieldManager=two", {"data": {"a": "1"}}, kind=merge)
    assert after["metadata"] == made["metadata"]


def test_list_members_are_owned_by_their_keys(admin, cluster, namespace) -> None:
    ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {"ports": ports}}
    admin.call("POST", f"/api/v1/namespaces/{namespace}/services?fieldManager=one", body)
    made = until(lambda: cluster.store.get("services", namespace, "dns"))
    assert {'k:{"port":53,"protocol":"TCP"}', 'k:{"port":53,"protocol":"UDP"}'} <= set(
        _fields(made, "one")["f:spec"]["f:ports"]
    )
