"""What a stranger's kubeconfig may and may not hold."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.cluster import kubeconfig
from conformance.cluster.kubeconfig import KubeconfigError

Json = dict[str, Any]


def _certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


CERTIFICATE, KEY = _certificate()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def document() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://api.example.com:6443",
                    "certificate-authority-data": encoded(CERTIFICATE),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "abc.def-123"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
    }


def cluster(value: Json) -> Json:
    return value["clusters"][0]["cluster"]


def user(value: Json) -> Json:
    return value["users"][0]["user"]


def load(value: Json, **options: Any) -> kubeconfig.ClusterAccess:
    return kubeconfig.load(yaml.safe_dump(value).encode(), **options)


def test_load_reads_token_and_authority() -> None:
    access = load(document())

    assert (access.context, access.host, access.port, access.path) == ("prod", "api.example.com", 6443, "")
    assert access.token == "abc.def-123"
    assert access.ca_data == CERTIFICATE.decode()
    assert access.server == "https://api.example.com:6443"


def test_load_reads_client_certificate() -> None:
    value = document()
    user(value).pop("token")
    user(value).update({"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)})

    access = load(value)

    assert access.token is None
    assert access.client_certificate == CERTIFICATE.decode()
    assert access.client_key == KEY.decode()


def test_load_reads_json() -> None:
    import json

    assert kubeconfig.load(json.dumps(document()).encode()).host == "api.example.com"


@pytest.mark.parametrize(
    ("server", "host", "port", "path"),
    [
        ("https://10.0.0.7", "10.0.0.7", 443, ""),
        ("https://[2001:db8::7]:8443/", "2001:db8::7", 8443, ""),
        ("https://rancher.example.com/k8s/clusters/c-m-1", "rancher.example.com", 443, "/k8s/clusters/c-m-1"),
        ("HTTPS://API.Example.com", "api.example.com", 443, ""),
    ],
)
def test_load_reads_server_forms(server: str, host: str, port: int, path: str) -> None:
    value = document()
    cluster(value)["server"] = server

    access = load(value)

    assert (access.host, access.port, access.path) == (host, port, path)


def test_load_takes_the_named_context() -> None:
    value = document()
    value["contexts"].append({"name": "other", "context": {"cluster": "c", "user": "v"}})
    value["users"].append({"name": "v", "user": {"token": "other-token"}})

    assert load(value, context="other").token == "other-token"


def test_load_looks_only_at_the_chosen_context() -> None:
    value = document()
    value["users"].append({"name": "w", "user": {"exec": {"command": "evil"}}})

    assert load(value).token == "abc.def-123"


def test_secrets_stay_out_of_the_repr() -> None:
    value = document()
    access = load(value)

    assert "abc.def-123" not in repr(access)
    assert access.secrets() == ("abc.def-123",)


def _set_user(**fields: Any) -> Callable[[Json], None]:
    return lambda value: user(value).update({key.replace("_", "-"): entry for key, entry in fields.items()})


def _set_cluster(**fields: Any) -> Callable[[Json], None]:
    return lambda value: cluster(value).update(
        {key.replace("_", "-"): entry for key, entry in fields.items()}
    )


def _two_contexts(value: Json) -> None:
    value.pop("current-context")
    value["contexts"].append({"name": "b", "context": {"cluster": "c", "user": "u"}})


REFUSED: list[tuple[str, str, Callable[[Json], Any]]] = [
    ("exec", "exec", _set_user(exec={"command": "sh", "args": ["-c", "id"]})),
    ("auth_provider", "auth-provider", _set_user(auth_provider={"name": "gcp"})),
    ("file_reference", "tokenFile", lambda value: user(value).update(tokenFile="/etc/passwd")),
    ("file_reference", "client-certificate", _set_user(client_certificate="/etc/passwd")),
    ("file_reference", "client-key", _set_user(client_key="/etc/passwd")),
    ("file_reference", "certificate-authority", _set_cluster(certificate_authority="/etc/passwd")),
    ("basic_auth", "username", _set_user(username="admin", password="x")),
    ("impersonation", "as", lambda value: user(value).update({"as": "root"})),
    ("impersonation", "as-groups", _set_user(as_groups=["system:masters"])),
    ("proxy", "proxy-url", _set_cluster(proxy_url="http://127.0.0.1:3128")),
    ("insecure_tls", "insecure true", _set_cluster(insecure_skip_tls_verify=True)),
    ("insecure_tls", "insecure text", _set_cluster(insecure_skip_tls_verify="true")),
    ("plain_http", "http", _set_cluster(server="http://api.example.com")),
    ("server", "ftp", _set_cluster(server="ftp://api.example.com")),
    ("server", "query", _set_cluster(server="https://api.example.com/?a=b")),
    ("server", "dots", _set_cluster(server="https://api.example.com/a/../b")),
    ("server", "unicode", _set_cluster(server="https://１２７.0.0.1")),  # noqa: RUF001
    ("server", "port", _set_cluster(server="https://api.example.com:99999")),
    ("server", "no host", _set_cluster(server="https://:6443")),
    ("no_server", "list", _set_cluster(server=["https://api.example.com"])),
    ("userinfo", "userinfo", _set_cluster(server="https://admin:x@api.example.com")),
    ("userinfo", "backslash", _set_cluster(server="https://good.example\\@evil.example")),
    ("server_name", "server name", _set_cluster(tls_server_name="a b")),
    ("unknown_field", "unknown user field", _set_user(impersonate="x")),
    ("unknown_field", "unknown cluster field", _set_cluster(extra="x")),
    ("token", "token with newline", _set_user(token="abc\r\nX-Evil: 1")),
    ("token", "token as number", _set_user(token=123)),
    ("token", "long token", _set_user(token="a" * 20000)),
    ("base64", "authority not base64", _set_cluster(certificate_authority_data="%%%")),
    ("certificate", "authority no certificate", _set_cluster(certificate_authority_data=encoded(b"hello"))),
    ("client_certificate", "certificate alone", _set_user(client_certificate_data=encoded(CERTIFICATE))),
    (
        "client_certificate",
        "no PEM",
        _set_user(client_certificate_data=encoded(b"x"), client_key_data=encoded(b"y")),
    ),
    (
        "encrypted_key",
        "passphrase",
        _set_user(
            client_certificate_data=encoded(CERTIFICATE),
            client_key_data=encoded(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        ),
    ),
    ("no_credential", "no credential", lambda value: user(value).pop("token")),
    ("ambiguous_context", "no current", _two_contexts),
    ("unknown_context", "missing current", lambda value: value.update({"current-context": "nope"})),
    ("unknown_cluster", "missing cluster", lambda value: value.update(clusters=[])),
    ("unknown_user", "missing user", lambda value: value.update(users=[])),
    ("not_a_kubeconfig", "no users", lambda value: value.pop("users")),
    ("not_a_kubeconfig", "other kind", lambda value: value.update(kind="Secret")),
    ("not_a_kubeconfig", "other version", lambda value: value.update(apiVersion="v2")),
    ("duplicate_name", "twice", lambda value: value["users"].append(copy.deepcopy(value["users"][0]))),
]


@pytest.mark.parametrize(
    ("code", "change"), [(code, change) for code, _, change in REFUSED], ids=[name for _, name, _ in REFUSED]
)
def test_load_refuses(code: str, change: Callable[[Json], Any]) -> None:
    value = copy.deepcopy(document())
    change(value)

    with pytest.raises(KubeconfigError) as refusal:
        load(value)

    assert refusal.value.code == code
    assert refusal.value.message.endswith(".")


def test_refusal_says_what_to_do_instead() -> None:
    value = document()
    user(value)["exec"] = {"command": "aws"}

    with pytest.raises(KubeconfigError, match="conformance rbac"):
        load(value)


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("several_documents", b"kind: Config\n---\nkind: Config\n"),
        ("duplicate_key", b"kind: Config\nkind: Config\n"),
        ("too_large", b"#" * (kubeconfig.MAX_BYTES + 1)),
        ("empty_document", b""),
        ("yaml_syntax", b"{"),
        ("not_a_kubeconfig", b"- a\n- b\n"),
        ("too_deep", b"[" * 200),
        ("custom_tag", b"kind: !!python/object/apply:os.system ['id']\n"),
        ("alias", b"kind: Config\na: &x [1]\nb: *x\n"),
    ],
)
def test_load_refuses_hostile_yaml(code: str, data: bytes) -> None:
    with pytest.raises(KubeconfigError) as refusal:
        kubeconfig.load(data)

    assert refusal.value.code == code


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_load_raises_nothing_else_on_bytes(data: bytes) -> None:
    with pytest.raises(KubeconfigError):
        kubeconfig.load(data)


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "cluster", "user", "server", "token", "x"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["clusters", "users", "contexts", "current-context", "kind"]),
    _VALUES,
)
def test_load_raises_nothing_else_on_any_shape(field: str, replacement: Any) -> None:
    value = {**document(), field: replacement}

    try:
        access = load(value)
    except KubeconfigError:
        return
    assert access.host == "api.example.com"
