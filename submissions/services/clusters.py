"""Test clusters: taking a kubeconfig in, keeping it secret, logging each use, forgetting it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from certportal.accounts.models import User
from conformance import probe_settings as probe_document
from conformance.cluster import guard, kubeconfig
from submissions.errors import ApplicantError, PortalError
from submissions.models import ClusterUse, Organization, TestCluster
from submissions.services.events import record_event
from submissions.states import TERMINAL

log = structlog.get_logger(__name__)

RESOLVE_SECONDS = 3.0
# Stands in probe settings for a secret that is kept elsewhere.
HIDDEN = "(hidden)"
_BEFORE_SECRET = r"""(\bsecretKey["']?\s*:\s*["']?)"""


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def simulated_servers() -> dict[str, str]:
    """The embedded portal's own simulated clusters: server address to file name. Elsewhere none."""
    folder = settings.SIMULATED_CLUSTERS_DIR
    if folder is None or not folder.is_dir():
        return {}
    servers = {}
    for path in sorted(folder.glob("*.yaml")):
        servers[kubeconfig.load(path.read_bytes()).server] = path.stem
    return servers


def network_policy() -> guard.NetworkPolicy:
    """What workers may connect to: never loopback, except the embedded portal's own simulated clusters."""
    own = set()
    for server in simulated_servers():
        parts = urlsplit(server)
        own.add((parts.hostname or "", parts.port or 443))
    return guard.NetworkPolicy(
        allow_private=settings.CLUSTER_ALLOW_PRIVATE, allow_loopback=False, allowed=frozenset(own)
    )


def register_cluster(
    *,
    organization: Organization,
    actor: User,
    name: str,
    data: bytes,
    context: str = "",
    probe_settings: str = "",
) -> TestCluster:
    """Check a kubeconfig, encrypt it and keep it. It is never shown again.

    Raises `ApplicantError` with the loader's own words when the kubeconfig is refused.
    """
    try:
        access = kubeconfig.load(data, context=context or None)
    except kubeconfig.KubeconfigError as error:
        raise ApplicantError(error.code, str(error)) from error
    _refuse_address(access.server)
    shown, secret = _without_secret(probe_settings, kept=None)
    try:
        with transaction.atomic():
            cluster = TestCluster.objects.create(
                organization=organization,
                name=name,
                server=access.server,
                context=context,
                credential_kind="token" if access.token else "client certificate",
                kubeconfig_encrypted=_cipher().encrypt(data),
                probe_settings=shown,
                store_secret_encrypted=secret,
                simulated=access.server in simulated_servers(),
                created_by=actor,
            )
            record_event(
                action="cluster_registered",
                actor=actor,
                data={"organization": organization.slug, "cluster": name, "server": access.server},
            )
    except IntegrityError as error:
        raise ApplicantError(
            "name_taken", f"There is a test cluster called {name} already; choose another name."
        ) from error
    return cluster


def _refuse_address(server: str) -> None:
    """Tell the vendor now what a worker would refuse later. Workers look the name up again and pin it."""
    parts = urlsplit(server)
    try:
        network_policy().resolve(parts.hostname or "", parts.port or 443, timeout=RESOLVE_SECONDS)
    except guard.AddressRefused as error:
        if error.code != "unresolvable":  # the workers' resolver may know more names than this one
            raise ApplicantError(error.code, str(error)) from error


def open_kubeconfig(*, cluster: TestCluster, purpose: str, actor: User | None) -> kubeconfig.ClusterAccess:
    """Decrypt the kubeconfig for one use, which is logged."""
    if cluster.kubeconfig_encrypted is None:
        raise ApplicantError(
            "kubeconfig_forgotten", f"The kubeconfig of {cluster} was deleted; register the cluster again."
        )
    try:
        data = _cipher().decrypt(bytes(cluster.kubeconfig_encrypted))
    except InvalidToken as error:
        raise PortalError(
            "field_keys", "The kubeconfig was encrypted with a key that FIELD_KEYS lacks."
        ) from error
    ClusterUse.objects.create(cluster=cluster, purpose=purpose, actor=actor)
    return kubeconfig.load(data, context=cluster.context or None)


def _without_secret(text: str, *, kept: bytes | None) -> tuple[str, bytes | None]:
    """Take the object store's secret key out of probe settings; return them and the key, encrypted.

    Where the text has the word that stands for the key, the one that is `kept` already stays.
    """
    store = probe_document.parse(text.encode()).artifacts
    if store is None:
        return text, None
    if store.secret_key == HIDDEN:
        if kept is None:
            raise ApplicantError("secret_missing", "artifacts.secretKey: none is kept; write the key itself.")
        return text, kept
    secret = _BEFORE_SECRET + re.escape(store.secret_key)
    shown = re.sub(secret, lambda found: found[1] + HIDDEN, text, count=1)
    try:
        is_hidden = probe_document.parse(shown.encode()).artifacts == replace(store, secret_key=HIDDEN)
    except probe_document.SettingsError:
        is_hidden = False
    if not is_hidden:
        raise ApplicantError(
            "secret_unreadable",
            "artifacts.secretKey: write the key on the same line, without escapes, and only there.",
        )
    return shown, _cipher().encrypt(store.secret_key.encode())


def open_probe_settings(*, cluster: TestCluster) -> probe_document.ProbeSettings | None:
    """Return what the vendor says of the cluster, with the secret it may hold; for a run alone."""
    if not cluster.probe_settings:
        return None
    found = probe_document.parse(cluster.probe_settings.encode())
    if found.artifacts is None or cluster.store_secret_encrypted is None:
        return found
    try:
        secret = _cipher().decrypt(bytes(cluster.store_secret_encrypted)).decode()
    except InvalidToken as error:
        raise PortalError(
            "field_keys", "The object store's secret was encrypted with a key that FIELD_KEYS lacks."
        ) from error
    return replace(found, artifacts=replace(found.artifacts, secret_key=secret))


@transaction.atomic
def change_probe_settings(*, cluster: TestCluster, actor: User, probe_settings: str) -> TestCluster:
    """Keep what the vendor says of the cluster; runs that have begun go on with what they began with."""
    row = TestCluster.objects.select_for_update().get(pk=cluster.pk)
    kept = row.store_secret_encrypted
    shown, secret = _without_secret(probe_settings, kept=bytes(kept) if kept is not None else None)
    if row.probe_settings != shown or kept != secret:
        row.probe_settings, row.store_secret_encrypted = shown, secret
        row.save(update_fields=["probe_settings", "store_secret_encrypted"])
        record_event(
            action="probe_settings_changed",
            actor=actor,
            data={"organization": row.organization.slug, "cluster": row.name},
        )
    return row


@transaction.atomic
def forget_cluster(*, cluster: TestCluster, actor: User | None, reason: str) -> TestCluster:
    """Delete the kubeconfig. The cluster's name and its runs stay on record."""
    cluster = TestCluster.objects.select_for_update().get(pk=cluster.pk)
    if cluster.runs.active().exists():
        raise ApplicantError("cluster_busy", "A verification run is using the cluster; cancel it first.")
    if cluster.kubeconfig_encrypted is not None:
        cluster.kubeconfig_encrypted = cluster.store_secret_encrypted = None
        cluster.forgotten_at = timezone.now()
        cluster.save(update_fields=["kubeconfig_encrypted", "store_secret_encrypted", "forgotten_at"])
        record_event(
            action="kubeconfig_deleted",
            actor=actor,
            reason=reason,
            data={"organization": cluster.organization.slug, "cluster": cluster.name},
        )
    return cluster


def delete_old_kubeconfigs(*, now: datetime) -> int:
    """Delete kubeconfigs whose submissions were all decided before the retention; returns how many."""
    limit = now - settings.KUBECONFIG_RETENTION
    deleted = 0
    for cluster in TestCluster.objects.usable().filter(created_at__lt=limit):
        runs = cluster.runs.select_related("submission")
        latest = max(
            (run.submission.decided_at or run.submission.updated_at for run in runs),
            default=cluster.created_at,
        )
        still_open = any(run.submission.status not in TERMINAL for run in runs)
        if not still_open and latest < limit:
            forget_cluster(cluster=cluster, actor=None, reason="retention ended")
            deleted += 1
    return deleted


def rotate_keys() -> int:
    """Encrypt every kubeconfig anew with the first of FIELD_KEYS; returns how many."""
    rotated = 0
    for cluster in TestCluster.objects.usable().only("pk"):
        with transaction.atomic():
            row = TestCluster.objects.select_for_update().get(pk=cluster.pk)
            if row.kubeconfig_encrypted is not None:
                row.kubeconfig_encrypted = _cipher().rotate(bytes(row.kubeconfig_encrypted))
                if row.store_secret_encrypted is not None:
                    row.store_secret_encrypted = _cipher().rotate(bytes(row.store_secret_encrypted))
                row.save(update_fields=["kubeconfig_encrypted", "store_secret_encrypted"])
                rotated += 1
    return rotated
