"""Reading a stranger's kubeconfig: inline data only, nothing executed, no file opened.

The official client runs ``exec`` entries as programs and opens every path it is given, so a
kubeconfig never reaches it; what passes here is a ClusterAccess and nothing more.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from conformance import yaml_reader
from conformance.yaml_values import has_shared_nodes, plain

MAX_BYTES = 256 * 1024
_MAX_PEM = 128 * 1024
_MAX_TOKEN = 16 * 1024
_DEFAULT_PORT = 443

_TOKEN = re.compile(r"[\x21-\x7e]+")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_SERVER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]{0,251}[A-Za-z0-9])?")
_INSTEAD = (
    "Create a service account instead: apply what `conformance rbac --checklist VERSION` prints, make a "
    "token with `kubectl -n certportal-verification create token certportal-verifier --duration=24h`, and "
    "put that token into the kubeconfig."
)
_INLINE = "Put the data itself into the kubeconfig; `kubectl config view --raw --flatten --minify` does that."

# What would make the loader run a program, open a file, or be somebody else.
_REFUSED_USER = {
    "exec": ("exec", f"The user runs a program (exec) to log in, which is never done here. {_INSTEAD}"),
    "auth-provider": ("auth_provider", f"The user logs in by an auth-provider plug-in. {_INSTEAD}"),
    "tokenFile": ("file_reference", f"The token stands in a file (tokenFile). {_INSTEAD}"),
    "client-certificate": ("file_reference", f"The client certificate stands in a file. {_INLINE}"),
    "client-key": ("file_reference", f"The client key stands in a file. {_INLINE}"),
    "username": ("basic_auth", f"User name and password are not accepted. {_INSTEAD}"),
    "password": ("basic_auth", f"User name and password are not accepted. {_INSTEAD}"),
    "as": ("impersonation", f"Acting as another user (as) is not accepted. {_INSTEAD}"),
    "as-uid": ("impersonation", f"Acting as another user (as-uid) is not accepted. {_INSTEAD}"),
    "as-groups": ("impersonation", f"Acting as another group (as-groups) is not accepted. {_INSTEAD}"),
    "as-user-extra": ("impersonation", f"Acting as another user is not accepted. {_INSTEAD}"),
}
_REFUSED_CLUSTER = {
    "certificate-authority": ("file_reference", f"The certificate authority stands in a file. {_INLINE}"),
    "proxy-url": ("proxy", "A proxy (proxy-url) is not used; give a server address reachable without one."),
}
_KNOWN_USER = {"token", "client-certificate-data", "client-key-data", "extensions"}
_KNOWN_CLUSTER = {
    "server",
    "certificate-authority-data",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "disable-compression",
    "extensions",
}
_KNOWN_CONTEXT = {"cluster", "user", "namespace", "extensions"}


class KubeconfigError(Exception):
    """The kubeconfig is not accepted. `code` is stable, the message says what to do instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Where an API server is and how to log in. Secrets stay out of the repr.

    `path` is a prefix such as ``/k8s/clusters/c-1`` or empty. Without `ca_data` the system's
    certificate authorities vouch for the server.
    """

    context: str
    host: str
    port: int
    path: str
    ca_data: str | None = field(repr=False)
    server_name: str | None = None
    token: str | None = field(default=None, repr=False)
    client_certificate: str | None = field(default=None, repr=False)
    client_key: str | None = field(default=None, repr=False)

    @property
    def server(self) -> str:
        """The address as the kubeconfig gave it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}{self.path}"

    def secrets(self) -> tuple[str, ...]:
        """Return what must never appear in a log, message or piece of evidence."""
        return tuple(text for text in (self.token, self.client_key) if text)


def load(data: bytes, *, context: str | None = None) -> ClusterAccess:
    """Read a kubeconfig and return the access of its current or the named context.

    Only the entries of that context are looked at. Raises KubeconfigError and nothing else.
    """
    document = _document(data)
    contexts = _named(document, "contexts", "context")
    name = _choose(context, document.get("current-context"), contexts)
    chosen = contexts[name]
    _only(chosen, _KNOWN_CONTEXT, {}, f"context {_shown(name)}")
    cluster = _referred(document, "clusters", "cluster", chosen.get("cluster"), name)
    user = _referred(document, "users", "user", chosen.get("user"), name)
    _only(cluster, _KNOWN_CLUSTER, _REFUSED_CLUSTER, "cluster")
    _only(user, _KNOWN_USER, _REFUSED_USER, "user")
    if cluster.get("insecure-skip-tls-verify") not in (None, False):
        raise KubeconfigError(
            "insecure_tls",
            "The server's certificate must be verified: remove insecure-skip-tls-verify and give "
            "certificate-authority-data.",
        )
    host, port, path = _server(cluster.get("server"))
    certificate, key = _client_certificate(user)
    token = _token(user.get("token"))
    if token is None and certificate is None:
        raise KubeconfigError(
            "no_credential", f"The user has neither a token nor a client certificate. {_INSTEAD}"
        )
    return ClusterAccess(
        context=name,
        host=host,
        port=port,
        path=path,
        ca_data=_authority(cluster.get("certificate-authority-data")),
        server_name=_server_name(cluster.get("tls-server-name")),
        token=token,
        client_certificate=certificate,
        client_key=key,
    )


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise KubeconfigError(
            "too_large", f"The kubeconfig has {len(data)} bytes; at most {MAX_BYTES} are read."
        )
    parsed = yaml_reader.parse(data)
    for problem in parsed.problems:
        if problem.severity is yaml_reader.Severity.ERROR:
            where = f"Line {problem.line}: " if problem.line else ""
            raise KubeconfigError(problem.code, f"{where}{problem.message}")
    if has_shared_nodes(parsed.root):
        raise KubeconfigError("alias", "YAML aliases are not accepted in a kubeconfig; write the values out.")
    document = plain(parsed.root)
    if not isinstance(document, dict) or document.get("kind", "Config") != "Config":
        raise KubeconfigError("not_a_kubeconfig", "The file is not a kubeconfig (kind: Config).")
    if document.get("apiVersion", "v1") != "v1":
        raise KubeconfigError("not_a_kubeconfig", "Only kubeconfigs with apiVersion: v1 are read.")
    return document


def _named(document: dict[str, Any], plural: str, singular: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a list such as ``users`` by name."""
    entries = document.get(plural)
    if not isinstance(entries, list):
        raise KubeconfigError("not_a_kubeconfig", f"The kubeconfig has no list of {plural}.")
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        value = entry.get(singular) if isinstance(entry, dict) else None
        if name is None or not isinstance(value, dict):
            raise KubeconfigError(
                "not_a_kubeconfig", f"An entry of {plural} lacks its name or its {singular}."
            )
        if str(name) in found:
            raise KubeconfigError("duplicate_name", f"Two entries of {plural} are called {_shown(name)}.")
        found[str(name)] = value
    return found


def _choose(wanted: str | None, current: Any, contexts: dict[str, dict[str, Any]]) -> str:
    if wanted is None and current not in (None, ""):
        wanted = str(current)
    if wanted is None:
        if len(contexts) == 1:
            return next(iter(contexts))
        raise KubeconfigError(
            "ambiguous_context",
            f"The kubeconfig has {len(contexts)} contexts and no current-context; choose one. "
            "`kubectl config view --raw --flatten --minify` writes a kubeconfig with one.",
        )
    if wanted not in contexts:
        raise KubeconfigError("unknown_context", f"The kubeconfig has no context called {_shown(wanted)}.")
    return wanted


def _referred(
    document: dict[str, Any], plural: str, singular: str, name: Any, context: str
) -> dict[str, Any]:
    entries = _named(document, plural, singular)
    if name is None or str(name) not in entries:
        raise KubeconfigError(
            f"unknown_{singular}", f"The context {_shown(context)} names no {singular} that is there."
        )
    return entries[str(name)]


def _only(entry: dict[str, Any], known: set[str], refused: dict[str, tuple[str, str]], where: str) -> None:
    for key in entry:
        if key in refused:
            raise KubeconfigError(*refused[key])
        if key not in known:
            raise KubeconfigError(
                "unknown_field", f"The {where} has a field {_shown(key)} that is not read here."
            )


def _server(value: Any) -> tuple[str, int, str]:
    if not isinstance(value, str):
        raise KubeconfigError("no_server", "The cluster has no server address.")
    try:
        parts = urlsplit(value)
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise KubeconfigError("server", "The server address is not a valid URL.") from None
    if parts.scheme.lower() == "http":
        raise KubeconfigError("plain_http", "The server is spoken to by plain http; give its https address.")
    if parts.scheme.lower() != "https" or not parts.hostname:
        raise KubeconfigError(
            "server", "The server must be an https address, such as https://api.example.com:6443."
        )
    if "@" in parts.netloc:
        raise KubeconfigError("userinfo", "The server address holds a user name; remove it.")
    path = parts.path.rstrip("/")
    hidden = any(segment in {".", ".."} for segment in path.split("/"))
    if parts.query or parts.fragment or not _PATH.fullmatch(path) or hidden or not value.isascii():
        raise KubeconfigError("server", "The server address may hold host, port and a plain path only.")
    return parts.hostname, port, path


def _server_name(value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not _SERVER_NAME.fullmatch(value):
        raise KubeconfigError("server_name", "tls-server-name is not a valid host name.")
    return value


def _token(value: Any) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > _MAX_TOKEN or not _TOKEN.fullmatch(value):
        raise KubeconfigError("token", "The token is not one: it must be a single line without blanks.")
    return value


def _pem(value: Any, field_name: str) -> str:
    try:
        text = base64.b64decode("".join(str(value).split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise KubeconfigError("base64", f"{field_name} is not base64 of a PEM text.") from None
    if len(text) > _MAX_PEM:
        raise KubeconfigError("too_large", f"{field_name} is too large for a certificate or key.")
    return text


def _authority(value: Any) -> str | None:
    if value in (None, ""):
        return None
    text = _pem(value, "certificate-authority-data")
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        raise KubeconfigError(
            "certificate", "certificate-authority-data holds no readable certificate."
        ) from None
    return text


def _client_certificate(user: dict[str, Any]) -> tuple[str | None, str | None]:
    certificate, key = user.get("client-certificate-data"), user.get("client-key-data")
    if certificate in (None, "") and key in (None, ""):
        return None, None
    if certificate in (None, "") or key in (None, ""):
        raise KubeconfigError("client_certificate", "A client certificate and its key must come together.")
    certificate_text, key_text = _pem(certificate, "client-certificate-data"), _pem(key, "client-key-data")
    if "-----BEGIN CERTIFICATE-----" not in certificate_text or "PRIVATE KEY-----" not in key_text:
        raise KubeconfigError("client_certificate", "The client certificate or its key is not in PEM form.")
    if "ENCRYPTED" in key_text:
        raise KubeconfigError("encrypted_key", f"The client key is protected by a passphrase. {_INSTEAD}")
    return certificate_text, key_text


def _shown(name: Any) -> str:
    return yaml_reader.quoted(str(name), 60)
