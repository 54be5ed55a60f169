"""The probes that look at the machine below, run by a real shell on made-up machines and on this one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from conformance import markers, probes
from conformance.advertised import VENDORS
from conformance.checks import workload_sandboxing
from conformance.checks.driver_runtime_management import Stated
from conformance.identity import Identity

SHELLS = [shell for shell in ("/bin/sh", "/bin/bash", "/bin/busybox") if Path(shell).exists()]
SMI = """\
#!/bin/sh
case "$*" in
*--query-gpu=driver_version*) echo "580.95.05" ;;
*) echo "| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05   CUDA Version: 13.0     |" ;;
esac
"""
INFORMATION = """\
Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t 64
GPU UUID: \t GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77
Bus Type: \t PCIe
Bus Location: \t 0000:1b:00.0
Device Minor: \t 1
"""
NVRM = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)\n"
)


def run(program: str, shell: str = "/bin/sh", *before: str, **environment: str) -> markers.Report:
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    finished = subprocess.run(
        [*before, *words, "-c", probes.script(program), program],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert finished.stderr == ""
    assert all(line.startswith(markers.PREFIX) for line in finished.stdout.splitlines())
    report = markers.parse(finished.stdout.splitlines())
    assert report.is_complete
    return report


def write(root: Path, path: str, text: str, *, executable: bool = False) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    if executable:
        place.chmod(0o755)


def node(root: Path, path: str, major: int, minor: int) -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(major, minor))
    except PermissionError:
        pytest.skip("device nodes can be made by root only")


# Drivers ------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Make what a container with one NVIDIA device finds; 1:3 is the null device, which opens."""
    node(tmp_path, "dev/nvidia1", 1, 3)
    node(tmp_path, "dev/nvidiactl", 195, 255)
    write(
        tmp_path,
        "proc/driver/nvidia/gpus/0000:1a:00.0/information",
        INFORMATION.replace("Minor: \t 1", "Minor: \t 0"),
    )
    write(tmp_path, "proc/driver/nvidia/gpus/0000:1b:00.0/information", INFORMATION)
    write(tmp_path, "proc/driver/nvidia/version", f"{NVRM}GCC version: gcc version 12.3.0\n")
    write(tmp_path, "usr/bin/nvidia-smi", SMI, executable=True)
    write(tmp_path, "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", "")
    write(tmp_path, "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05", "")
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_driver_tells_device_and_every_version(machine: Path, shell: str) -> None:
    report = run("driver", shell, PROBE_ROOT=str(machine))

    assert Identity.all_of(report) == [
        Identity(
            path="/dev/nvidia1",
            id="c:1:3",
            is_openable=True,
            uuid="GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77",
            bus="0000:1b:00.0",
            model="NVIDIA H100 80GB HBM3",
        )
    ]
    stated = Stated.of(report, VENDORS[0])
    assert stated.drivers == dict.fromkeys(("tool", "library", "kernel"), "580.95.05")
    assert stated.runtimes == {"tool": "13.0"}
    assert stated.tools == ("/usr/bin/nvidia-smi",)
    assert report.markers[-1].get("devices") == "1"


@pytest.mark.parametrize("shell", SHELLS)
def test_tool_that_does_not_run_here_is_there_all_the_same(machine: Path, shell: str) -> None:
    write(machine, "usr/bin/nvidia-smi", "#!/nonexistent/loader\n", executable=True)

    report = run("driver", shell, PROBE_ROOT=str(machine))

    assert [(tool.get("name"), tool.get("runs")) for tool in report.all("tool")] == [("nvidia-smi", "no")]
    stated = Stated.of(report, VENDORS[0])
    assert set(stated.drivers) == {"library", "kernel"}
    assert stated.runtimes == {}


def test_tool_that_reports_a_failure_states_no_version(machine: Path) -> None:
    failure = "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n"
    write(machine, "usr/bin/nvidia-smi", failure, executable=True)

    report = run("driver", PROBE_ROOT=str(machine))

    assert report.all("tool")[0].get("runs") == "no"
    assert "tool" not in Stated.of(report, VENDORS[0]).drivers


@pytest.mark.parametrize("shell", SHELLS)
def test_driver_of_another_vendor_is_told_by_the_kernel(tmp_path: Path, shell: str) -> None:
    node(tmp_path, "dev/dri/renderD128", 226, 4000)
    write(tmp_path, "sys/module/amdgpu/version", "6.12.12\n")
    write(tmp_path, "sys/devices/pci0000:00/0000:03:00.0/product_name", "AMD Instinct MI300X OAM\n")
    write(tmp_path, "sys/devices/pci0000:00/0000:03:00.0/unique_id", "a1b2c3d4\n")
    (tmp_path / "sys/dev/char/226:4000").mkdir(parents=True)
    (tmp_path / "sys/dev/char/226:4000/device").symlink_to(tmp_path / "sys/devices/pci0000:00/0000:03:00.0")

    report = run("driver", shell, PROBE_ROOT=str(tmp_path))

    [seen] = Identity.all_of(report)
    assert (seen.bus, seen.model, seen.uuid) == ("0000:03:00.0", "AMD Instinct MI300X OAM", "a1b2c3d4")
    assert Stated.of(report, VENDORS[1]).drivers == {"kernel": "6.12.12"}


def test_driver_has_little_to_say_where_there_is_none(tmp_path: Path) -> None:
    report = run("driver", PROBE_ROOT=str(tmp_path))

    assert [marker.word for marker in report.markers] == ["begin", "end"]


def test_device_without_facts_is_known_by_its_number(tmp_path: Path) -> None:
    node(tmp_path, "dev/nvidia0", 195, 7)

    [seen] = Identity.all_of(run("driver", PROBE_ROOT=str(tmp_path)))

    assert (seen.physical, seen.is_openable, seen.model) == ("c:195:7", False, "")


# Sandboxes ----------------------------------------------------------------------------------------


MOUNTS = """\
612 411 0:312 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/io/41/fs:/b,upperdir=/c
613 612 0:314 / /proc rw,nosuid - proc proc rw
620 612 259:1 /var/lib/kubelet/pods/0f/etc-hosts /etc/hosts rw shared:12 - ext4 /dev/root rw,discard
621 612 0:27 /passthrough/a\\040b /data rw - virtiofs kataShared rw
"""
TRIE = """\
Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 10.244.1.5
        /32 host LOCAL
     |-- 10.244.1.0
        /24 link UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    write(tmp_path, "proc/sys/kernel/osrelease", "6.8.0-71-generic\n")
    write(tmp_path, "proc/sys/kernel/random/boot_id", "3aee40d6-7d6f-45e8-ab90-e2209e05e085\n")
    write(tmp_path, "proc/version", "Linux version 6.8.0 (a=b) #71\n")
    for pid, name in ((1, "sh"), (2, "kthreadd"), (871, "kube let")):
        write(tmp_path, f"proc/{pid}/comm", f"{name}\n")
    write(tmp_path, "proc/self/mountinfo", MOUNTS)
    write(tmp_path, "proc/net/fib_trie", TRIE)
    headings = "Inter-|   Receive\n face |bytes\n"
    write(tmp_path, "proc/net/dev", f"{headings}    lo:  1 2\n  eth0: 3 4\nveth12ab34cd: 5 6\n")
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_sandbox_tells_what_it_sees(sandbox: Path, shell: str) -> None:
    node(sandbox, "dev/mem", 1, 3)

    report = run("sandbox", shell, PROBE_ROOT=str(sandbox))

    assert report.all("kernel")[0].values == {
        "release": "6.8.0-71-generic",
        "boot": "3aee40d6-7d6f-45e8-ab90-e2209e05e085",
        "version": "Linux version 6.8.0 (a=b) #71",
    }
    assert [(entry.get("pid"), entry.get("name")) for entry in report.all("process")] == [
        ("1", "sh"),
        ("2", "kthreadd"),
        ("871", "kube let"),
    ]
    assert [entry.values for entry in report.all("memory")] == [{"path": "/dev/mem", "open": "yes"}]
    assert [entry.get("name") for entry in report.all("interface")] == ["eth0", "lo", "veth12ab34cd"]
    assert [entry.get("ip") for entry in report.all("address")] == ["10.244.1.5", "127.0.0.1"]
    mounts = {entry.get("target"): entry for entry in report.all("mount")}
    assert mounts["/"].get("layers") == "/var/lib/containerd/io/41/fs"
    assert mounts["/etc/hosts"].get("root") == "/var/lib/kubelet/pods/0f/etc-hosts"
    assert mounts["/data"].get("source") == "kataShared"
    of_host = [target for target, entry in mounts.items() if workload_sandboxing._is_of_host(entry)]
    assert of_host == ["/", "/etc/hosts"]


@pytest.mark.parametrize("shell", SHELLS)
def test_interfaces_are_found_in_sysfs_where_the_kernel_does_not_list_them(sandbox: Path, shell: str) -> None:
    (sandbox / "proc/net/dev").unlink()
    for name in ("lo", "eth0"):
        (sandbox / "sys/class/net" / name).mkdir(parents=True)

    report = run("sandbox", shell, PROBE_ROOT=str(sandbox))

    assert [entry.get("name") for entry in report.all("interface")] == ["eth0", "lo"]


def test_sandbox_without_anything_to_see_is_silent_about_it(tmp_path: Path) -> None:
    report = run("sandbox", PROBE_ROOT=str(tmp_path))

    assert [marker.word for marker in report.markers] == ["begin", "kernel", "end"]
    assert report.all("kernel")[0].values == {"release": "", "boot": "", "version": ""}


@pytest.mark.parametrize("shell", SHELLS)
def test_own_namespaces_hide_processes_and_links(shell: str) -> None:
    unshare = ["unshare", "--pid", "--net", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody have namespaces of their own")

    report = run("sandbox", shell, *unshare)

    assert report.all("kernel")[0].get("release") == os.uname().release
    assert [entry.get("pid") for entry in report.all("process")] == ["1"]
    assert [entry.get("name") for entry in report.all("interface")] != []
    assert report.all("address") == []
    targets = [entry.get("target") for entry in report.all("mount")]
    assert "/proc" in targets
    assert "/" in targets


def test_kernel_of_this_machine_is_told_as_it_names_itself() -> None:
    report = run("sandbox")

    kernel = workload_sandboxing.Kernel.of(report)
    assert kernel.release == os.uname().release
    assert kernel.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert kernel.is_same(workload_sandboxing.Kernel.of(run("sandbox")))
