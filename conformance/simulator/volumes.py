"""What is in the volumes of pods, and which volume a claim stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.simulator.objects import Json, dig

if TYPE_CHECKING:
    from conformance.simulator.world import World

CLAIMS = "persistentvolumeclaims"
Folder = dict[str, bytes]
_NEXT_DIGIT = bytes.maketrans(b"0123456789", b"1234567890")


class _GarblingFolder(Folder):
    """A folder that does not give back what it was given."""

    def __getitem__(self, name: str) -> bytes:
        return super().__getitem__(name).translate(_NEXT_DIGIT)


class Volumes:
    """The files of every volume, by name. A volume that goes with its pod is known by the pod."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, str], Folder] = {}

    def at(self, world: World, pod: Json, container: Json, path: str) -> Folder | None:
        """Return the files below `path` as a container may change them; None where it may not write."""
        mounts = [
            mount
            for mount in container.get("volumeMounts") or ()
            if path == mount["mountPath"] or path.startswith(f"{mount['mountPath'].rstrip('/')}/")
        ]
        if not mounts:
            return None
        mount = max(mounts, key=lambda entry: len(entry["mountPath"]))
        volume = next(entry for entry in pod["spec"]["volumes"] if entry["name"] == mount["name"])
        if mount.get("readOnly") or ("volumes-read-only" in world.faults and "emptyDir" not in volume):
            return None
        key = self._key(world, pod, volume)
        if key is None:
            return None
        garbles = "volumes-garble" in world.faults and "emptyDir" not in volume
        return self._folders.setdefault(key, _GarblingFolder() if garbles else {})

    def _key(self, world: World, pod: Json, volume: Json) -> tuple[str, str] | None:
        metadata = pod["metadata"]
        name = dig(volume, "persistentVolumeClaim", "claimName")
        if name is None:
            return metadata["uid"], volume["name"]
        claim = world.store.get(CLAIMS, metadata["namespace"], name)
        if claim is None:
            return None
        # A claim that keeps nothing behaves like a volume that goes with its pod.
        owner = metadata["uid"] if "volumes-forget" in world.faults else ""
        return claim["metadata"]["uid"], owner

    def forget(self, uid: str) -> None:
        """Drop what belongs to a pod or claim that is gone."""
        for key in [key for key in self._folders if uid in key]:
            del self._folders[key]


def claims_of(pod: Json) -> list[str]:
    """Return the names of the claims a pod mounts."""
    return [
        str(entry["persistentVolumeClaim"]["claimName"])
        for entry in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in entry
    ]


def unbound_problem(world: World, pod: Json) -> str | None:
    """Return why the claims of a pod keep it from being placed, in the words of the scheduler."""
    for name in claims_of(pod):
        claim = world.store.get(CLAIMS, pod["metadata"]["namespace"], name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if dig(claim, "status", "phase") != "Bound":
            return "pod has unbound immediate PersistentVolumeClaims"
    return None
