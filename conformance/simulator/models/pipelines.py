"""Models of a pipeline's steps, and of the object store they may pass artefacts through."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable

from conformance.simulator import objectstore
from conformance.simulator.clock import now
from conformance.simulator.fetching import fetch
from conformance.simulator.network import Response
from conformance.simulator.objectstore import ObjectStore
from conformance.simulator.programs import FOREVER, Process, Run, models_image, models_program, seconds_of

ATTEMPTS, RETRY_SECONDS, WORK_SECONDS = 30, 1.0, 0.5
_ARTEFACTS = ("data", "model", "entry")


@models_image("minio")
def _minio(process: Process) -> Run:
    variables = process.variables
    store = ObjectStore(
        variables.get("MINIO_ROOT_USER", ""),
        variables.get("MINIO_ROOT_PASSWORD", ""),
        faults=process.world.faults if process.world is not None else None,
    )
    return Run(
        first=("MinIO Object Storage Server",),
        seconds=FOREVER,
        on_term=0,
        listens={objectstore.PORT: store.answer},
    )


@models_program("pipeline")
def _pipeline(process: Process) -> Run:
    task = _Task(process)
    first = f"::probe begin program=pipeline step={task.step} pipeline={task.pipeline}"
    return Run(first=(first,), work=task.work)


class _FailedError(Exception):
    """The step cannot go on: what it tried, and with which artefact."""


class _Task:
    """What one step does."""

    def __init__(self, process: Process) -> None:
        self._process = process
        variables = self._variables = process.variables
        self.step = variables.get("PROBE_STEP") or "prepare"
        self.pipeline = variables.get("PROBE_PIPELINE") or "a"

    async def work(self, say: Callable[[str], None]) -> int:
        try:
            await self._do(say)
        except _FailedError as error:
            say(f"::probe end done=no {error}")
            return 1
        say("::probe end done=yes")
        return 0

    async def _do(self, say: Callable[[str], None]) -> None:
        await self._pause(WORK_SECONDS)
        if self.step == "prepare":
            lines = (f"{self.pipeline} {number}" for number in range(1, 2001))
            await self._give("data", "\n".join(lines), say)
        elif self.step == "train":
            checksum = await self._take("data", say)
            say("::probe training")
            await self._pause(seconds_of(self._variables.get("PROBE_HOLD") or "0"))
            await self._give("model", f"model of {checksum}", say)
        elif self.step == "register":
            checksum = await self._take("model", say)
            await self._give("entry", f"entry of {checksum}", say)
            await self._take("entry", say)
        elif self.step == "discard":
            await self._discard()

    async def _pause(self, seconds: float) -> None:
        if self._process.world is not None:
            await self._process.world.clock.sleep(seconds)

    async def _again(self, what: str, artefact: str, attempt: Callable[[], bytes | None]) -> bytes:
        for _ in range(ATTEMPTS):
            if (found := attempt()) is not None:
                return found
            await self._pause(RETRY_SECONDS)
        raise _FailedError(f"failed={what} artefact={artefact}")

    async def _give(self, artefact: str, text: str, say: Callable[[str], None]) -> None:
        content = text.encode()
        await self._again("put", artefact, lambda: self._put(artefact, content))
        say(f"::probe gave artefact={artefact} sha256={hashlib.sha256(content).hexdigest()}")

    async def _take(self, artefact: str, say: Callable[[str], None]) -> str:
        content = await self._again("get", artefact, lambda: self._get(artefact) or None)
        checksum = hashlib.sha256(content).hexdigest()
        say(f"::probe took artefact={artefact} sha256={checksum}")
        return checksum

    async def _discard(self) -> None:
        await self._again("remove", "all", self._remove)
        for artefact in _ARTEFACTS:
            if self._get(artefact):
                raise _FailedError(f"failed=remove artefact={artefact}")

    # Where artefacts are kept; None stands for failure

    def _put(self, artefact: str, content: bytes) -> bytes | None:
        if self._variables.get("PROBE_S3"):
            return _granted(self._upload(artefact, content))
        name = f"{self.pipeline}-{artefact}"
        if store := self._variables.get("PROBE_STORE"):
            return _granted(self._fetch(f"{store}/cgi-bin/keep?{name}", body=content))
        folder = self._folder()
        if folder is None:
            return None
        folder[name] = content
        return b""

    def _get(self, artefact: str) -> bytes | None:
        if self._variables.get("PROBE_S3"):
            path = f"/{self._variables['PROBE_BUCKET']}/{self._key(artefact)}"
            return _granted(self._signed("GET", path, "", b""))
        name = f"{self.pipeline}-{artefact}"
        if store := self._variables.get("PROBE_STORE"):
            return _granted(self._fetch(f"{store}/kept/{name}"))
        folder = self._folder()
        return folder[name] if folder is not None and name in folder else None

    def _remove(self) -> bytes | None:
        names = "".join(f"<Object><Key>{self._key(artefact)}</Key></Object>" for artefact in _ARTEFACTS)
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        body = f'<Delete xmlns="{space}"><Quiet>true</Quiet>{names}</Delete>'
        return _granted(self._signed("POST", f"/{self._variables['PROBE_BUCKET']}", "delete=", body.encode()))

    def _folder(self) -> dict[str, bytes] | None:
        world = self._process.world
        place = self._variables.get("PROBE_FOLDER") or "/"
        return world.volumes.at(world, self._process.pod, self._process.container, place) if world else None

    def _key(self, artefact: str) -> str:
        return f"{self._variables.get('PROBE_PREFIX') or ''}{self.pipeline}-{artefact}"

    def _fetch(
        self, url: str, *, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Response | None:
        world = self._process.world
        if world is None:
            return None
        return fetch(
            world,
            url,
            namespace=self._process.pod["metadata"]["namespace"],
            address=self._process.address,
            method="POST" if body else "GET",
            headers=headers,
            body=body,
        )

    # S3

    def _sign(self, day: str, text: str) -> str:
        return objectstore.sign(self._variables.get("PROBE_SECRET_KEY", ""), day, self._region(), text)

    def _region(self) -> str:
        return self._variables.get("PROBE_REGION") or objectstore.REGION

    def _signed(self, method: str, path: str, query: str, body: bytes) -> Response | None:
        moment = now().strftime("%Y%m%dT%H%M%SZ")
        endpoint, digest = self._variables["PROBE_S3"], hashlib.sha256(body).hexdigest()
        given = {"x-amz-content-sha256": digest, "x-amz-date": moment}
        if body:
            checksum = hashlib.md5(body, usedforsecurity=False).digest()
            given["content-md5"] = base64.b64encode(checksum).decode()
        signed = dict(sorted({**given, "host": endpoint.partition("://")[2]}.items()))
        names = ";".join(signed)
        lines = [
            method,
            path,
            query,
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            digest,
        ]
        scope = f"{moment[:8]}/{self._region()}/s3/aws4_request"
        canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{canonical}"
        who = f"{self._variables.get('PROBE_ACCESS_KEY', '')}/{scope}"
        given["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who}, SignedHeaders={names}, "
            f"Signature={self._sign(moment[:8], text)}"
        )
        address = f"{endpoint}{path}{f'?{query}' if query else ''}"
        return self._fetch(address, body=body, headers=given)

    def _upload(self, artefact: str, content: bytes) -> Response | None:
        moment = now().strftime("%Y%m%dT%H%M%SZ")
        bucket, key = self._variables["PROBE_BUCKET"], self._key(artefact)
        access = self._variables.get("PROBE_ACCESS_KEY", "")
        who = f"{access}/{moment[:8]}/{self._region()}/s3/aws4_request"
        fields = {
            "key": key,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": who,
            "x-amz-date": moment,
        }
        ends = (now() + dt.timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{name: value} for name, value in {"bucket": bucket, **fields}.items()]
        policy = json.dumps({"expiration": ends, "conditions": conditions}).encode()
        fields["policy"] = base64.b64encode(policy).decode()
        fields["x-amz-signature"] = self._sign(moment[:8], fields["policy"])
        edge = f"certportal{moment}"
        form = "".join(
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        form += f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="artefact"\r\n'
        body = f"{form}Content-Type: text/plain\r\n\r\n".encode() + content + f"\r\n--{edge}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        return self._fetch(f"{self._variables['PROBE_S3']}/{bucket}", body=body, headers=headers)


def _granted(answer: Response | None) -> bytes | None:
    """Return what came with a success; None where there was none."""
    if answer is None or not 200 <= answer.status < 300:  # noqa: PLR2004
        return None
    return answer.body
