"""Services reached through the API server's proxy, the only way into a cluster the engine has."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from conformance.rights import Right, on


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """A port of a Service, by number or name, and the path below which it answers."""

    namespace: str
    service: str
    port: str
    scheme: str = "http"
    path: str = ""

    @property
    def name(self) -> str:
        """As the proxy and a rule's ``resourceNames`` spell it: ``prometheus:9090``."""
        prefix = "https:" if self.scheme == "https" else ""
        return f"{prefix}{self.service}:{self.port}"

    def __str__(self) -> str:
        """Name it as in a sentence."""
        return f"service {self.namespace}/{self.service}, port {self.port}"

    def address(self, path: str) -> str:
        """Return where the API server serves a path of the Service."""
        whole = "/".join(part for part in (self.path.strip("/"), path.lstrip("/")) if part)
        place = quote(self.namespace, safe="")
        return f"/api/v1/namespaces/{place}/services/{quote(self.name, safe=':')}/proxy/{whole}"

    def rights(self, verbs: str, option: str = "") -> tuple[Right, ...]:
        """Return the rights to send it requests: ``get`` for a GET, ``create`` for a POST."""
        return on("services/proxy", verbs, option=option, namespace=self.namespace, name=self.name)
