"""A guarded connection to an API server, on the official client.

The address is pinned, the certificate verified against the original name, no proxy, no redirect, no
hidden retry; every request has a deadline and every answer a size cap.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException

from conformance import __version__
from conformance.cluster import errors
from conformance.cluster.guard import NetworkPolicy, Pinned
from conformance.cluster.kubeconfig import ClusterAccess
from conformance.cluster.patience import GuardedSocket, OutOfTime, Patience, applied

MAX_ANSWER = 32 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024
MAX_ITEMS = 50_000
MAX_PAGES = 1_000
MAX_LISTING = 128 * 1024 * 1024
MAX_STREAM = 64 * 1024 * 1024
# Small values cost many times their length once they are parsed.
MAX_VALUES = 2_000_000
PAGE = 500
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 10.0
_CHUNK = 64 * 1024
_MAX_WAITS = 8
_LONGEST_WAIT = 60.0
_READ_PAUSES = (0.2, 1.0)
_DEFAULT_PORT = 443

Json = dict[str, Any]
Query = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """The items of a collection and the version a watch goes on from."""

    items: list[Json]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK`` with its object."""

    type: str
    object: Json


def connect(access: ClusterAccess, policy: NetworkPolicy, *, timeout: float = REQUEST_SECONDS) -> Connection:
    """Return a connection to the one address `policy` allows for the server; nothing is sent yet.

    Raises AddressRefused, or TlsFailed where the client certificate and its key do not fit.
    """
    return Connection(access, policy.resolve(access.host, access.port), timeout=timeout)


def segment(text: str) -> str:
    """Return a name as one segment of a path, whatever it holds."""
    return quote(text, safe="")


class Connection:
    """Requests to one API server. Safe to use from several threads."""

    def __init__(self, access: ClusterAccess, pinned: Pinned, *, timeout: float) -> None:
        self.access = access
        self.timeout = timeout
        host = f"[{pinned.ip}]" if ":" in pinned.ip else pinned.ip
        self._base = f"https://{host}:{pinned.port}{access.path}"
        name = f"[{access.host}]" if ":" in access.host else access.host
        self._headers = {
            "Host": name if pinned.port == _DEFAULT_PORT else f"{name}:{pinned.port}",
            "User-Agent": f"certportal-conformance/{__version__}",
            "Accept-Encoding": "identity",
        }
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        configuration = Configuration(host=self._base)
        configuration.proxy = None
        configuration.no_proxy = None
        configuration.tls_server_name = access.server_name or access.host
        configuration.client_go_retries = False
        configuration.connection_pool_maxsize = 16
        configuration.retries = urllib3.Retry(
            total=0,
            connect=0,
            read=0,
            redirect=0,
            status=0,
            other=0,
            raise_on_redirect=False,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        self._client = ApiClient(configuration)
        self._client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = _tls_context(access)

    def close(self) -> None:
        """Close every pooled connection now, whoever still refers to an answer."""
        pools = self._client.rest_client.pool_manager.pools
        for key in pools.keys():  # noqa: SIM118 - this container cannot be iterated
            if (pool := pools.get(key)) is not None:
                pool.close()
        self._client.close()

    # Verbs ------------------------------------------------------------------------------------

    def get(self, path: str, *, query: Query | None = None, patience: Patience | None = None) -> Json:
        """Return the object at a path."""
        return self._json("GET", path, query=query, patience=patience)

    def find(self, path: str, *, query: Query | None = None, patience: Patience | None = None) -> Json | None:
        """Return the object at a path, or None where there is none."""
        try:
            return self.get(path, query=query, patience=patience)
        except errors.NotFound:
            return None

    def listing(
        self,
        path: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        patience: Patience | None = None,
    ) -> Listing:
        """Return every item of a collection, read page by page."""
        query: dict[str, str | int | bool | None] = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": PAGE,
        }
        items: list[Json] = []
        restarted = False
        left = MAX_LISTING
        for _ in range(MAX_PAGES):
            try:
                page, size = self._sized("GET", path, query=query, patience=patience)
            except errors.Gone:
                # The snapshot the pages came from is no longer kept; a fresh one must do.
                if restarted or "continue" not in query:
                    raise
                restarted = True
                items.clear()
                del query["continue"]
                continue
            metadata = _mapping(page.get("metadata"))
            found = page.get("items")
            if not isinstance(found, list) and found is not None:
                raise errors.BadAnswer(f"the list at {path} has no items")
            for item in found or []:
                if not isinstance(item, dict) or not isinstance(
                    _mapping(item.get("metadata")).get("name"), str
                ):
                    raise errors.BadAnswer(f"the list at {path} holds something without a name")
                items.append(item)
            left -= size
            if len(items) > MAX_ITEMS or left < 0:
                raise errors.AnswerTooLarge(
                    f"the list at {path} has more than {MAX_ITEMS} items or {MAX_LISTING} bytes"
                )
            following = metadata.get("continue")
            if not following:
                return Listing(items, str(metadata.get("resourceVersion", "")))
            if str(following) == query.get("continue"):
                raise errors.BadAnswer(f"the list at {path} goes on where it was already")
            query["continue"] = str(following)
        raise errors.AnswerTooLarge(f"the list at {path} has more than {MAX_PAGES} pages")

    def create(
        self,
        path: str,
        body: Json,
        *,
        dry_run: bool = False,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> Json:
        """Create an object in the collection at a path and return what the server made of it.

        `headers` go along to a service behind the server's proxy.
        """
        query = {"dryRun": "All"} if dry_run else None
        return self._json("POST", path, query=query, body=body, headers=headers, patience=patience)

    def merge(self, path: str, change: Json, *, patience: Patience | None = None) -> Json:
        """Change an object by a JSON merge patch and return what the server made of it."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._json("PATCH", path, body=change, headers=headers, patience=patience)

    def delete(
        self, path: str, *, uid: str | None = None, grace: int | None = None, patience: Patience | None = None
    ) -> None:
        """Ask for the removal of an object; one that is gone already is no error."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        with contextlib.suppress(errors.NotFound):
            self._json("DELETE", path, body=options, patience=patience)

    def watch(
        self,
        path: str,
        resource_version: str,
        *,
        label_selector: str | None = None,
        patience: Patience,
    ) -> Iterator[WatchEvent]:
        """Yield what happens after `resource_version`, until the server or the patience ends the stream.

        Raises Gone where the server no longer remembers that far back.
        """
        seconds = max(1, int(min(patience.remaining(), 300)))
        query: Query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "timeoutSeconds": seconds,
        }
        with contextlib.closing(self.lines(path, query=query, patience=patience)) as lines:
            for line in lines:
                if not line.strip():
                    continue
                entry = _parsed(line.encode("utf-8", "surrogateescape"), path)
                kind, what = str(entry.get("type", "")), _mapping(entry.get("object"))
                if kind == "ERROR":
                    raise _status_error(int(what.get("code") or 500), what, {})
                yield WatchEvent(kind, what)

    def text(
        self,
        path: str,
        *,
        query: Query | None = None,
        limit: int = MAX_ANSWER,
        patience: Patience | None = None,
    ) -> str:
        """Return a plain text answer, such as a log."""
        overall = patience or Patience.of(self.timeout + _LONGEST_WAIT)
        with self._translated(path):
            response = self._opened(path, query, overall)
            with applied(self._patience(overall)):
                return _read(response, limit, path).decode("utf-8", "replace")

    def lines(
        self, path: str, *, query: Query | None = None, patience: Patience
    ) -> Generator[str, None, None]:
        """Yield the lines of an answer as they arrive; the end of the patience is the end of the lines."""
        with self._translated(path):
            response = self._opened(path, query, patience)
            try:
                buffered, total = bytearray(), 0
                while True:
                    try:
                        with applied(patience):
                            chunk = response.read1(_CHUNK, decode_content=False)
                    except OutOfTime:
                        return
                    if not chunk:
                        break
                    buffered += chunk
                    total += len(chunk)
                    if len(buffered) > MAX_ANSWER or total > MAX_STREAM:
                        raise errors.AnswerTooLarge(f"the answer to {path} has no end")
                    if b"\n" not in chunk:
                        continue
                    *whole, rest = bytes(buffered).split(b"\n")
                    buffered = bytearray(rest)
                    for line in whole:
                        yield line.decode("utf-8", "surrogateescape")
                if buffered:
                    yield buffered.decode("utf-8", "surrogateescape")
            finally:
                _drop(response)

    # Below the verbs ----------------------------------------------------------------------------

    def _patience(self, patience: Patience | None) -> Patience:
        return patience.at_most(self.timeout) if patience else Patience.of(self.timeout)

    def _opened(self, path: str, query: Query | None, overall: Patience) -> Any:
        """Open an answer that is not JSON; wait first where the server asks for patience."""
        waits = 0
        while True:
            opening = self._patience(overall)
            try:
                with applied(opening):
                    return self._open("GET", path, query=query, accept="*/*", patience=opening)
            except errors.Throttled as error:
                wait, waits = error.retry_after or 1.0, waits + 1
                if waits > _MAX_WAITS or wait > min(_LONGEST_WAIT, overall.remaining()):
                    raise
            overall.sleep(wait)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> Json:
        answer, _ = self._sized(method, path, query=query, body=body, headers=headers, patience=patience)
        return answer

    def _sized(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> tuple[Json, int]:
        """Return the answer to a request and how many bytes it took."""
        overall = patience or Patience.of(self.timeout + _LONGEST_WAIT)
        # A control plane hiccups, and a server may close an idle connection in the moment it is used
        # again; asking once more does no harm as long as nothing is changed by it.
        pauses = list(_READ_PAUSES) if method == "GET" else []
        for _ in range(_MAX_WAITS):
            try:
                return self._json_once(method, path, query, body, self._patience(overall), headers=headers)
            except (errors.Throttled, errors.ServerError, errors.ConnectionFailed) as error:
                wait = error.retry_after if isinstance(error, errors.Throttled | errors.ServerError) else None
                if wait is None or (method != "GET" and not isinstance(error, errors.Throttled)):
                    if not pauses or isinstance(error, errors.TlsFailed):
                        raise
                    wait = pauses.pop(0)
                if wait > min(_LONGEST_WAIT, overall.remaining()):
                    raise
            overall.sleep(wait)
        return self._json_once(method, path, query, body, self._patience(overall), headers=headers)

    def _json_once(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Json | None,
        patience: Patience,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Json, int]:
        with self._translated(path), applied(patience):
            response = self._open(
                method,
                path,
                query=query,
                body=body,
                accept="application/json",
                headers=headers,
                patience=patience,
            )
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            data = _read(response, MAX_ANSWER, path)
        if media_type != "application/json":
            shown = errors.shortened(media_type, 60)
            raise errors.BadAnswer(f"{path} answered {shown or 'without a content type'} instead of JSON")
        return _parsed(data, path), len(data)

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Query | None,
        accept: str,
        patience: Patience,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request and return the response with its body unread; raise on an error status."""
        patience.check()
        asked = {
            key: str(value).lower() if value in (True, False) else str(value)
            for key, value in (query or {}).items()
            if value is not None
        }
        url = f"{self._base}{path}" + (f"?{urlencode(asked)}" if asked else "")
        sent = {**(headers or {}), **self._headers, "Accept": accept}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        left = max(0.001, patience.remaining())
        answer = self._client.call_api(method, url, sent, body, None, (min(CONNECT_SECONDS, left), left))
        response = answer.response
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            _drop(response)
            raise errors.BadAnswer(f"{path} answered compressed although that was not asked for")
        status = int(response.status)
        if 200 <= status < 300:  # noqa: PLR2004
            return response
        if 300 <= status < 400:  # noqa: PLR2004
            _drop(response)
            raise errors.Redirected(f"{path} answered with a redirect ({status}), which is not followed")
        raw = _read(response, MAX_ERROR_BODY, path, cut=True)
        try:
            described = _mapping(json.loads(raw))
        except (ValueError, RecursionError):
            described = {}
        raise _status_error(status, described, response.headers)

    @contextlib.contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Turn what the layers below raise into our own errors."""
        try:
            yield
        except OutOfTime as error:
            raise errors.RequestTimeout(f"{path} was not answered in time") from error
        except ApiException as error:
            raise errors.TlsFailed(f"TLS with the server failed: {error.reason}") from error
        except urllib3.exceptions.MaxRetryError as error:
            raise _connection_error(error.reason or error, path) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _connection_error(error, path) from error


def _connection_error(error: Exception, path: str) -> errors.ClusterError:
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
        return errors.TlsFailed(f"TLS with the server failed: {error}")
    # urllib3 derives the refusal of a connection from its time-out.
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return errors.ConnectionFailed("the server cannot be reached")
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return errors.RequestTimeout(f"{path} was not answered in time")
    return errors.ConnectionFailed(f"the connection broke at {path} ({type(error).__name__})")


def _tls_context(access: ClusterAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca_data)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = GuardedSocket
    if access.client_certificate and access.client_key:
        # OpenSSL reads client certificates from files only; they live for a moment and for us alone.
        with tempfile.TemporaryDirectory(prefix="certportal-") as folder:
            certificate, key = Path(folder, "certificate"), Path(folder, "key")
            for file, text in ((certificate, access.client_certificate), (key, access.client_key)):
                file.touch(mode=0o600)
                file.write_text(text, encoding="ascii")
            try:
                # Without a password OpenSSL would ask for one at the terminal.
                context.load_cert_chain(certificate, key, password="")
            except (ssl.SSLError, ValueError) as error:
                raise errors.TlsFailed("the client certificate and its key cannot be used") from error
    return context


def _read(response: Any, limit: int, path: str, *, cut: bool = False) -> bytes:
    """Read a body up to `limit` bytes; beyond that cut it off or raise AnswerTooLarge."""
    data = bytearray()
    while chunk := response.read1(_CHUNK, decode_content=False):
        data += chunk
        if len(data) > limit:
            _drop(response)
            if cut:
                break
            raise errors.AnswerTooLarge(f"the answer to {path} has more than {limit} bytes")
    return bytes(data[:limit])


def _drop(response: Any) -> None:
    """Close the connection under a response whose body is not read to its end."""
    response.close()


def _parsed(data: bytes, path: str) -> Json:
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise errors.AnswerTooLarge(f"the answer to {path} has more than {MAX_VALUES} values")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise errors.BadAnswer(f"{path} did not answer with valid JSON") from error
    if not isinstance(value, dict):
        raise errors.BadAnswer(f"{path} did not answer with a JSON object")
    return value


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


_CLASSES: dict[int, type[errors.StatusError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.Gone,
    429: errors.Throttled,
}


def _status_error(status: int, described: Json, headers: Mapping[str, str]) -> errors.StatusError:
    message = str(described.get("message") or f"the server answered {status}")
    kind = errors.shortened(str(described.get("reason") or ""), 60)
    if status >= 500:  # noqa: PLR2004
        server_error = errors.ServerError(message, status=status, kind=kind)
        server_error.retry_after = _retry_after(described, headers)
        return server_error
    error = _CLASSES.get(status, errors.StatusError)(message, status=status, kind=kind)
    if isinstance(error, errors.Throttled):
        error.retry_after = _retry_after(described, headers) or 1.0
    return error


def _retry_after(described: Json, headers: Mapping[str, str]) -> float | None:
    """Return the seconds the server asks us to wait, or None where it does not ask."""
    asked = headers.get("Retry-After") or _mapping(described.get("details")).get("retryAfterSeconds")
    try:
        return max(0.0, float(int(asked))) if asked is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
