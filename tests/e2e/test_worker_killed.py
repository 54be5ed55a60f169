"""A worker that is killed in the middle of a run loses nothing and leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from certportal import demo_people as people
from tests.e2e.conftest import RunningPortal, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("portal")]

RUN_LABEL = "certportal.dev/run"


def administrator(path: Path) -> Callable[[str], Any]:
    """Reads from a simulated cluster with every right, by plain HTTPS."""
    document = yaml.safe_load(path.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )

    def get(address: str) -> Any:
        request = urllib.request.Request(
            cluster["server"] + address, headers={"Authorization": f"Bearer {user['token']}"}
        )
        with urllib.request.urlopen(request, timeout=10, context=context) as response:
            return json.load(response)

    return get


def labelled(get: Callable[[str], Any]) -> list[str]:
    """Every object of every kind that carries a run's label."""
    groups = ["/api/v1"] + [
        f"/apis/{version['groupVersion']}"
        for group in get("/apis")["groups"]
        for version in group["versions"]
    ]
    selector = urllib.parse.urlencode({"labelSelector": RUN_LABEL})
    found = []
    for group in groups:
        for resource in get(group)["resources"]:
            if "list" in resource.get("verbs", []) and "/" not in resource["name"]:
                items = get(f"{group}/{resource['name']}?{selector}")["items"]
                found += [f"{resource['name']}/{item['metadata']['name']}" for item in items]
    return found


def in_shell(portal: RunningPortal, code: str) -> Any:
    """What `code` prints as JSON, run beside the portal on its database."""
    return json.loads(portal.manage("shell", "--verbosity=0", "--command", code).strip().splitlines()[-1])


ASK = f"""
import json
from certportal.accounts.models import User
from submissions.models import Submission
from submissions.services import runs
submission = Submission.objects.get(configuration__platform__name="Lakeside Engine")
run = runs.request_run(
    submission=submission,
    cluster=submission.organization.clusters.get(),
    actor=User.objects.get(email="{people.SECOND_VENDOR.email}"),
)
print(json.dumps(run.pk))
"""
LOOK = """
import json
from submissions.models import VerificationRun
run = VerificationRun.objects.get(pk={pk})
print(json.dumps({{
    "status": run.status, "outcome": run.outcome, "attempts": run.attempts, "error": run.error,
    "cleanup": (run.report or {{}}).get("cleanup"),
    "results": [[r.requirement_id, r.status, r.reason, str(r.finished_at)] for r in run.results.all()],
}}))
"""


def test_killed_worker_loses_nothing_and_leaves_nothing(portal: RunningPortal) -> None:
    get = administrator(portal.data_dir / "clusters" / "lakeside-leaky" / "admin.yaml")
    eventually(
        lambda: any("Lakeside Engine: changes requested" in line for line in portal.lines), 120, "the demo"
    )
    pk = in_shell(portal, ASK)
    eventually(lambda: labelled(get), 60, "something of the run in the cluster")
    before = in_shell(portal, LOOK.format(pk=pk))
    assert before["status"] == "running", before

    starts = len(portal.pids("worker"))
    os.kill(portal.pids("worker")[-1], signal.SIGKILL)

    eventually(lambda: len(portal.pids("worker")) > starts, 30, "a new worker")
    eventually(lambda: in_shell(portal, LOOK.format(pk=pk))["status"] != "running", 120, "the end of the run")
    after = in_shell(portal, LOOK.format(pk=pk))
    assert (after["status"], after["outcome"], after["attempts"]) == ("finished", "non_conformant", 2), after
    assert len({identifier for identifier, *_ in after["results"]}) == len(after["results"]) == 12
    assert all(finished != "None" for *_, finished in after["results"])
    assert {identifier: status for identifier, status, *_ in after["results"]}[
        "secure_accelerator_access"
    ] == "fail"
    assert after["cleanup"] == {"complete": True, "left_behind": []}
    assert labelled(get) == []
    finished_before = {row[0]: row for row in before["results"] if row[3] != "None"}
    assert finished_before == {row[0]: row for row in after["results"] if row[0] in finished_before}
