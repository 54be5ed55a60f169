"""The public pages in three languages: nothing is left in English but what is meant to be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import date, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from django.template import engines
from django.test import Client, RequestFactory
from django.utils import translation

from certportal.api.problems import server_error
from certportal.languages import path_in
from conformance import credentials as formats
from registry import findings
from registry.models import Certificate
from registry.templatetags.portal import as_given, dated, day, joined, short_day
from tests import translating
from tests.registry.factories import CertificateFactory, ChecklistFactory, RequirementSnapshotFactory

OTHERS = {"ja": "ja", "zh-hans": "zh-Hans"}
FILES = {"ja": "ja", "zh-hans": "zh_Hans"}
CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
# What every language writes alike: names of things, formats and levels.
ALIKE = re.compile(
    r"certportal|Kubernetes|English|MUST|SHOULD|API|JSON Feed|JSONL?|CSV|YAML|HTML|Markdown|Atom|PDF|JWT"
    r"|Webhook|Operator"
    r"|AIK-[0-9-]+|https?://\S*|/\.well-known/\S+|[0-9a-f]{64}|results/junit\.xml"
    # and what the certificates of these tests are called
    r"|[Hh]arbour|Old Harbour|Acme Cloud|Fjord|Quartz|Meridian|Lagoon|Tundra|Solo|[Nn]owhere|default"
    r"|air-gapped"
)
PAGES = (
    *("/", "/certified/", "/certified/?view=cards", "/certified/?search=nowhere", "/certified/?on=never"),
    *("/certified/?on=2026-03-10", "/certified/?on=2027-01-10&status=active", "/certified/?status=expiring"),
    *("/certified/{active}/", "/certified/{suspended}/", "/certified/{revoked}/?on=2026-03-20"),
    *("/certified/{expired}/?on=2027-01-01", "/certified/{superseded}/", "/certified/{renewal}/"),
    *("/certified/{solo}/", "/certified/{active}/?on=never"),
    *("/compare/", "/compare/?c={active}&c={solo}&c={expired}&c=AIK-2020-0001", "/matrix/"),
    "/matrix/?kubernetes_version=1.20",
    *("/verify/", "/verify/?number={active}", "/verify/?number=AIK-2020-0001", "/verify/?number="),
    *("/verify/?number={active}&on=2025-01-01", "/verify/?number={active}&on=2026-12-01"),
    *("/verify/?number={superseded}", "/verify/?number={expired}", "/verify/?number={revoked}"),
    *("/verify/?number={suspended}", "/verify/?number={suspended}&on=2026-06-10"),
    *("/verify/?platform=Harbour", "/verify/?platform=Nowhere&version=2", "/verify/?platform=Quartz"),
    *("/verify/?credential={site}/certified/{active}/", "/verify/?credential=eyJhbGciOi.e30.c2ln"),
    *("/verify/?credential=https://elsewhere.example/", "/verify/?credential="),
    *("/vendors/", "/vendors/?search=nowhere", "/vendors/acme-cloud/", "/vendors/acme-cloud/quartz/"),
    *("/requirements/", "/requirements/gang_scheduling/", "/requirements/cluster_autoscaling/"),
    *("/requirements/dra_support/", "/checklists/1.37/", "/checklists/1.36/?from=1.37"),
    *("/follow/", "/follow/?vendor=acme-cloud&search=harbour", "/follow/confirm/nonsense/"),
    *("/statistics/", "/changes/", "/changes/?vendor=nowhere", "/changes/?since=never", "/no-such-page/"),
)
# Those that are not answered with 200.
ANSWERED = {"/no-such-page/": 404, "/follow/confirm/nonsense/": 410}


class Words(HTMLParser):
    """What a page says, by the language in which it says to say it."""

    SAID_BY_ATTRIBUTE = ("aria-label", "alt", "title", "placeholder", "data-label")
    EMPTY = frozenset({"meta", "link", "img", "input", "br", "hr"})
    # Code is code in every language; what one typed comes back as it was.
    SILENT = frozenset({"script", "style", "code", "textarea"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.said: list[tuple[str, str]] = []
        self.feed(text)

    @property
    def language(self) -> str:
        return self.open[-1][1] if self.open else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        language = attributes.get("lang") or self.language
        for name in self.SAID_BY_ATTRIBUTE:
            self.said.append((language, attributes.get(name) or ""))
        if tag == "meta" and attributes.get("name") == "description":
            self.said.append((language, attributes.get("content") or ""))
        if tag not in self.EMPTY:
            self.open.append((tag, language))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(tag in self.SILENT for tag, _language in self.open):
            self.said.append((self.language, data))


def in_english(text: str, tag: str) -> list[str]:
    """What a page in another language says in English without saying that it does."""
    found = [words for language, words in Words(text).said if language == tag]
    return [words.strip() for words in found if _is_english(ALIKE.sub("", words))]


def _is_english(words: str) -> bool:
    """Among words of another language a name of two may stand; more in a row would be a sentence."""
    return bool(re.search("(?:[A-Za-z]+ ){2}[A-Za-z]+" if CJK.search(words) else "[A-Za-z]{2}", words))


@pytest.fixture
def world(registry: dict[str, str]) -> dict[str, str]:
    """The registry with checklists, and a certificate of everything that the others lack."""
    for version in ("1.35", "1.36", "1.37"):
        ChecklistFactory(version=version)
    solo = CertificateFactory(
        platform_name="Solo",
        kubernetes_version="1.36",
        configuration="air-gapped",
        description="Words of the vendor.",
        base_platform="Harbour",
        imported=True,
        findings=[
            {"code": "a", "severity": "error", "message": "Found.", "path": "b", "line": 3, "column": 2},
            {"code": "c", "severity": "warning", "message": "Found.", "path": "", "line": 4, "column": None},
        ],
        requirements=[
            RequirementSnapshotFactory(unclaimed=True),
            RequirementSnapshotFactory(
                requirement_id="ai_inference", category="networking", verdict="fail", verdict_message="Seen."
            ),
        ],
    )
    return {**registry, "solo": solo.number, "site": "http://127.0.0.1:8000"}


# --- The translations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("language", translating.LANGUAGES)
def test_translation_has_everything_that_is_said(language: str) -> None:
    catalog = translating.in_step(language, translating.read(language))
    assert translating.untranslated(catalog) == []


@pytest.mark.parametrize("language", translating.LANGUAGES)
def test_translation_keeps_placeholders_and_elements(language: str) -> None:
    assert translating.astray(translating.read(language)) == []


@pytest.mark.parametrize("language", translating.LANGUAGES)
def test_compiled_translation_is_what_its_source_compiles_to(language: str) -> None:
    compiled = translating.catalogue_path(language).with_suffix(".mo").read_bytes()
    assert compiled == translating.compiled(translating.read(language))


def test_messages_are_found_wherever_a_template_has_them() -> None:
    source = """{% load i18n %}{% translate "one" %}{% if x == _("two") %}{% for y in z %}
        {% blocktranslate count n=1 with a=b|default:_("three") trimmed %}
          {{ n }} four
        {% plural %}{{ n }} fours{% endblocktranslate %}{% endfor %}{% endif %}
        {% include "components/empty.html" with title=_("five") only %}
        {% translate "six" context "seven" %}"""
    template = engines["django"].from_string(source).template
    with translation.override("en"):
        found = set(translating.said_in_template(template))
    said = translating.Said
    assert found == {
        *(said("one"), said("two"), said("three"), said("five"), said("six", context="seven")),
        said("%(n)s four", "%(n)s fours"),
    }


def test_messages_are_found_in_code() -> None:
    source = '_("a" "b")\nngettext("c", "d", n)\nnpgettext("e", "f", "g", n)\n_(variable)\nother("h")'
    said = translating.Said
    assert set(translating.said_in_code(source)) == {said("ab"), said("c", "d"), said("f", "g", "e")}


def _sentences_of_the_engine() -> Iterator[str]:
    """Every sentence the engine says of a credential; those on status lists are never shown here."""
    tree = ast.parse(Path(formats.__file__).read_text())
    of_lists = {"_status", "read_keys", "read_list", "_list_in", "unpack_bits", "of", "is_set"}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in (function for function in functions if function.name not in of_lists):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if getattr(call.func, "id", "") in {"CredentialError", "_passed", "Step"}:
                last = call.args[-1]
                if isinstance(last, ast.Constant):
                    yield str(last.value)
                elif isinstance(last, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "x" for part in last.values]
                    yield "".join(map(str, parts))


@pytest.mark.parametrize("language", OTHERS)
def test_every_finding_of_the_engine_is_said_in_the_language_of_the_page(language: str) -> None:
    sentences = list(_sentences_of_the_engine())
    with translation.override(language):
        unknown = [text for text in sentences if not CJK.search(findings.in_page_language(text))]
    assert len(sentences) > 20
    assert unknown == []


def test_finding_keeps_what_it_names() -> None:
    with translation.override("ja"):
        said = findings.in_page_language("It was issued by https://a.example, not by https://b.example.")
    assert said == "https://b.exampleではなく、https://a.exampleが発行したものです。"


# --- The pages -------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("language", OTHERS)
def test_no_page_is_left_in_english(client: Client, world: dict[str, str], language: str) -> None:
    left = {}
    for page in PAGES:
        path = path_in(page.format(**world), language)
        response = client.get(path)
        assert response.status_code == ANSWERED.get(page, 200), path
        assert response["Content-Language"] == OTHERS[language]
        text = response.content.decode()
        assert f'<html lang="{OTHERS[language]}">' in text
        if found := in_english(text, OTHERS[language]):
            left[path] = found
    assert left == {}


@pytest.mark.django_db
def test_english_pages_hold_no_other_language_but_its_names(client: Client, world: dict[str, str]) -> None:
    for page in PAGES:
        response = client.get(page.format(**world))
        assert response["Content-Language"] == "en"
        foreign = [words for _language, words in Words(response.content.decode()).said if CJK.search(words)]
        assert foreign == ["简体中文", "日本語"], page


@pytest.mark.django_db
@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("page", ["login", "signup", "password/reset"])
def test_account_page_is_in_the_language_of_its_address(client: Client, language: str, page: str) -> None:
    text = client.get(f"/{language}/accounts/{page}/").content.decode()
    assert in_english(text, OTHERS[language]) == []


def test_page_of_our_own_error_is_in_the_language_of_its_address(rf: RequestFactory) -> None:
    for language, tag in {"en": "en", **OTHERS}.items():
        with translation.override(language):
            text = server_error(rf.get("/")).content.decode()
        assert f'<html lang="{tag}">' in text
        assert tag == "en" or in_english(text, tag) == []
        assert ("In case of doubt" in text, "疑义" in text, "疑義" in text) == (
            *(False, tag == "zh-Hans", tag == "ja"),
        )


@pytest.mark.django_db
def test_words_of_a_vendor_are_marked_as_english_elsewhere(client: Client, world: dict[str, str]) -> None:
    elsewhere = client.get(f"/ja/certified/{world['solo']}/").content.decode()
    assert ("en", "Words of the vendor.") in Words(elsewhere).said
    assert ("en", "Seen.") in Words(elsewhere).said
    assert (
        '<p class="prose">Words of the vendor.</p>'
        in client.get(f"/certified/{world['solo']}/").content.decode()
    )


@pytest.mark.django_db
def test_parts_of_a_list_are_kept_for_each_language(client: Client, world: dict[str, str]) -> None:
    first, second, third = (client.get(f"{prefix}/certified/").content for prefix in ("", "/ja", ""))
    assert "None verified" not in second.decode()
    assert "すべて" in second.decode()
    assert first == third


# --- Addresses -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_address_alone_decides_the_language(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/certified/", headers={"Accept-Language": "ja"})
    assert response["Content-Language"] == "en"
    assert "Accept-Language" not in response["Vary"]
    assert "Accept-Language" not in client.get("/ja/certified/", headers={"Accept-Language": "zh"})["Vary"]
    assert translation.get_language() == "en"


@pytest.mark.django_db
def test_page_names_itself_in_all_languages(client: Client, registry: dict[str, str]) -> None:
    text = client.get("/ja/matrix/?kubernetes_version=1.36&page=1&utm=x").content.decode()
    site = "http://127.0.0.1:8000"
    query = "?kubernetes_version=1.36&amp;page=1"
    links = dict(re.findall(r'<link rel="alternate" hreflang="([^"]+)" href="([^"]+)">', text))
    assert f'<link rel="canonical" href="{site}/ja/matrix/{query}">' in text
    assert links == {
        "en": f"{site}/matrix/{query}",
        "zh-Hans": f"{site}/zh-hans/matrix/{query}",
        "ja": f"{site}/ja/matrix/{query}",
        "x-default": f"{site}/matrix/{query}",
    }


@pytest.mark.django_db
def test_chooser_leads_to_the_same_page_with_the_same_question(
    client: Client, registry: dict[str, str]
) -> None:
    text = client.get("/zh-hans/certified/?status=active").content.decode()
    links = re.findall(r'<li><a href="([^"]+)" lang="([^"]+)" hreflang="[^"]+"([^>]*)>([^<]+)</a></li>', text)
    assert links == [
        ("/certified/?status=active", "en", "", "English"),
        ("/zh-hans/certified/?status=active", "zh-Hans", ' aria-current="true"', "简体中文"),
        ("/ja/certified/?status=active", "ja", "", "日本語"),
    ]


@pytest.mark.django_db
def test_chooser_leads_from_an_english_page_to_the_first_one(client: Client) -> None:
    text = client.get("/api/").content.decode()
    assert '<html lang="en">' in text
    assert '<a href="/ja/" lang="ja" hreflang="ja">日本語</a>' in text
    assert "hreflang=" not in text.split("</head>")[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/fr/certified/",
        "/en/certified/",
        "/ja/changes/feed.atom",
        "/ja/robots.txt",
        "/ja/vendor/",
        "/ja/api/",
    ],
)
def test_address_without_that_language_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.django_db
def test_address_without_its_slash_leads_to_the_page(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/ja/vendors")
    assert (response.status_code, response["Location"]) == (301, "/ja/vendors/")
    assert client.get("/ja")["Location"] == "/ja/"


@pytest.mark.django_db
def test_fragment_stays_in_the_language_of_its_page(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/ja/certified/?search=harbour&vendor=", headers={"HX-Request": "true"})
    text = response.content.decode()
    assert "<html" not in text
    assert "認定証 1件" in text
    assert f'href="/ja/certified/{registry["active"]}/"' in text
    assert response["HX-Push-Url"] == "/ja/certified/?search=harbour"


@pytest.mark.django_db
def test_feed_and_api_stay_english(client: Client, registry: dict[str, str]) -> None:
    client.get("/ja/changes/")
    for path in ("/changes/feed.atom", "/changes/feed.json", "/api/v1/certifications/"):
        response = client.get(path, headers={"Accept-Language": "ja"})
        assert response["Content-Language"] == "en"
        assert not CJK.search(response.content.decode())
        assert "/ja/" not in response.content.decode()


@pytest.mark.django_db
def test_credential_is_the_same_from_a_page_in_any_language(client: Client, registry: dict[str, str]) -> None:
    question = f"credential=http://127.0.0.1:8000/ja/certified/{registry['active']}/"
    text = client.get(f"/ja/verify/?{question}").content.decode()
    assert "本物で、本日有効です" in text
    badge_code = client.get(f"/ja/certified/{registry['active']}/").content.decode()
    page = f"http://127.0.0.1:8000/certified/{registry['active']}/"
    assert f"&lt;a href=&quot;{page}&quot;&gt;" in badge_code


@pytest.mark.django_db
def test_site_map_has_every_page_in_every_language(client: Client, world: dict[str, str]) -> None:
    spaces = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9", "x": "http://www.w3.org/1999/xhtml"}
    site = "http://127.0.0.1:8000"
    seen = []
    first = Certificate.objects.earliest("pk").pk
    for part in ("pages", str(first // 1000)):
        tree = ET.fromstring(client.get(f"/sitemap-{part}.xml").content)  # noqa: S314 - our own
        for url in tree.findall("s:url", spaces):
            place = url.findtext("s:loc", "", spaces)
            others = {link.get("hreflang"): link.get("href") for link in url.findall("x:link", spaces)}
            if others:
                assert set(others) == {"en", "zh-Hans", "ja", "x-default"}
                assert place in others.values()
            seen.append(place.removeprefix(site))
    assert {"/", "/ja/", "/zh-hans/", "/ja/matrix/", "/zh-hans/checklists/1.36/"} <= set(seen)
    assert f"/ja/certified/{world['active']}/" in seen
    for path in (path for path in seen if path.startswith("/ja/")):
        assert client.get(path).status_code == 200, path


@pytest.mark.django_db
def test_robots_leave_filters_alone_in_every_language(client: Client) -> None:
    rules = client.get("/robots.txt").content.decode().splitlines()
    for prefix in ("", "/ja", "/zh-hans"):
        assert f"Disallow: {prefix}/certified/*?" in rules
        assert f"Disallow: {prefix}/accounts/" in rules


# --- Words ---------------------------------------------------------------------------------------------


def test_day_is_written_as_the_language_writes_it() -> None:
    moment = date(2026, 3, 1)
    assert (day(moment), short_day(moment)) == ("1 March 2026", "1 Mar 2026")
    assert dated(moment) == '<time datetime="2026-03-01">1 March 2026</time>'
    for language in OTHERS:
        with translation.override(language):
            assert dated(moment) == '<time datetime="2026-03-01">2026年3月1日</time>'


def test_words_are_joined_as_the_language_joins_them() -> None:
    assert joined(["a", "b"]) == "a, b"
    with translation.override("ja"):
        assert joined(["a", "b"]) == "a、b"
        assert as_given() == ' lang="en"'
    assert as_given() == ""


@pytest.mark.django_db
@pytest.mark.parametrize(("prefix", "one", "more"), [("", "1 certificate", "8 certificates")])
def test_number_takes_its_plural(
    client: Client, world: dict[str, str], today: datetime, prefix: str, one: str, more: str
) -> None:
    assert one in client.get(f"{prefix}/certified/?search=harbour&vendor=old-harbour").content.decode()
    assert more in client.get(f"{prefix}/certified/").content.decode()
    assert "認定証 8件" in client.get("/ja/certified/").content.decode()
    assert "8 份证书" in client.get("/zh-hans/certified/").content.decode()
