"""Signed credentials: read one, check it step by step, and say of each step what was found.

A credential is an Open Badges 3.0 credential in the W3C data model 2.0, secured as a JWT with Ed25519
(VC-JOSE-COSE). Whether it still holds stands in Bitstring Status Lists, which are signed the same way. The
portal's own page and the command that needs no portal both judge by this module; it opens no connection.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

ALGORITHM = "EdDSA"
TOKEN_TYPE = "vc+jwt"
BASE_CONTEXT = "https://www.w3.org/ns/credentials/v2"
BADGE_CONTEXT = "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json"
# Two names of one type: https://purl.imsglobal.org/spec/vc/ob/vocab.html#OpenBadgeCredential
BADGE_TYPES = frozenset({"AchievementCredential", "OpenBadgeCredential"})
LIST_TYPE = "BitstringStatusListCredential"
ENTRY_TYPE = "BitstringStatusListEntry"
SIMULATED_TYPE = "ext:SimulatedCertification"

REVOCATION, SUSPENSION = "revocation", "suspension"
PURPOSES = {REVOCATION: "ended: revoked, expired or replaced", SUSPENSION: "suspended"}

MAX_TOKEN = 512 * 1024
MAX_LIST = 16 * 1024 * 1024  # bytes of a bitstring, unpacked
SHORTEST_LIST = 16 * 1024  # bytes; the standard asks for as much, so that no one stands out
CLOCK_SKEW = timedelta(minutes=5)  # clocks of issuer and reader may differ


class CredentialError(Exception):
    """The text cannot be taken for what it should be. The message says why."""


class Result(StrEnum):
    """How a step went."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


class StepName(StrEnum):
    """The steps, in their order. After a failure of one of the first three, nothing further is looked at."""

    FORMAT = "format"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    VALIDITY = "validity"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Step:
    """One step and what was found, in a sentence."""

    name: StepName
    result: Result
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A signed document taken apart; nothing in it is trusted before its signature was checked."""

    text: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]

    @property
    def kid(self) -> str:
        """The name of the key that is said to have signed it."""
        return str(self.header["kid"])

    @property
    def issuer(self) -> str:
        """Who is said to have issued it, as an address."""
        issuer = self.payload.get("issuer")
        name = issuer.get("id") if isinstance(issuer, dict) else issuer
        return name if isinstance(name, str) else ""

    @property
    def subject(self) -> Mapping[str, Any]:
        """What it speaks of."""
        subject = self.payload.get("credentialSubject")
        return subject if isinstance(subject, dict) else {}

    @property
    def types(self) -> frozenset[str]:
        """What it says it is."""
        types = self.payload.get("type")
        names = types if isinstance(types, list) else [types]
        return frozenset(name for name in names if isinstance(name, str))

    @property
    def is_simulated(self) -> bool:
        """Whether it came of a simulated cluster and certifies nothing."""
        achievement = self.subject.get("achievement")
        kind = achievement.get("achievementType") if isinstance(achievement, dict) else None
        return kind == SIMULATED_TYPE


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found of a credential."""

    steps: tuple[Step, ...]
    token: Token | None = None

    def result_of(self, name: StepName) -> Result:
        """How one step went."""
        return next((step.result for step in self.steps if step.name is name), Result.NOT_CHECKED)

    @property
    def is_genuine(self) -> bool:
        """Whether the issuer signed exactly this, whatever has become of the certificate since."""
        proven = (StepName.FORMAT, StepName.SIGNATURE, StepName.ISSUER)
        return all(self.result_of(name) is Result.PASSED for name in proven)

    @property
    def failed(self) -> bool:
        """Whether any step speaks against it."""
        return any(step.result is Result.FAILED for step in self.steps)

    @property
    def holds(self) -> bool:
        """Whether every step was taken and speaks for it."""
        return all(step.result is Result.PASSED for step in self.steps)


# --- Reading -----------------------------------------------------------------------------------------


def encode_bytes(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_bytes(text: str) -> bytes:
    """Return what `text` stands for; raises CredentialError unless it is the one spelling of it.

    The last character has bits to spare, and lenient decoders skip characters they do not know: without
    this, several texts would carry one signature.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CredentialError("A part of it is not base64url.") from error
    if encode_bytes(data) != text:
        raise CredentialError("A part of it is base64url in a spelling that the issuer never writes.")
    return data


def read_token(data: bytes | str) -> Token:
    """Take a token apart. Raises CredentialError."""
    if len(data) > MAX_TOKEN:
        raise CredentialError(f"It is longer than {MAX_TOKEN // 1024} KiB; no credential of ours is.")
    try:
        text = data.decode("ascii").strip() if isinstance(data, bytes) else data.strip()
    except UnicodeDecodeError as error:
        raise CredentialError("It is not a signed credential: that is one line of letters.") from error
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - header, payload, signature
        raise CredentialError("It is not a signed credential: that has three parts with dots between them.")
    header, payload = (_read_object(part) for part in parts[:2])
    decode_bytes(parts[2])
    if header.get("alg") != ALGORITHM:
        raise CredentialError(f"It is signed with {header.get('alg')!r}; the portal signs with {ALGORITHM}.")
    if header.get("typ") != TOKEN_TYPE:
        raise CredentialError(f"Its header does not say that it is a credential ({TOKEN_TYPE}).")
    if "crit" in header or "b64" in header:
        raise CredentialError("Its header asks for an extension that the portal does not use.")
    if not isinstance(header.get("kid"), str):
        raise CredentialError("Its header does not name the key that signed it.")
    return Token(text, header, payload)


def _read_object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(decode_bytes(part))
    except (ValueError, RecursionError) as error:
        raise CredentialError("A part of it is not JSON.") from error
    if not isinstance(found, dict):
        raise CredentialError("A part of it is not a JSON object.")
    return found


def read_keys(data: bytes) -> dict[str, Mapping[str, Any]]:
    """Return the Ed25519 keys of a JSON Web Key Set by their names. Raises CredentialError."""
    try:
        listed = json.loads(data)["keys"]
        keys = {key["kid"]: key for key in listed if (key.get("kty"), key.get("crv")) == ("OKP", "Ed25519")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CredentialError("It is not a JSON Web Key Set.") from error
    if not keys:
        raise CredentialError("It holds no Ed25519 key with a name (kid).")
    return keys


# --- Checking ----------------------------------------------------------------------------------------


def examine(
    data: bytes | str,
    *,
    keys: Mapping[str, Mapping[str, Any]],
    now: datetime,
    issuer: str = "",
    status_lists: Iterable[bytes | str] = (),
) -> Examination:
    """Check a credential against the issuer's `keys` (see `read_keys`), at the moment `now`.

    `issuer` is the address that must have issued it; empty: whoever the keys belong to. Without the status
    lists that the credential names, its status stays unchecked.
    """
    steps: list[Step] = []
    token: Token | None = None
    try:
        token = read_token(data)
        _require_badge(token)
        steps.append(_passed(StepName.FORMAT, "It is an Open Badges 3.0 credential, signed with Ed25519."))
        _require_signature(token, keys)
        steps.append(_passed(StepName.SIGNATURE, f"The key {token.kid} signed exactly this text."))
        _require_issuer(token, issuer)
        steps.append(_passed(StepName.ISSUER, f"It was issued by {token.issuer}, whose key that is."))
    except CredentialError as error:
        steps.append(Step(list(StepName)[len(steps)], Result.FAILED, str(error)))
        rest = list(StepName)[len(steps) :]
        steps += [Step(name, Result.NOT_CHECKED, "Not looked at after that.") for name in rest]
        return Examination(tuple(steps), token)
    steps.append(_validity(token, now))
    steps.append(_status(token, keys, status_lists, now))
    return Examination(tuple(steps), token)


def _passed(name: StepName, text: str) -> Step:
    return Step(name, Result.PASSED, text)


def _require_badge(token: Token) -> None:
    contexts = token.payload.get("@context")
    if not isinstance(contexts, list) or contexts[:1] != [BASE_CONTEXT]:
        raise CredentialError("It is not in the W3C data model for credentials, version 2.0.")
    if "VerifiableCredential" not in token.types or not token.types & BADGE_TYPES:
        raise CredentialError("It is a signed document, but not a certificate: its type is another.")
    same = (("jti", token.payload.get("id")), ("sub", token.subject.get("id")))
    if any(token.payload.get(claim) != value or not isinstance(value, str) for claim, value in same):
        raise CredentialError("What it says of itself for JWT readers differs from the credential.")


def _require_signature(token: Token, keys: Mapping[str, Mapping[str, Any]]) -> None:
    import jwt
    from jwt.api_jws import PyJWS

    key = keys.get(token.kid)
    if key is None:
        raise CredentialError(f"No published key has the name {token.kid}.")
    try:
        PyJWS().decode(token.text, jwt.PyJWK(dict(key), algorithm=ALGORITHM), algorithms=[ALGORITHM])
    except (jwt.PyJWTError, ValueError) as error:
        raise CredentialError(
            "The signature does not fit: this is not, letter for letter, what was signed."
        ) from error


def _require_issuer(token: Token, expected: str) -> None:
    if not token.issuer or token.payload.get("iss") != token.issuer:
        raise CredentialError("It contradicts itself about who issued it.")
    if expected and token.issuer != expected:
        raise CredentialError(f"It was issued by {token.issuer}, not by {expected}.")
    if not token.kid.startswith(f"{token.issuer}/"):
        raise CredentialError(f"The key {token.kid} does not belong to {token.issuer}.")


def parse_time(text: Any) -> datetime:
    """Return an RFC 3339 time with its zone; raises CredentialError."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise CredentialError(f"{text!r} is no time.") from error
    if found.tzinfo is None:
        raise CredentialError(f"{text!r} has no time zone.")
    return found


def _times(token: Token) -> tuple[datetime, datetime]:
    """Return from when and until when it holds, said alike in both ways in which it says so."""
    since, until = (parse_time(token.payload.get(name)) for name in ("validFrom", "validUntil"))
    if (token.payload.get("nbf"), token.payload.get("exp")) != (since.timestamp(), until.timestamp()):
        raise CredentialError("It contradicts itself about when it holds.")
    return since, until


def _validity(token: Token, now: datetime) -> Step:
    try:
        since, until = _times(token)
    except CredentialError as error:
        return Step(StepName.VALIDITY, Result.FAILED, str(error))
    if now < since:
        return Step(StepName.VALIDITY, Result.FAILED, f"It holds only from {_said(since)} on.")
    if now >= until:
        return Step(StepName.VALIDITY, Result.FAILED, f"It held until {_said(until)}.")
    return _passed(StepName.VALIDITY, f"It holds from {_said(since)} until {_said(until)}.")


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _status(
    token: Token,
    keys: Mapping[str, Mapping[str, Any]],
    status_lists: Iterable[bytes | str],
    now: datetime,
) -> Step:
    entries = token.payload.get("credentialStatus")
    if not isinstance(entries, list) or not entries:
        return Step(StepName.STATUS, Result.FAILED, "It names no status list, as every credential does.")
    try:
        read = [read_list(data, keys, now, issuer=token.issuer) for data in status_lists]
        lists = {found.address: found for found in read}
        wanted = [_Entry.of(entry) for entry in entries]
        said = [entry for entry in wanted if entry.list_address in lists]
        bad = [entry.purpose for entry in said if lists[entry.list_address].is_set(entry)]
    except CredentialError as error:
        return Step(StepName.STATUS, Result.FAILED, str(error))
    if bad:
        return Step(StepName.STATUS, Result.FAILED, f"It has {' and '.join(PURPOSES[name] for name in bad)}.")
    missing = [entry.list_address for entry in wanted if entry not in said]
    if missing:
        text = f"Whether it still holds stands in {' and '.join(missing)}, which nobody looked at."
        return Step(StepName.STATUS, Result.NOT_CHECKED, text)
    as_of = min(lists[entry.list_address].since for entry in wanted)
    return _passed(StepName.STATUS, f"Neither ended nor suspended, by the issuer's lists of {_said(as_of)}.")


# --- Status lists ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a credential's status is written."""

    list_address: str
    index: int
    purpose: str

    @classmethod
    def of(cls, entry: Any) -> _Entry:
        try:
            known = entry["type"] == ENTRY_TYPE and entry["statusPurpose"] in PURPOSES
            index = int(entry["statusListIndex"])
            found = cls(str(entry["statusListCredential"]), index, str(entry["statusPurpose"]))
        except (TypeError, KeyError, ValueError) as error:
            raise CredentialError("It names a status list in a way that cannot be understood.") from error
        if not known or index < 0:
            raise CredentialError("It names a status list of a kind that the portal does not use.")
        return found


@dataclass(frozen=True, slots=True)
class StatusList:
    """A status list whose signature was checked."""

    address: str
    issuer: str
    purpose: str
    since: datetime
    bits: bytes

    def is_set(self, entry: _Entry) -> bool:
        """Return the bit of `entry`, counted from the left; raises CredentialError."""
        if entry.purpose != self.purpose:
            raise CredentialError(f"The list {self.address} is about {self.purpose}, not {entry.purpose}.")
        if entry.index >= len(self.bits) * 8:
            raise CredentialError(f"The list {self.address} has no place {entry.index}.")
        return bool(self.bits[entry.index // 8] & (0x80 >> entry.index % 8))


def read_list(
    data: bytes | str, keys: Mapping[str, Mapping[str, Any]], now: datetime, *, issuer: str = ""
) -> StatusList:
    """Read a status list of `issuer` and check its signature and time. Raises CredentialError."""
    try:
        token = read_token(data)
        _require_signature(token, keys)
        _require_issuer(token, issuer)
        return _list_in(token, now)
    except CredentialError as error:
        raise CredentialError(f"A status list cannot be used. {error}") from error


def _list_in(token: Token, now: datetime) -> StatusList:
    purpose = token.subject.get("statusPurpose")
    if LIST_TYPE not in token.types or not isinstance(purpose, str):
        raise CredentialError("It is a signed document, but not a status list.")
    since, until = _times(token)
    if now < since - CLOCK_SKEW or now >= until:
        raise CredentialError(f"It is of {_said(since)} and may be used until {_said(until)} only.")
    bits = unpack_bits(token.subject.get("encodedList"))
    return StatusList(str(token.payload.get("id")), token.issuer, purpose, since, bits)


def pack_bits(bits: bytes) -> str:
    """Return a bitstring as status lists carry it: gzip, base64url, and the u that names that encoding."""
    # The same bits give the same text: no time of packing in the header.
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return "u" + encode_bytes(packer.compress(bits) + packer.flush())


def unpack_bits(text: Any) -> bytes:
    """Return the bitstring of a status list; raises CredentialError."""
    if not isinstance(text, str) or not text.startswith("u"):
        raise CredentialError("Its bits are not in multibase base64url.")
    try:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        bits = unpacker.decompress(decode_bytes(text[1:]), MAX_LIST)
    except zlib.error as error:
        raise CredentialError("Its bits are not packed with gzip.") from error
    if not unpacker.eof or len(bits) < SHORTEST_LIST:
        raise CredentialError("Its bits are too few, too many or cut off.")
    return bits
