"""An S3-compatible store, as far as small objects go: signed requests, uploads by form, deletions."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl, quote

from conformance.simulator.clock import now
from conformance.simulator.definitions import deployment, namespace, service
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json
from conformance.simulator.profiles import Profile
from conformance.simulator.world import Faults

HOME, NAME, PORT, BUCKET, REGION = "minio", "minio", 9000, "artefacts", "us-east-1"
ACCESS_KEY, SECRET_KEY = "certportal-demo", "not-a-secret-of-anybody"
_ROOM = 2
_SKEW = dt.timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_KEY = re.compile(rb"<Key>([^<]+)</Key>")
_NEXT = bytes.maketrans(b"0123456789", b"1234567890")


def is_offered(profile: Profile) -> bool:
    """Whether the platform's vendor names a store."""
    return profile.version in {"1.35", "1.37"}


def installed(profile: Profile) -> list[Json]:
    """Return what the store's installation brings along."""
    if not is_offered(profile):
        return []
    server = deployment(HOME, NAME, "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z", port=PORT)
    container = server["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [
        {"name": "MINIO_ROOT_USER", "value": ACCESS_KEY},
        {"name": "MINIO_ROOT_PASSWORD", "value": SECRET_KEY},
    ]
    return [namespace(HOME), server, service(HOME, NAME, NAME, port=PORT, target=PORT)]


def settings(profile: Profile) -> Json:
    """Return what the vendor tells of the store in the probe settings."""
    if not is_offered(profile):
        return {}
    return {
        "artifacts": {
            "endpoint": f"http://{NAME}.{HOME}.svc:{PORT}",
            "bucket": BUCKET,
            "accessKey": ACCESS_KEY,
            "secretKey": SECRET_KEY,
        }
    }


class _RefusedError(Exception):
    """The request is not granted; the text is the code S3 gives."""


class ObjectStore:
    """One bucket. Whoever has no valid signature gets nothing."""

    def __init__(
        self, access_key: str, secret_key: str, bucket: str = BUCKET, faults: Faults | None = None
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._bucket = bucket
        self._faults = faults or Faults()
        self.objects: dict[str, bytes] = {}

    def answer(self, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        _, bucket, *rest = path.split("/", 2)
        if bucket != self._bucket:
            return _problem(HTTPStatus.NOT_FOUND, "NoSuchBucket")
        try:
            if request.method == "POST" and not query:
                return self._upload(request)
            self._check_signature(request, path, query)
        except _RefusedError as error:
            return _problem(HTTPStatus.FORBIDDEN, str(error))
        is_deletion = dict(parse_qsl(query, keep_blank_values=True)) == {"delete": ""}
        return self._delete(request) if is_deletion else self._get(rest[0] if rest else "")

    def _get(self, key: str) -> Response:
        if key not in self.objects:
            return _problem(HTTPStatus.NOT_FOUND, "NoSuchKey")
        content = self.objects[key]
        if "object-store-garbles" in self._faults:
            content = content.translate(_NEXT)
        return Response(HTTPStatus.OK, content, {"Content-Type": "text/plain"})

    # Who asks

    def _check_signature(self, request: Request, path: str, query: str) -> None:
        match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            raise _RefusedError("AccessDenied")
        who, day, region, names, given = match.groups()
        moment = request.headers.get("x-amz-date", "")
        self._check_credential(who, region, day, moment)
        digest = hashlib.sha256(request.body).hexdigest()
        if request.headers.get("x-amz-content-sha256") != digest:
            raise _RefusedError("XAmzContentSHA256Mismatch")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names.split(";")):
            raise _RefusedError("AccessDenied")
        arguments = sorted(parse_qsl(query, keep_blank_values=True))
        canonical = "\n".join(
            [
                request.method,
                quote(path, safe="/-_.~"),
                "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in arguments),
                *(f"{name}:{request.headers.get(name, '').strip()}" for name in names.split(";")),
                "",
                names,
                digest,
            ]
        )
        scope = f"{day}/{region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        self._check_proof(given, day, text)

    def _check_credential(self, who: str, region: str, day: str, moment: str) -> None:
        if who != self._access_key:
            raise _RefusedError("InvalidAccessKeyId")
        if region != REGION or not moment.startswith(day):
            raise _RefusedError("SignatureDoesNotMatch")
        try:
            asked = dt.datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        except ValueError:
            raise _RefusedError("AccessDenied") from None
        if abs(now() - asked) > _SKEW:
            raise _RefusedError("RequestTimeTooSkewed")

    def _check_proof(self, given: str, day: str, text: str) -> None:
        if not hmac.compare_digest(given, sign(self._secret_key, day, REGION, text)):
            raise _RefusedError("SignatureDoesNotMatch")

    # What is asked

    def _upload(self, request: Request) -> Response:
        """Take an object out of a form whose policy is signed."""
        fields, content = _form(request)
        who, day, region, *_ = *fields.get("x-amz-credential", "").split("/"), "", "", ""
        self._check_credential(who, region, day, fields.get("x-amz-date", ""))
        self._check_proof(fields.get("x-amz-signature", ""), day, fields.get("policy", ""))
        policy = json.loads(base64.b64decode(fields["policy"]))
        granted = {key: value for condition in policy["conditions"] for key, value in condition.items()}
        asked = {"bucket": self._bucket, **fields}
        if policy["expiration"] < now().strftime("%Y-%m-%dT%H:%M:%SZ") or any(
            asked.get(key) != value for key, value in granted.items()
        ):
            raise _RefusedError("AccessDenied")
        if content is None or "key" not in granted or "object-store-denies" in self._faults:
            raise _RefusedError("AccessDenied")
        has_room = "object-store-full" not in self._faults or len(self.objects) < _ROOM
        if has_room or fields["key"] in self.objects:
            self.objects[fields["key"]] = content
        return Response(HTTPStatus.NO_CONTENT)

    def _delete(self, request: Request) -> Response:
        expected = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        if request.headers.get("content-md5") != expected:
            return _problem(HTTPStatus.BAD_REQUEST, "BadDigest")
        if "object-store-keeps" not in self._faults:
            for name in _KEY.findall(request.body):
                self.objects.pop(name.decode(), None)
        return Response(HTTPStatus.OK, b"<DeleteResult/>", {"Content-Type": "application/xml"})


def sign(secret: str, day: str, region: str, text: str) -> str:
    """Return the signature of a text as of a day, by version 4 of AWS signatures."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _form(request: Request) -> tuple[Mapping[str, str], bytes | None]:
    """Return the fields of a form up to its file, and the file."""
    _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    fields: dict[str, str] = {}
    for part in request.body.split(f"--{boundary}".encode())[1:] if boundary else ():
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        match = re.search(rb'name="([^"]+)"', head)
        if match is None:
            continue
        value = value.removesuffix(b"\r\n")
        if match[1] == b"file":
            return fields, value
        fields[match[1].decode().lower()] = value.decode("utf-8", "replace")
    return fields, None


def _problem(status: HTTPStatus, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(int(status), body.encode(), {"Content-Type": "application/xml"})
