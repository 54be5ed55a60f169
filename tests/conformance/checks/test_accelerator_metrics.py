"""Metrics of accelerators: the good platforms, the vendor's settings, and how figures are read."""

from __future__ import annotations

import math

import pytest

from conformance import checks, exporters, probes
from conformance.checks.accelerator_metrics import Inventory
from conformance.devices import Device
from conformance.exporters import Key, Names, Readings
from conformance.exposition import Sample, parse
from conformance.simulator import exporters as installed
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "accelerator_metrics"
NAMED = b"metrics: {endpoint: {namespace: gpu-operator, service: nvidia-dcgm-exporter, port: gpu-metrics}"


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_conformant_platform_passes(version: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "reported")
    seen = trial.observations(result)
    assert seen["endpoint"] == "service gpu-operator/nvidia-dcgm-exporter, port 9400"
    assert {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED"} <= set(seen["series"]["names"])
    assert set(seen["utilisation"]["before"].values()) == {0.0}
    assert 0.97 in seen["utilisation"]["under load"].values()
    kept = next(piece for piece in result.evidence if piece.name == "metrics.txt").content.decode()
    assert "# TYPE DCGM_FI_DEV_GPU_UTIL gauge" in kept


def test_exporter_without_ready_pods_is_an_error() -> None:
    with world.occupied("conformant-1.36") as cluster:
        cluster.store.edit(
            "services",
            installed.HOME,
            installed.NAME,
            lambda item: item["spec"].update(selector={"app": "nobody"}),
        )
        world.wait_for(
            lambda: (
                not any(
                    piece.get("endpoints")
                    for piece in cluster.store.list("endpointslices.discovery.k8s.io", installed.HOME)
                )
            )
        )
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.ERROR, "server_error")
    assert "no endpoints available" in result.message


def test_vendors_endpoint_needs_the_right_to_read_it() -> None:
    result = trial.on("conformant-1.36", CHECK, NAMED + b"}")

    # The manifest that was applied knows the usual ports of known exporters only.
    assert (result.status, result.reason) == (Status.ERROR, "forbidden")
    assert "nvidia-dcgm-exporter:gpu-metrics in namespace gpu-operator" in result.message


def test_vendors_endpoint_and_names_are_taken() -> None:
    settings = NAMED.replace(b"gpu-metrics", b"9400")
    settings += b", utilization: acme_gizmo_GPU_UTIL, memory: acme_gizmo_FB_USED}"

    result = trial.on("metrics-foreign-names", CHECK, settings)

    assert (result.status, result.reason) == (Status.PASS, "reported")


def test_series_the_vendor_names_and_does_not_have_fail() -> None:
    settings = NAMED.replace(b"gpu-metrics", b"9400") + b", utilization: none_such, memory: nor_this}"

    result = trial.on("conformant-1.36", CHECK, settings)

    assert (result.status, result.reason) == (Status.FAIL, "series_missing")


def test_vendors_service_that_is_missing_is_unknown() -> None:
    result = trial.on(
        "conformant-1.36", CHECK, b"metrics: {endpoint: {namespace: x, service: dcgm-exporter, port: 9400}}"
    )

    assert (result.status, result.reason) == (Status.UNKNOWN, "endpoint_missing")


def test_vendors_load_is_what_runs() -> None:
    settings = b"metrics: {load: {image: registry.example/cuda-sample, args: [one, two]}}"

    result = trial.on("conformant-1.36", CHECK, settings)

    # Without the argument that repeats it the computation is over at once.
    assert (result.status, result.reason) == (Status.UNKNOWN, "load_ended")


def test_load_comes_from_the_mirror_the_probes_come_from() -> None:
    usual = probes.image()
    mirror = probes.image("mirror.example/all")

    assert (
        probes.mirrored("nvcr.io/nvidia/k8s/cuda-sample:nbody", usual)
        == "nvcr.io/nvidia/k8s/cuda-sample:nbody"
    )
    assert (
        probes.mirrored("nvcr.io/nvidia/k8s/cuda-sample:nbody", mirror)
        == "mirror.example/all/nvidia/k8s/cuda-sample:nbody"
    )
    assert probes.mirrored("library/nbody", mirror) == "mirror.example/all/library/nbody"


RIGHTS = checks.load()[CHECK].info.rights


def test_only_the_services_of_known_exporters_may_be_read() -> None:
    proxied = {right.name for right in RIGHTS if right.resource == "services/proxy"}

    assert proxied == {endpoint.name for endpoint in exporters.KNOWN}
    assert "" not in proxied


# Reading the format -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('a_total{x="1",y="two words"} 3', Sample("a_total", {"x": "1", "y": "two words"}, 3.0)),
        ("up 1", Sample("up", {}, 1.0)),
        ("t 1.5e-3 1712345678000", Sample("t", {}, 0.0015)),
        ('q{le="+Inf"} +Inf', Sample("q", {"le": "+Inf"}, math.inf)),
        ('e{p="a\\"b\\\\c}\\n,d"} 2 # {trace="x"} 1', Sample("e", {"p": 'a"b\\c}\n,d'}, 2.0)),
        ('c{a="1",} 4', Sample("c", {"a": "1"}, 4.0)),
    ],
)
def test_sample_is_read(line: str, expected: Sample) -> None:
    assert parse(f"# HELP x y\n{line}\n") == [expected]


@pytest.mark.parametrize(
    "line", ["", "# EOF", "<html>", "name", 'x{a="1" 2', "x{} y", "1x 2", "x 1.2.3", "x" * 20_000 + " 1"]
)
def test_what_is_no_sample_is_passed_over(line: str) -> None:
    assert parse(f"{line}\nup 1") == [Sample("up", {}, 1.0)]


def test_value_that_is_no_number_is_read_as_such() -> None:
    assert math.isnan(parse("x NaN")[0].value)


def test_number_of_samples_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conformance.exposition._MAX_SAMPLES", 3)

    assert len(parse("x 1\n" * 10)) == 3


# Joining with what is advertised --------------------------------------------------------------------


def device(name: str, node: str = "n", **attributes: str) -> Device:
    named = {f"gpu.nvidia.com/{key}": value for key, value in attributes.items()}
    return Device("gpu.nvidia.com", node, name, named, frozenset({node}))


def key(**labels: str) -> Key:
    found = Key.of(Sample("x", labels, 1.0))
    assert found is not None
    return found


def test_device_is_joined_by_its_id() -> None:
    assert key(UUID="GPU-A", Hostname="n").is_of(device("gpu-0", uuid="GPU-a"))
    assert key(gpu_uuid="GPU-a").is_of(device("mig-0", uuid="MIG-x", parentUUID="GPU-A"))
    assert not key(UUID="GPU-b").is_of(device("gpu-0", uuid="GPU-a"))


def test_device_is_joined_by_its_place_on_the_bus_of_its_node() -> None:
    found = device("gpu-0", pciBusID="0000:0A:00.0")

    assert key(pci_bus_id="00000000:0a:00.0", Hostname="n").is_of(found)
    assert key(pci_bus_id="00000000:0a:00.0").is_of(found)
    assert not key(pci_bus_id="00000000:0a:00.0", Hostname="other").is_of(found)
    assert not key(pci_bus_id="00000000:0b:00.0", Hostname="n").is_of(found)


def test_series_that_names_no_device_is_nobodys() -> None:
    assert Key.of(Sample("x", {"Hostname": "n"}, 1.0)) is None


def test_missing_devices_are_named_where_ids_join() -> None:
    inventory = Inventory((device("gpu-0", uuid="a"), device("gpu-1", uuid="b")), {"n": 2})

    assert inventory.missing([key(UUID="a"), key(UUID="b")]) == []
    assert inventory.missing([key(UUID="a")]) == ["gpu-1 of n"]


def test_missing_devices_are_counted_where_ids_do_not_join() -> None:
    inventory = Inventory((), {"n": 2, "m": 1})

    assert inventory.missing([key(gpu="0", node="n"), key(gpu="1", node="n"), key(gpu="0", node="m")]) == []
    assert inventory.missing([key(gpu="0", node="n"), key(gpu="0", node="m")]) == ["1 of 2 on n"]
    assert inventory.missing([key(gpu="0"), key(gpu="1")]) == ["1 of 3"]
    assert inventory.missing([key(gpu="0"), key(gpu="1"), key(gpu="2")]) == []


def test_readings_keep_to_one_way_of_counting() -> None:
    readings = Readings()
    both = [
        Sample("DCGM_FI_DEV_GPU_UTIL", {"UUID": "a"}, 50.0),
        Sample("DCGM_FI_PROF_GR_ENGINE_ACTIVE", {"UUID": "a"}, 0.25),
    ]

    readings.add(both, Names())

    assert readings.share(key(UUID="a")) == 0.5
    readings.add(reversed(both), Names())
    assert readings.share(key(UUID="a")) == 0.5
