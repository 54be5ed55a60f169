"""Test clusters: registering, refusals, settings, the log of uses, forgetting, the verifier's rights."""

from __future__ import annotations

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from submissions.models import TestCluster
from submissions.services import clusters
from submissions.states import RunStatus
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory, TestClusterFactory, checklist, kubeconfig

SECRET = "abc123def456"
SETTINGS = "accelerators:\n  resource: nvidia.com/gpu\ngang:\n  backend: kueue\n"


def register(cast: Cast) -> str:
    return reverse("submissions:cluster-register", args=[cast.organization.slug])


def cluster_url(cast: Cast, name: str = "cluster") -> str:
    return reverse(f"submissions:{name}", args=[cast.cluster.uuid])


def file(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("config", data)


@pytest.mark.parametrize("way", ["file", "text"])
def test_kubeconfig_is_taken_in_and_never_shown_again(cast: Cast, way: str) -> None:
    browser = cast.browser("editor")
    sent = {"file": file(kubeconfig())} if way == "file" else {"text": kubeconfig().decode()}

    response = browser.post(register(cast), {"name": "new lab", "probe_settings": SETTINGS, **sent})

    cluster = TestCluster.objects.get(name="new lab")
    assert response["Location"] == reverse("submissions:cluster", args=[cluster.uuid])
    assert SECRET.encode() not in bytes(cluster.kubeconfig_encrypted)
    assert cluster.probe_settings == SETTINGS.strip()
    page = browser.get(response["Location"]).content.decode()
    assert "https://93.184.216.34:6443" in page
    assert SECRET not in page


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            kubeconfig(user="exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}"),
            "runs a program",
        ),
        (kubeconfig(user="tokenFile: /etc/passwd"), "in a file"),
        (kubeconfig("http://93.184.216.34:6443"), "https"),
        (kubeconfig("https://127.0.0.1:6443"), ""),
        (kubeconfig("https://169.254.169.254"), ""),
        (kubeconfig("https://10.0.0.7:6443"), ""),
        (b"", ""),
        (b"not: [a kubeconfig", ""),
        (b"x" * 600_000, ""),
    ],
)
def test_refused_kubeconfig_is_explained_and_not_echoed(cast: Cast, data: bytes, words: str) -> None:
    browser = cast.browser("editor")

    response = browser.post(
        register(cast),
        {"name": "new lab", "context": "verifier", "probe_settings": SETTINGS, "file": file(data)},
    )

    page = response.content.decode()
    assert response.status_code == 422
    assert not TestCluster.objects.filter(name="new lab").exists()
    assert words in page
    assert response.context["refusal"]
    assert 'value="new lab"' in page
    assert 'value="verifier"' in page
    assert "nvidia.com/gpu" in page
    assert "never sends it back" in page


def test_pasted_secret_is_not_sent_back(cast: Cast) -> None:
    bad = kubeconfig("https://127.0.0.1:6443").decode()

    page = cast.browser("editor").post(register(cast), {"name": "", "text": bad}).content.decode()

    assert SECRET not in page
    assert "current-context" not in page


def test_name_is_used_once(cast: Cast) -> None:
    response = cast.browser("editor").post(register(cast), {"name": "lab", "file": file(kubeconfig())})

    assert response.status_code == 422
    assert "choose another name" in response.content.decode()


def test_settings_problems_name_their_lines(cast: Cast) -> None:
    text = "accelerators:\n  resource: nvidia.com/gpu\ngang:\n  backend: slurm\nweather: fine\n"

    response = cast.browser("editor").post(cluster_url(cast), {"probe_settings": text})

    page = response.content.decode()
    assert response.status_code == 422
    assert "Line 4, gang.backend: must be one of" in page
    assert "Line 5, weather: is not known here" in page
    assert "backend: slurm" in page


@pytest.mark.parametrize(
    ("text", "line"), [("gang: [", "Line"), ("operator:\n  valid: {}\n", "Line 2, operator.valid")]
)
def test_broken_settings_are_refused_with_a_place(cast: Cast, text: str, line: str) -> None:
    response = cast.browser("editor").post(cluster_url(cast), {"probe_settings": text})

    assert response.status_code == 422
    assert line in response.content.decode()


def test_settings_are_changed(cast: Cast) -> None:
    response = cast.browser("editor").post(cluster_url(cast), {"probe_settings": SETTINGS})

    cast.cluster.refresh_from_db()
    assert response.status_code == 302
    assert cast.cluster.probe_settings == SETTINGS.strip()


STORE_SECRET = "wonT/sh0w+me"
STORE = """artifacts:
  endpoint: https://s3.example.com
  bucket: models
  accessKey: AKEXAMPLE
  secretKey: {}
"""


def secret_of(cluster: TestCluster) -> str:
    found = clusters.open_probe_settings(cluster=cluster)
    assert found is not None
    assert found.artifacts is not None
    return found.artifacts.secret_key


@pytest.mark.parametrize("written", ["{}", "'{}'", '"{}"', "{}   # of the test bucket"])
def test_secret_of_a_store_is_kept_encrypted_and_never_shown(cast: Cast, written: str) -> None:
    browser, text = cast.browser("editor"), STORE.format(written.format(STORE_SECRET))

    browser.post(cluster_url(cast), {"probe_settings": text})

    cast.cluster.refresh_from_db()
    assert STORE_SECRET not in cast.cluster.probe_settings
    assert STORE_SECRET.encode() not in bytes(cast.cluster.store_secret_encrypted or b"")
    assert STORE_SECRET not in browser.get(cluster_url(cast)).content.decode()
    assert "secretKey: " in cast.cluster.probe_settings
    assert secret_of(cast.cluster) == STORE_SECRET


def test_secret_of_a_store_stays_when_other_settings_change(cast: Cast) -> None:
    browser = cast.browser("editor")
    browser.post(cluster_url(cast), {"probe_settings": STORE.format(STORE_SECRET)})
    cast.cluster.refresh_from_db()
    shown = cast.cluster.probe_settings.replace("models", "others")

    browser.post(cluster_url(cast), {"probe_settings": shown})

    cast.cluster.refresh_from_db()
    assert "bucket: others" in cast.cluster.probe_settings
    assert secret_of(cast.cluster) == STORE_SECRET
    browser.post(cluster_url(cast), {"probe_settings": SETTINGS})
    cast.cluster.refresh_from_db()
    assert cast.cluster.store_secret_encrypted is None


def test_secret_of_a_store_is_taken_in_with_the_cluster_and_forgotten_with_it(cast: Cast) -> None:
    text = STORE.format(STORE_SECRET)
    cast.browser("editor").post(
        register(cast), {"name": "new lab", "probe_settings": text, "file": file(kubeconfig())}
    )
    cluster = TestCluster.objects.get(name="new lab")
    before = bytes(cluster.store_secret_encrypted or b"")
    assert clusters.rotate_keys() >= 1
    cluster.refresh_from_db()
    assert bytes(cluster.store_secret_encrypted or b"") != before
    assert secret_of(cluster) == STORE_SECRET

    clusters.forget_cluster(cluster=cluster, actor=None, reason="test")

    cluster.refresh_from_db()
    assert cluster.store_secret_encrypted is None


@pytest.mark.parametrize(
    ("written", "words"),
    [(clusters.HIDDEN, "none is kept"), ('"wonT/\\x73h0w"', "without escapes"), (">-\n    folded", "")],
)
def test_secret_of_a_store_that_cannot_be_hidden_is_refused(cast: Cast, written: str, words: str) -> None:
    response = cast.browser("editor").post(cluster_url(cast), {"probe_settings": STORE.format(written)})

    cast.cluster.refresh_from_db()
    assert response.status_code == 422
    assert words in response.content.decode()
    assert "artifacts" not in cast.cluster.probe_settings


def test_every_use_of_the_kubeconfig_is_listed(cast: Cast) -> None:
    clusters.open_kubeconfig(cluster=cast.cluster, purpose="verification run 7", actor=cast.owner)

    page = cast.browser("viewer").get(cluster_url(cast)).content.decode()

    assert "verification run 7" in page


def test_kubeconfig_is_deleted_and_the_cluster_stays(cast: Cast) -> None:
    browser = cast.browser("editor")

    browser.post(cluster_url(cast, "cluster-forget"))

    cast.cluster.refresh_from_db()
    assert cast.cluster.kubeconfig_encrypted is None
    assert "Delete the kubeconfig" not in browser.get(cluster_url(cast)).content.decode()


def test_kubeconfig_in_use_is_not_deleted(cast: Cast) -> None:
    busy = TestClusterFactory(organization=cast.organization)
    RunFactory(submission=cast.submission, cluster=busy, status=RunStatus.RUNNING)

    response = cast.browser("editor").post(
        reverse("submissions:cluster-forget", args=[busy.uuid]), follow=True
    )

    busy.refresh_from_db()
    assert busy.is_usable
    assert "cancel it first" in response.content.decode()


def test_rights_are_explained_and_their_manifest_can_be_applied(cast: Cast) -> None:
    checklist("1.36")

    page = cast.browser("viewer").get(reverse("submissions:rights"))
    response = cast.browser("nobody").get(reverse("submissions:manifest", args=["1.36"]))

    objects = list(yaml.safe_load_all(response.content))
    assert "conformance rbac --checklist 1.36" in page.content.decode()
    assert response["Content-Type"] == "application/yaml; charset=utf-8"
    assert {item["kind"] for item in objects} >= {
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
    }
    assert b"&id" not in response.content
    assert cast.browser("nobody").get(reverse("submissions:rights")).status_code == 302


def test_manifest_of_an_unknown_checklist_is_not_found(cast: Cast) -> None:
    assert cast.browser("owner").get(reverse("submissions:manifest", args=["1.99"])).status_code == 404
