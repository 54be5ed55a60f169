"""Which physical device a container was given, as the ``driver`` probe tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from conformance.markers import Report

_DEVICE_ID = re.compile(r"c:[0-9]{1,6}:[0-9]{1,8}")
_SHARED_NODES = "/dev/dri/"


@dataclass(frozen=True, slots=True)
class Identity:
    """A device node with what is known of the device behind it; empty where nothing is."""

    path: str
    id: str
    is_openable: bool
    uuid: str
    bus: str
    model: str

    @property
    def physical(self) -> str:
        """What names the physical device on its node, whatever part of it was handed out."""
        return self.uuid or self.bus or self.id

    @classmethod
    def all_of(cls, report: Report) -> list[Identity]:
        """Return the accelerators a probe saw; a graphics node beside a vendor's own is the same device."""
        found = [
            cls(
                path=marker.get("path"),
                id=marker.get("id"),
                is_openable=marker.get("open") == "yes",
                uuid=marker.get("uuid"),
                bus=marker.get("bus"),
                model=marker.get("model"),
            )
            for marker in report.all("device")
            if _DEVICE_ID.fullmatch(marker.get("id"))
        ]
        return [identity for identity in found if not identity.path.startswith(_SHARED_NODES)] or found
