"""The public pages in a browser: for everyone, on a phone and on paper, by keyboard, without scripts."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, Response

from tests.e2e.conftest import ROOT, eventually, free_port, is_complaint
from tests.e2e.in_pieces import in_pieces

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("public pages")]

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
# The narrowest screen that WCAG asks pages to fit: 1280 pixels magnified four times.
MAGNIFIED = {"width": 320, "height": 640}
# A4 between its margins, in pixels.
PORTRAIT, LANDSCAPE = 672, 1001
HEAVIEST = 60_000  # bytes of one page without its pictures, as transferred

# What a stranger can open; {names} are certificates of the made-up world, and links that its followers have.
PAGES = {
    "home": "/",
    "list": "/certified/",
    "list_second_page": "/certified/?page=2",
    "list_cards": "/certified/?view=cards",
    "list_filtered": "/certified/?kubernetes_version=1.35&status=suspended",
    "list_empty": "/certified/?search=zzz",
    "list_wrong_filter": "/certified/?on=31.12.2026",
    "list_past": "/certified/?on=2026-01-01",
    "list_future": "/certified/?on=2099-01-01",
    "certificate_active": "/certified/{active}/",
    "certificate_asked": "/certified/{active}/?on=2020-01-01",
    "certificate_expiring": "/certified/{expiring}/",
    "certificate_expired": "/certified/{expired}/",
    "certificate_suspended": "/certified/{suspended}/",
    "certificate_revoked": "/certified/{revoked}/",
    "certificate_superseded": "/certified/{superseded}/",
    "certificate_simulated": "/certified/{simulated}/",
    "certificate_imported": "/certified/{imported}/",
    "certificate_long": "/certified/{long}/",
    "certificate_chinese": "/certified/{chinese}/",
    "compare_none": "/compare/",
    "compare_two": "/compare/?c={active}&c={long}",
    "compare_too_many": (
        "/compare/?c={active}&c={long}&c={chinese}&c={revoked}&c={simulated}&c={best}&c=AIK-1999-0001"
    ),
    "matrix": "/matrix/?kubernetes_version=1.35",
    "matrix_empty": "/matrix/?kubernetes_version=1.20",
    "vendors": "/vendors/",
    "vendors_empty": "/vendors/?search=zzz",
    "vendor": "/vendors/acme-cloud/",
    "platform": "/vendors/acme-cloud/tundra/",
    "requirements": "/requirements/",
    "requirement": "/requirements/gang_scheduling/",
    "checklist": "/checklists/1.36/",
    "statistics": "/statistics/",
    "changes": "/changes/",
    "changes_empty": "/changes/?kind=revoked&since=2099-01-01",
    "changes_wrong_filter": "/changes/?since=tomorrow",
    "verify": "/verify/",
    "verify_yes": "/verify/?number={active}",
    "verify_no": "/verify/?number={revoked}",
    "verify_suspended": "/verify/?number={suspended}",
    "verify_unknown": "/verify/?number=AIK-1999-0001",
    "verify_wrong_date": "/verify/?number={active}&on=soon",
    "verify_platform": "/verify/?platform=Tundra",
    "verify_platform_unknown": "/verify/?platform=Atlantis",
    "verify_credential": "/verify/?credential=http://127.0.0.1:{port}/certified/{active}/",
    "verify_credential_simulated": "/verify/?credential=http://127.0.0.1:{port}/certified/{simulated}/",
    "list_japanese": "/ja/certified/",
    "certificate_in_chinese": "/zh-hans/certified/{active}/",
    "compare_japanese": "/ja/compare/?c={active}&c={long}",
    "statistics_chinese": "/zh-hans/statistics/",
    "follow": "/follow/",
    "follow_filtered": "/follow/?vendor=acme-cloud&kubernetes_version=1.35&search=tundra&workload=training",
    "follow_wrong_filter": "/follow/?kubernetes_version=new",
    "follow_confirm": "{confirm}",
    "follow_confirm_japanese": "{confirm_japanese}",
    "follow_manage": "{manage}",
    "follow_manage_chinese": "{manage_chinese}",
    "follow_manage_waiting": "{manage_waiting}",
    "follow_manage_failing": "{manage_failing}",
    "follow_manage_switched_off": "{manage_switched_off}",
    "follow_stop": "{stop}",
    "follow_ended": "{stop_ended}",
    "follow_gone": "/follow/manage/no-such-link/",
    "not_found": "/no-such-page/",
    "api": "/api/",
}
# What answers a form on the page of following: the field that is filled in, with what, and the button.
SENT = {
    "follow_sent": ("E-mail address", "grace@example.org", "Send me the link"),
    "follow_sent_wrong": ("E-mail address", "grace@example", "Send me the link"),
    # A public address, as it has to be. Nothing calls it: no worker runs here.
    "follow_webhook": (
        "Address of the receiver",
        f"https://1.1.1.1/{'changes-of-certificates/' * 6}",
        "Set up",
    ),
    "follow_webhook_wrong": ("Address of the receiver", "https://127.0.0.1/changes", "Set up"),
}
ALL = (*PAGES, *SENT)
# Those that are not answered with 200.
ANSWERED = {
    "not_found": 404,
    "follow_wrong_filter": 400,
    "follow_gone": 410,
    "follow_sent_wrong": 422,
    "follow_webhook_wrong": 422,
}
# So long that looking at everything four times takes minutes.
ENDLESS = {"api"}
# One of each kind, for what takes longer to try.
KINDS = (
    *("home", "list_cards", "certificate_active", "compare_two", "matrix", "vendor", "requirement"),
    *("checklist", "statistics", "changes", "verify_credential"),
    *("follow", "follow_confirm", "follow_manage", "follow_webhook"),
)


@dataclass(frozen=True)
class Site:
    """A portal that serves the made-up world."""

    port: int
    numbers: dict[str, str]
    manage: Callable[..., str]
    """Runs a management command against the portal's database; returns what it printed."""
    links: dict[str, str]
    """Ways to pages of followers, as a path."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def path(self, name: str) -> str:
        return PAGES[name].format(port=self.port, **self.numbers, **self.links)

    def run(self, call: str) -> Any:
        """What `call` returns within the portal: one of the functions here that are made for that."""
        name = call.partition("(")[0]
        code = f"import json; from {__name__} import {name}; print(json.dumps({call}))"
        return json.loads(self.manage("shell", "--verbosity", "0", "--command", code))

    def mailed(self, address: str, purpose: str) -> str:
        """Where the link of this purpose leads that stands in the newest mail to `address`."""
        with urlopen(f"{self.url}/outbox/", timeout=10) as response:
            mails = unescape(response.read().decode()).split("<article")
        for mail in mails:
            found = re.search(rf'href="{self.url}([^"]*/follow/{purpose}/[^"]+)"', mail)
            if f"To {address} " in mail and found is not None:
                return found[1]
        pytest.fail(f"no mail to {address} has a link to {purpose}")


# --- Run within the portal -------------------------------------------------------------------------------


def send_mails() -> int:
    """What the worker does for those who follow by mail: send what waits; returns how many mails."""
    from django.utils import timezone

    from registry import following_services as following
    from registry.following_models import Subscription

    rows = Subscription.objects.filter(channel=Subscription.Channel.EMAIL).order_by("pk")
    links = sum(following.send_link(subscription_id=row.pk) for row in rows)
    waiting = rows.filter(pk__in=Subscription.objects.waiting(timezone.now()))
    return links + sum(following.deliver(subscription_id=row.pk) > 0 for row in waiting)


def fill_with_followers() -> dict[str, str]:
    """Followers in every state. Returns the pages of webhooks, which their owners have seen once."""
    from django.conf import settings
    from django.utils import timezone

    from registry import following_services as following
    from registry.following import Scope
    from registry.following_mails import link_of
    from registry.following_models import Subscription

    def follower(email: str, language: str = "en", **asked: str) -> Subscription:
        query = Scope.read(asked).query
        following.sign_up_by_mail(email=email, query=query, kinds=[], language=language)
        return Subscription.objects.get(email=email, query=query)

    follower("new@example.org", vendor="acme-cloud", assurance="portal_verified")
    follower("hana@example.org", language="ja", kubernetes_version="1.35")
    followed = [
        follower("ada@example.org", vendor="acme-cloud"),
        follower("ada@example.org", search="HyperconvergedAcceleratedContainerOrchestrationPlatform"),
        follower("ada@example.org", kubernetes_version="1.36", workload="training"),
        follower("xing@example.org", language="zh-hans"),
        follower("gone@example.org"),
    ]
    send_mails()
    pages, tried = {}, {}
    for name, attempts in (("waiting", 0), ("failing", 1), ("switched_off", following.FAILURES_AT_MOST)):
        # This machine itself is never called: each attempt fails at once, and nothing leaves it.
        url = f"https://127.0.0.1/{name}/{'changes-of-certificates/' * 6}"
        webhook, _secret = following.sign_up_by_webhook(url=url, query="", kinds=[], language="en")
        following.send_link(subscription_id=webhook.pk)
        pages[f"manage_{name}"] = link_of(webhook, "manage").removeprefix(settings.SITE_URL)
        tried[webhook] = attempts
    for subscription in (*followed, *(webhook for webhook, attempts in tried.items() if attempts)):
        following.confirm(subscription=subscription)
    following.announce_changes()
    send_mails()
    for webhook, attempts in tried.items():
        for attempt in range(attempts):
            later = timezone.now() + 2 * attempt * following.PAUSES[-1]
            following.deliver(subscription_id=webhook.pk, now=later)
    return pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The web process alone, as the embedded portal starts it, over a registry that is full."""
    data_dir = tmp_path_factory.mktemp("public")
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "HOME": str(data_dir),
        "DATA_DIR": str(data_dir),
        "PORT": str(port),
        "EMBEDDED": "true",
        "LOG_LEVEL": "WARNING",
        # All of these tests come from one address.
        "FOLLOW_SIGNUPS_PER_HOUR": "1000",
    }

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("prepare_embedded")
    code = "import json; from tests.e2e.public_world import fill; print(json.dumps(fill()))"
    numbers = json.loads(manage("shell", "--verbosity", "0", "--command", code))
    links: dict[str, str] = {}
    found = Site(port, numbers, manage, links)
    links |= found.run("fill_with_followers()")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "certportal.wsgi", "--bind", f"127.0.0.1:{port}"),
            *("--workers", "1", "--threads", "4", "--log-level", "warning"),
        ],
        cwd=ROOT,
        env=environment,
    )
    try:
        eventually(lambda: answers(f"{found.url}/readyz"), 60, "ready")
        links |= {
            "confirm": found.mailed("new@example.org", "confirm"),
            "confirm_japanese": found.mailed("hana@example.org", "confirm"),
            "manage": found.mailed("ada@example.org", "manage"),
            "manage_chinese": found.mailed("xing@example.org", "manage"),
            "stop": found.mailed("ada@example.org", "stop"),
            "stop_ended": found.mailed("gone@example.org", "stop"),
        }
        with urlopen(f"{found.url}{links['stop_ended']}", data=b"", timeout=10) as response:
            assert response.status == 200
        yield found
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(address: str) -> bool:
    with contextlib.suppress(OSError), urlopen(address, timeout=2) as response:
        return bool(response.status == 200)
    return False


@pytest.fixture
def window(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a browser window; what its console complains about fails the test."""
    with contextlib.ExitStack() as stack:
        complaints: list[str] = []

        def open_window(**options: Any) -> Page:
            context = browser.new_context(**{"base_url": site.url, "viewport": DESKTOP, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on(
                "console", lambda message: complaints.append(message.text) if is_complaint(message) else None
            )
            page.on("pageerror", lambda error: complaints.append(str(error)))
            return page

        yield open_window
        # A page that is not there says so in the console; that is its answer, not a fault.
        assert [text for text in complaints if not re.search(r"status of (400|404|410)", text)] == []


def opening(page: Page, site: Site, name: str) -> Callable[[], Response | None]:
    """The last step to the page: open its address, or send the form that it answers, filled in already."""
    if name in PAGES:
        return lambda: page.goto(site.path(name))
    label, value, button = SENT[name]
    page.goto("/follow/?vendor=acme-cloud")
    page.get_by_label(label).fill(value)

    def send() -> Response | None:
        with page.expect_navigation() as found:
            page.get_by_role("button", name=button).click()
        return found.value

    return send


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds, best practices included; with `rules`, by these alone."""
    page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{broken['id']}: {node['target']} {node['failureSummary']}"
        for broken in found["violations"]
        for node in broken["nodes"]
    ]


def overflow(page: Page) -> list[str]:
    """Elements that reach beyond the right edge of the page and are not inside something that scrolls."""
    found: list[str] = page.evaluate(
        """() => {
          const width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= width) return [];
          const wide = [...document.body.querySelectorAll("*")].filter(
            (each) => each.getBoundingClientRect().right > width + 1 && !each.closest(".table-scroll, pre"));
          return ["page", ...wide.slice(0, 5).map((each) => each.outerHTML.slice(0, 160))];
        }"""
    )
    return found


def unfold(page: Page, at_most: int) -> None:
    page.evaluate(
        """(number) => {
          for (const each of [...document.querySelectorAll("details")].slice(0, number)) each.open = true;
        }""",
        at_most,
    )


@pytest.mark.parametrize("name", ALL)
def test_page_can_be_read_by_everyone(window: Callable[..., Page], site: Site, name: str) -> None:
    page = window()
    response = opening(page, site, name)()
    assert response is not None
    assert response.status == ANSWERED.get(name, 200)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for is_unfolded in (False, True):
            if is_unfolded:
                unfold(page, at_most=3 if name in ENDLESS else 1000)
            assert overflow(page) == []
        page.emulate_media(color_scheme="light")
        if name in ENDLESS and size == PHONE:
            # Its colours were looked at; what differs here is how much room there is.
            assert violations(page, "target-size", "scrollable-region-focusable") == []
            continue
        assert violations(page) == []
        page.emulate_media(color_scheme="dark")
        assert violations(page, "color-contrast") == []
    page.set_viewport_size(MAGNIFIED)  # type: ignore[arg-type]
    assert overflow(page) == []


DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def slow_line(site: Site) -> Iterator[str]:
    with in_pieces(site.port) as address:
        yield address


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_page_is_light_and_stands_still(
    window: Callable[..., Page], site: Site, slow_line: str, name: str, size: dict[str, int]
) -> None:
    page = window(viewport=size, base_url=slow_line)
    page.add_init_script(
        """window.shifts = [];
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) {
            const moved = entry.sources.map((each) => each.node?.outerHTML?.slice(0, 90));
            window.shifts.push([entry.value, ...moved]);
          }
        }).observe({type: "layout-shift", buffered: true});"""
    )
    open_it = opening(page, site, name)
    answered: list[Response] = []

    def keep(response: Response) -> None:
        answered.append(response)

    page.on("response", keep)
    open_it()
    page.evaluate(DRAWN)
    assert page.evaluate("window.shifts") == []
    sizes = {
        response.url.removeprefix(slow_line): sum(
            response.request.sizes()[part] for part in ("responseHeadersSize", "responseBodySize")
        )
        for response in answered
        if response.request.resource_type != "image"
    }
    assert {address for address in sizes if address.startswith("http")} == set()
    assert sum(sizes.values()) < HEAVIEST, sizes

    # Now the styles are at hand, and nothing but the page itself is waited for.
    opening(page, site, name)()
    page.evaluate(DRAWN)
    assert page.evaluate("window.shifts") == []


# --- By keyboard -------------------------------------------------------------------------------------------

FOCUSED = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const all = [...document.querySelectorAll("*")];
  return {
    place: all.indexOf(element),
    what: element.outerHTML.slice(0, 120),
    isBody: element === document.body,
    ring: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    isSeen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0
      && box.left < innerWidth,
  };
}"""
REACHABLE = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
  .filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.disabled)
  .length"""


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_tab_walks_through_the_page_in_its_order_and_is_seen(
    window: Callable[..., Page], site: Site, name: str, size: dict[str, int]
) -> None:
    page = window(viewport=size)
    opening(page, site, name)()
    reachable = page.evaluate(REACHABLE)
    assert page.locator("[tabindex]:not([tabindex='0'], [tabindex='-1'])").count() == 0
    places: list[int] = []
    # A date has three parts, each of which takes a Tab.
    for _ in range(reachable + 3 * page.locator("input[type=date]").count() + 1):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused["isBody"]:
            break
        assert focused["ring"] >= 2, focused["what"]
        assert focused["isSeen"], focused["what"]
        if not places or places[-1] != focused["place"]:
            places.append(focused["place"])
    assert places == sorted(places)
    assert len(places) == reachable


def test_skip_link_appears_and_leads_past_the_menu(window: Callable[..., Page], site: Site) -> None:
    page = window()
    page.goto(site.path("certificate_active"))
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    assert link.evaluate("each => each === document.activeElement && each.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_list_is_narrowed_down_and_sorted_by_keyboard(window: Callable[..., Page], site: Site) -> None:
    page = window(viewport=PHONE)
    page.goto(site.path("list"))
    page.locator(".facets__summary").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Suspended").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="1 certificate").wait_for()
    assert page.url.endswith("?status=suspended")
    # Where one was is where one goes on: the same choice, in the list that is still open.
    assert page.evaluate("document.activeElement.textContent").startswith("Suspended")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="30 certificates").wait_for()
    page.get_by_label("Order").focus()
    page.keyboard.type("Platform, A")
    page.wait_for_url("**ordering=platform_name*")
    assert page.locator("tbody th a").first.text_content() == "Compute Engine 1.0"
    assert page.evaluate("document.activeElement.name") == "ordering"


def test_wide_table_is_scrolled_by_keyboard(window: Callable[..., Page], site: Site) -> None:
    page = window(viewport=PHONE)
    page.goto(site.path("matrix"))
    region = page.get_by_role("region", name="Platforms by requirement")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    # The platform's name stays beside what is said of it.
    name = page.locator("tbody th").first.bounding_box()
    frame = region.bounding_box()
    assert name is not None
    assert frame is not None
    assert name["x"] == pytest.approx(frame["x"], abs=1)


def test_certificates_are_ticked_and_compared_by_keyboard(window: Callable[..., Page], site: Site) -> None:
    page = window()
    page.goto(site.path("list"))
    for number in (site.numbers["best"], site.numbers["renewal"]):
        page.locator(f"#pick-{number}").focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Compare the ticked ones").focus()
    page.keyboard.press("Enter")
    page.get_by_role("columnheader", name="Summit 4.2").wait_for()
    assert page.locator("thead th").count() == 2


# --- Without scripts, and on paper -----------------------------------------------------------------------


def test_everything_works_without_scripts(window: Callable[..., Page], site: Site) -> None:
    page = window(java_script_enabled=False, viewport=PHONE)
    page.goto(site.path("home"))
    page.get_by_label("Search").fill("tundra")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="2 certificates").wait_for()
    page.get_by_text("Narrow down").click()
    page.get_by_role("link", name="Superseded").first.click()
    page.get_by_role("heading", name="1 certificate").wait_for()
    page.locator(f"#pick-{site.numbers['superseded']}").check()
    page.get_by_role("button", name="Compare the ticked ones").click()
    page.get_by_label("Add a certificate by its number").fill(site.numbers["renewal"])
    page.get_by_role("button", name="Add").click()
    assert page.locator("thead th").count() == 2
    page.get_by_role("link", name="Tundra 1.0").first.click()
    page.get_by_text("What is required").first.click()
    assert page.locator(".requirement .prose").first.is_visible()
    # What only a script can do is not offered.
    assert page.locator("button:visible", has_text="Print").count() == 0
    page.get_by_role("link", name="Verify").click()
    page.get_by_label("Certificate number").fill(site.numbers["revoked"])
    page.get_by_role("button", name="Verify the number").click()
    page.get_by_text("was revoked").wait_for()


def test_changes_are_followed_and_given_up_without_scripts(window: Callable[..., Page], site: Site) -> None:
    page = window(java_script_enabled=False, viewport=PHONE)
    page.goto("/certified/?vendor=acme-cloud")
    page.get_by_role("main").get_by_role("link", name="Follow").first.click()
    page.get_by_label("E-mail address").fill("Joan@Example.org")
    page.get_by_role("button", name="Send me the link").click()
    page.get_by_role("heading", name="Look into your mailbox").wait_for()
    assert site.run("send_mails()") > 0
    page.goto(site.mailed("joan@example.org", "confirm"))
    page.get_by_text("They will be sent to joan@example.org until you end it.").wait_for()
    page.get_by_role("button", name="Yes, follow").click()
    page.get_by_role("heading", name="These changes").wait_for()
    page.get_by_label("Superseded").uncheck()
    page.get_by_role("button", name="Save").click()
    page.reload()
    assert page.locator("input[name=kinds]:not(:checked)").count() == 1
    assert not page.get_by_label("Superseded").is_checked()
    page.get_by_role("button", name="End this").click()
    page.get_by_role("heading", name="It has been ended").wait_for()
    page.go_back()
    page.reload()
    page.get_by_role("heading", name="This link no longer leads anywhere").wait_for()


@pytest.mark.parametrize("name", KINDS)
def test_page_is_fit_for_paper(window: Callable[..., Page], site: Site, name: str, tmp_path: Path) -> None:
    page = window(
        color_scheme="dark", viewport={"width": LANDSCAPE if name == "matrix" else PORTRAIT, "height": 900}
    )
    opening(page, site, name)()
    on_screen = page.locator("tbody tr:visible, .card:visible, .requirement:visible").count()
    page.emulate_media(media="print")
    assert page.locator("nav:visible, button:visible, .skip-link:visible").count() == 0
    # All that is said is on the paper, and none of it is beyond its edge.
    assert page.locator("tbody tr:visible, .card:visible, .requirement:visible").count() >= on_screen
    assert overflow(page) == []
    for table in page.locator(".table-scroll").all():
        assert table.evaluate("each => each.scrollWidth - each.clientWidth") <= 1
    # Dark pages are printed black on white all the same.
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    target = tmp_path / "page.pdf"
    page.pdf(path=target, format="A4", prefer_css_page_size=True)
    text = subprocess.run(
        ["pdftotext", "-layout", target, "-"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    sheets = [sheet for sheet in text.split("\f")[:-1] if not sheet.strip()]
    assert sheets == []
    heading = page.locator("h1").inner_text().split()[0]
    assert heading in text
