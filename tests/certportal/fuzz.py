"""The API asked at random: does every answer keep to what the OpenAPI document says?

``make fuzz`` asks ten thousand times, with a token and without, in this process and in a database of its
own, and prints what it found. ``DATABASE_URL`` names another server than SQLite; the database is made and
dropped. The tests ask less often, and the same questions every time.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.engine import events, from_schema

ROOT = Path(__file__).parents[2]
SCHEMA = "/api/v1/schema/?format=json"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
)
# Questions of each operation and phase: with a token and without, one round has more than ten thousand.
ROUND = 140


@dataclass
class Figures:
    """What was asked and what was found."""

    cases: int = 0
    checks: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """A sentence for each kind of failure, with a request that shows it."""
    errors: set[str] = field(default_factory=set)

    def add(self, event: events.ScenarioFinished, *, has_token: bool) -> None:
        recorder = event.recorder
        for case_id, node in recorder.cases.items():
            asked = recorder.interactions.get(case_id)
            if asked is None or asked.response is None:
                continue
            operation, code = node.value.operation, asked.response.status_code
            self.cases += 1
            self.phases[event.phase.value] += 1
            self.codes[code] += 1
            self.operations[operation.label] += 1
            for check in recorder.checks.get(case_id, ()):
                self.checks += 1
                if (told := check.failure_info) is not None:
                    key = f"{operation.label}: {check.name}: {told.failure.title}"
                    self.failures.setdefault(key, f"{code} {told.failure.message}\n{told.code_sample}")
            if not has_token and code < 400 and not is_open(operation.definition.raw):
                self.failures.setdefault(f"{operation.label}: answered without a token", str(code))

    def lines(self) -> Iterator[str]:
        """The figures in words, and then every failure."""
        yield f"{self.cases} cases of {len(self.operations)} operations, {self.checks} checks"
        yield f"  by phase   {', '.join(f'{name}: {number}' for name, number in self.phases.items())}"
        yield f"  by status  {', '.join(f'{code}: {number}' for code, number in sorted(self.codes.items()))}"
        for error in sorted(self.errors):
            yield f"ERROR {error}"
        for key, told in self.failures.items():
            yield f"FAILURE {key}\n{told}"


def is_open(operation: dict[str, Any]) -> bool:
    """Whether the description lets anyone ask, or whether the method is none of those described."""
    return {} in operation.get("security", [{}])


def fuzz(
    application: Any,
    *,
    examples: int,
    seed: int,
    token: str,
    phases: tuple[str, ...] = PHASES,
    operations: str = "",
) -> Figures:
    """Ask `application` `examples` times for each operation and phase; the same `seed` asks the same.

    `operations` is a pattern of addresses; empty for all of them.
    """
    config = schemathesis.Config.from_dict(
        {
            # Nothing between here and the application unpacks what it packs.
            "headers": {
                "Accept-Encoding": "identity",
                **({"Authorization": f"Bearer {token}"} if token else {}),
            },
            "seed": seed,
            "continue-on-failure": True,
            "generation": {
                "mode": "all",
                "max-examples": examples,
                "database": "none",
                "no-shrink": True,
            },
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "suppress-health-check": ["all"],
        }
    )

    def asked_directly(environ: dict[str, Any], start_response: Any) -> Any:
        # A server writes the whole address there; this client leaves out the query.
        del environ["RAW_URI"]
        answer = application(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            # Nor does it end an answer, which gives back the connection to the database.
            if hasattr(answer, "close"):
                answer.close()

    schema = schemathesis.openapi.from_wsgi(SCHEMA, asked_directly, config=config)
    if operations:
        schema = schema.include(path_regex=operations)
    figures = Figures()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            figures.add(event, has_token=bool(token))
        elif isinstance(event, events.NonFatalError):
            figures.errors.add(f"{event.label}: {event.info.title}: {event.info.message}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return figures


def make_world() -> str:
    """Certificates and checklists, work in progress, and a token that may write."""
    from registry.models import NumberSequence
    from submissions.models import ApiToken
    from submissions.services import organizations
    from tests.registry.factories import ISSUED, CertificateFactory, ChecklistFactory
    from tests.submissions.cast import gather

    for version in ("1.35", "1.36"):
        ChecklistFactory(version=version)
    NumberSequence.objects.create(year=ISSUED.year, last=41)
    CertificateFactory(platform_name="Harbour", vendor="Old Harbour", kubernetes_version="1.36")
    CertificateFactory(platform_name='港 "Lagoon"\n=1+1', vendor="Ünder, 'Harbour'", simulated=True)
    cast = gather()
    row, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="fuzz", scope=ApiToken.Scope.WRITE
    )
    ApiToken.objects.filter(pk=row.pk).update(expires_at=row.expires_at + timedelta(days=1))
    return secret


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--cases", type=int, default=10_000, help="ask at least so often")
    reader.add_argument("--seed", type=int, help="ask what an earlier run asked")
    chosen = reader.parse_args()
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(2**32)

    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ.setdefault("ALLOWED_HOSTS", "localhost")
    for name in ("API_RATE_LIMIT", "API_TOKEN_LIMIT", "API_WRITE_LIMIT", "API_EXPORT_LIMIT"):
        os.environ[name] = "0"
    import django

    django.setup()
    logging.disable(logging.CRITICAL)
    from django.db import connection

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        return _ask(chosen.cases, seed, connection.vendor)
    finally:
        connection.creation.destroy_test_db("", verbosity=0)


def _ask(cases: int, seed: int, database: str) -> int:
    """Ask with a token and without, in rounds, until there were enough cases."""
    from certportal.wsgi import application

    token = make_world()
    total, is_good, began = Counter[str](), True, time.monotonic()
    sys.stdout.write(f"seed {seed}, {database}\n")
    while total["cases"] < cases:
        for words, secret in (("with a token", token), ("without a token", "")):
            examples = max(min(ROUND, ROUND * cases // 10_000), 1)
            figures = fuzz(application, examples=examples, seed=seed + total["rounds"], token=secret)
            sys.stdout.write(f"{words}: " + "".join(f"{line}\n" for line in figures.lines()))
            sys.stdout.flush()
            total.update({"rounds": 1, "cases": figures.cases, "checks": figures.checks})
            is_good = is_good and not figures.failures and not figures.errors
    seconds = round(time.monotonic() - began)
    sys.stdout.write(
        f"{total['cases']} cases, {total['checks']} checks in {seconds} seconds: "
        f"{'every answer as described' if is_good else 'NOT every answer as described'}\n"
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
