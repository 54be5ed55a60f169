"""How fast the public registry is: cached beside nginx, and uncached at a thousand, 100,000 and a million.

Run it with ``python benchmarks/registry.py [--sizes 1000,100000,1000000] [--database URL]``. It needs
PostgreSQL, nginx and wrk on this machine, and makes and drops databases of its own, one for each size;
filling in a million takes some minutes. gunicorn serves the portal as in production, for all sizes side by
side, and nginx the bytes from disk in the same run: only their ratio says anything about another machine.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

DEFAULT_DATABASE = "postgresql://postgres@127.0.0.1/postgres"
SECONDS = 4
CONNECTIONS = 16
ROUNDS = 25  # times each address is asked for a median
NGINX_SHARE = 0.25
LIMIT_MS = 25.0
LIMIT_GROWTH = 1.5
FILTERED = (
    "/certified/?vendor=vendor-3",
    "/certified/?status=active",
    "/certified/?kubernetes_version=1.35&status=active",
    "/certified/?assurance=portal_verified&kubernetes_version=1.36",
    "/certified/?requirement=gang_scheduling&status=active",
    "/certified/?search=harbour",
    "/certified/?search=platform+17&status=active",
    "/certified/?workload=training&ordering=platform_name",
    "/certified/?status=expiring",
    "/certified/?configuration=air-gapped&ordering=expires_on",
)
API = ("/api/v1/certifications/?vendor=vendor-3", "/api/v1/certifications/?status=active&page_size=25")

# One certificate in many words: a vendor of about five hundred, versions, statuses and requirements mixed.
FILL = """
INSERT INTO registry_certificate (
    number, status, vendor, vendor_slug, platform_name, platform_slug, platform_version, configuration,
    kubernetes_version, checklist_revision, checklist_digest, assurance, issued_on, expires_on, description,
    website_url, documentation_url, repo_url, logo_url, base_conformance_url, base_platform, simulated,
    imported, findings, run_digest, source, created_at, updated_at, changed_on, requirement_count,
    verified_count, vendor_run_count, attested_count, waived_count, failed_count, met, workloads
)
SELECT
    'BENCH-' || n, s, 'Vendor ' || v || ' ' || (ARRAY['Works','Cloud','Systems','Harbour'])[1 + v % 4],
    'vendor-' || v,
    (ARRAY['Harbour','Fjord','Quartz','Meridian','Lagoon'])[1 + n % 5] || ' Platform ' || n % 97,
    'platform-' || n % 97, '1.' || n, (ARRAY['default','default','default','air-gapped','edge'])[1 + h % 5],
    (ARRAY['1.33','1.34','1.35','1.36','1.37'])[1 + h / 7 % 5], 1, '',
    (ARRAY['self_attested','self_attested','vendor_run','portal_verified'])[1 + h / 11 % 4],
    i, i + 365, 'Runs training and inference on number ' || n || '.', '', '', '', '', '', '', false, false,
    '[]', '', gen_random_uuid(), now(), now(), i, 14, 4, 3, 6, 1, 0, m, ' inference mlops training '
FROM (
    SELECT n, h, i, 1 + h % {vendors} AS v,
        CASE WHEN i + 365 <= current_date THEN 'expired' WHEN h / 13 % 100 < 90 THEN 'active'
             WHEN h / 13 % 100 < 92 THEN 'suspended' WHEN h / 13 % 100 < 95 THEN 'revoked' ELSE 'superseded'
        END AS s,
        CASE WHEN h / 17 % 3 = 0 THEN ' accelerator_metrics ai_inference gang_scheduling robust_controller '
             ELSE ' accelerator_metrics ai_inference dra_support gang_scheduling pod_autoscaling ' END AS m
    FROM (
        SELECT n, abs(hashint4(n)) AS h, current_date - abs(hashint4(n + 1)) % 600 AS i
        FROM generate_series({first}, {last}) AS n
    ) AS numbers
) AS certificates
"""
HISTORY = """
INSERT INTO registry_certificateevent (certificate_id, kind, status, effective_on, recorded_at, reason)
SELECT id, 'issued', 'active', issued_on, now(), '' FROM registry_certificate WHERE number IN (
    SELECT 'BENCH-' || n FROM generate_series({first}, {last}) AS n)
"""
REQUIREMENTS = """
INSERT INTO registry_certificaterequirement (
    certificate_id, requirement_id, category, description, level, position, claim, notes, evidence, verdict,
    verdict_reason, verdict_message, assurance, waived, waiver_reason
)
SELECT id, btrim(r), 'schedulingOrchestration', 'What is asked of the platform.', 'MUST', p, 'Implemented',
    '', '["https://docs.example.org/"]', '', '', '', 'self_attested', false, ''
FROM registry_certificate, string_to_table(btrim(met), ' ') WITH ORDINALITY AS met(r, p)
WHERE number IN (SELECT 'BENCH-' || n FROM generate_series({first}, {last}) AS n)
"""
TALLY = """
TRUNCATE registry_tally;
INSERT INTO registry_tally (facet, value, label, status, number)
SELECT facet, value, max(label), coalesce(status, ''), count(*) FROM (
    SELECT 'all' AS facet, '' AS value, '' AS label, status FROM registry_certificate
    UNION ALL SELECT 'vendor', vendor_slug, vendor, status FROM registry_certificate
    UNION ALL
    SELECT 'kubernetes_version', kubernetes_version, kubernetes_version, status FROM registry_certificate
    UNION ALL SELECT 'assurance', assurance, assurance, status FROM registry_certificate
    UNION ALL SELECT 'configuration', configuration, configuration, status FROM registry_certificate
    UNION ALL SELECT 'workload', w, w, status FROM registry_certificate, unnest(workload_ids) AS w
    UNION ALL SELECT 'requirement', r, r, status FROM registry_certificate, unnest(met_ids) AS r
) AS every GROUP BY GROUPING SETS ((facet, value, status), (facet, value));
UPDATE registry_registrystate SET version = version + 1, changed_at = now();
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def own_database(url: str) -> Iterator[str]:
    """A fresh database beside the one `url` names, dropped at the end."""
    name = f"certportal_bench_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(url, autocommit=True) as link:
            link.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def fill(url: str, number: int) -> float:
    """Put so many certificates into the database; returns the seconds it took."""
    started = time.monotonic()
    first, last, vendors = 1, number, max(20, number // 500)
    with psycopg.connect(url, autocommit=True) as link:
        for statement in (FILL, HISTORY, REQUIREMENTS):
            link.execute(statement.format(first=first, last=last, vendors=vendors))
        link.execute(TALLY)
        link.execute("VACUUM ANALYZE")
    return time.monotonic() - started


@contextlib.contextmanager
def running(command: Sequence[str], port: int, path: str, environment: dict[str, str]) -> Iterator[None]:
    """A server that answers on `port` while the block runs."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if get(port, path)[0] == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not answer {path}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def get(port: int, path: str) -> tuple[int, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request("GET", path)
    answer = link.getresponse()
    found = answer.status, answer.read()
    link.close()
    return found


def portal(
    port: int, environment: dict[str, str], *, cached: bool
) -> contextlib.AbstractContextManager[None]:
    """The portal behind gunicorn as the container starts it, with a process for each core."""
    command = [sys.executable, "-m", "gunicorn", "--config", "python:certportal.gunicorn", "certportal.wsgi"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(os.cpu_count() or 1), "--log-level", "error"]
    megabytes = "64" if cached else "0"
    return running(command, port, "/robots.txt", {**environment, "SITE_CACHE_MEGABYTES": megabytes})


def medians_ms(ports: Sequence[int], paths: Sequence[str]) -> list[float]:
    """Milliseconds of an answer at the median, for each portal, over one connection each.

    The portals are asked for every path one right after the other, so that a machine that is slow for a
    while is slow for all of them.
    """
    links = [http.client.HTTPConnection("127.0.0.1", port, timeout=120) for port in ports]
    taken: list[list[float]] = [[] for _ in ports]
    for turn in range(ROUNDS + 2):
        for path in paths:
            for link, own in zip(links, taken, strict=True):
                started = time.perf_counter()
                link.request("GET", path)
                answer = link.getresponse()
                answer.read()
                if answer.status != 200:
                    raise SystemExit(f"{path} answered {answer.status}")
                if turn > 1:
                    own.append((time.perf_counter() - started) * 1000)
    for link in links:
        link.close()
    return [statistics.median(own) for own in taken]


def requests_a_second(port: int, path: str) -> float:
    """What wrk counts."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise SystemExit(f"{path}: {said}")
    match = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    if match is None:
        raise SystemExit(said)
    return float(match[1])


def nginx(folder: Path, port: int) -> contextlib.AbstractContextManager[None]:
    """Serve with nginx, with as many processes, serving `folder`."""
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / name).mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder / name};"
        for kind, name in (
            ("client_body", "body"),
            ("proxy", "proxy"),
            ("fastcgi", "fastcgi"),
            ("uwsgi", "uwsgi"),
            ("scgi", "scgi"),
        )
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes {os.cpu_count() or 1}; pid {folder / 'nginx.pid'};"
        f"error_log {folder / 'error.log'}; user root;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; sendfile on; {temporary} types {{ text/html html; image/svg+xml svg; }}"
        f"server {{ listen 127.0.0.1:{port}; root {folder / 'www'}; }} }}"
    )
    return running(["nginx", "-c", str(config), "-p", str(folder)], port, "/list.html", dict(os.environ))


def beside_nginx(environment: dict[str, str], number: str) -> bool:
    """Print the throughput of cached answers as a share of nginx's; whether each is large enough."""
    places = {
        "list": ("/certified/", "list.html"),
        "detail": (f"/certified/{number}/", "detail.html"),
        "badge": (f"/api/v1/certifications/{number}/badge.svg", "badge.svg"),
    }
    ours, theirs = free_port(), free_port()
    good = True
    with tempfile.TemporaryDirectory() as scratch, portal(ours, environment, cached=True):
        folder = Path(scratch)
        (folder / "www").mkdir()
        for path, name in places.values():
            (folder / "www" / name).write_bytes(get(ours, path)[1])
        with nginx(folder, theirs):
            print(
                f"\n{'from the cache':12}{'bytes':>9}{'portal/s':>11}{'nginx/s':>10}{'share':>8}   at least"
            )
            for name, (path, file) in places.items():
                shares = []
                for _ in range(3):
                    own, other = requests_a_second(ours, path), requests_a_second(theirs, f"/{file}")
                    shares.append((own / other, own, other))
                share, own, other = sorted(shares)[1]
                size = (folder / "www" / file).stat().st_size
                print(f"{name:14}{size:>9}{own:>11.0f}{other:>10.0f}{share:>8.2f}   {NGINX_SHARE}")
                good &= share >= NGINX_SHARE
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--database", default=DEFAULT_DATABASE)
    parser.add_argument("--each", action="store_true", help="print every address by itself")
    options = parser.parse_args()
    for tool in ("nginx", "wrk"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not installed: apt-get install nginx-light wrk")
    sizes = sorted(int(size) for size in options.sizes.split(","))
    good = True
    with contextlib.ExitStack() as stack:
        common = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory()),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_KEYS": _field_key(),
            "ALLOWED_HOSTS": "127.0.0.1",
            "API_RATE_LIMIT": "0",
            "LOG_LEVEL": "WARNING",
        }
        environments = []
        for size in sizes:
            url = stack.enter_context(own_database(options.database))
            environments.append({**common, "DATABASE_URL": url})
            _manage(environments[-1], "migrate", "-v0")
            print(f"{size:,} certificates filled in within {fill(url, size):.0f} s")
        _manage(environments[0], "collectstatic", "--no-input", "-v0")
        good &= _by_size(environments, sizes, each=options.each)
        good &= beside_nginx(environments[0], "BENCH-1")
    if not good:
        raise SystemExit("\nsome figures are outside their limits")


def _manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)


def _by_size(environments: Sequence[dict[str, str]], sizes: Sequence[int], *, each: bool) -> bool:
    """Print the time of uncached answers at every size, side by side; whether they are within the limits."""
    ports = [free_port() for _ in sizes]
    with contextlib.ExitStack() as stack:
        for port, environment in zip(ports, environments, strict=True):
            stack.enter_context(portal(port, environment, cached=False))
        print(
            f"\n{'milliseconds at the median, certificates:':<64}" + "".join(f"{size:>12,}" for size in sizes)
        )

        def measured(what: str, paths: Sequence[str]) -> list[float]:
            found = medians_ms(ports, paths)
            print(f"{what:<64}" + "".join(f"{value:>12.1f}" for value in found))
            return found

        measured("an answer that is always the same", ("/robots.txt",))
        listed = dict(zip(sizes, measured("filtered list", FILTERED), strict=True))
        measured("filtered list of the API", API)
        for path in FILTERED if each else ():
            measured(f"  {path}", (path,))
    good = True
    if 100_000 in listed:
        good &= listed[100_000] <= LIMIT_MS
        print(f"list at 100,000: {listed[100_000]:.1f} ms, at most {LIMIT_MS}")
    if len(listed) > 1:
        growth = listed[sizes[-1]] / listed[sizes[0]]
        good &= growth <= LIMIT_GROWTH
        print(f"list at {sizes[-1]:,} to list at {sizes[0]:,}: {growth:.2f}, at most {LIMIT_GROWTH}")
    return good


def _field_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


if __name__ == "__main__":
    main()
