"""The evidence of a requirement: links, files of the submission, and tests in them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from conformance.artefacts import FlawCode, Results, Verdict
from conformance.catalogue import MAPPED_TESTS, REQUIREMENTS
from conformance.document import evidence_texts, field_text
from conformance.rules.files import EvidenceRefused
from conformance.rules.findings import Case, kind_words
from conformance.rules.links import host_of, is_placeholder, is_sample_host, url_fault
from conformance.rules.notes import says_nothing
from conformance.yaml_reader import Node, Scalar, ScalarKind, Sequence, quoted

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILE_ENDINGS: Final = frozenset(
    [
        "adoc",
        "csv",
        "gif",
        "gz",
        "htm",
        "html",
        "jpeg",
        "jpg",
        "json",
        "jsonl",
        "log",
        "md",
        "markdown",
        "out",
        "pdf",
        "png",
        "rst",
        "svg",
        "tar",
        "tgz",
        "txt",
        "webp",
        "xml",
        "yaml",
        "yml",
        "zip",
    ]
)
_EMBEDDED_LINK: Final = re.compile(r"https?://[^\s<>\"'()\[\]]+", re.IGNORECASE)
_EMBEDDED_FILE: Final = re.compile(
    r"(?<![\w/.-])((?:\.{0,2}/)?[\w.-]+(?:/[\w.-]+)*\.(?:"
    + "|".join(sorted(_FILE_ENDINGS))
    + r"))(?![\w/-])",
    re.IGNORECASE,
)
_HOST_LIKE: Final = re.compile(r"(?:www\.|(?:[\w-]+\.)+[a-z]{2,24}(?:/|:[0-9]|$))", re.IGNORECASE)
_POINTER: Final = re.compile(r"(?:please )?(?:see|refer|check|attached|in|the|file)\b", re.IGNORECASE)
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]")
_MARKDOWN: Final = ("md", "markdown")
_TEST_ENDINGS: Final = ("xml", "json", "jsonl", "log", "txt", "out")
_MAX_ENTRY: Final = 4_096
_FLAW_CODES: Final = {
    FlawCode.MALFORMED: "evidence_unreadable",
    FlawCode.TOO_LARGE: "evidence_unreadable",
    FlawCode.TRUNCATED: "evidence_truncated",
    FlawCode.INCONSISTENT: "evidence_inconsistent",
}
_UNREADABLE: Final = frozenset({FlawCode.MALFORMED, FlawCode.TOO_LARGE})


def judge_evidence(case: Case, requirement_id: str, path: str, node: Node | None) -> int:
    """Judge the evidence of a requirement; the number of entries that refer to something comes back."""
    path = f"{path}.evidence"
    add = case.findings.add
    if node is None:
        return 0
    if isinstance(node, Scalar) and node.kind is ScalarKind.NULL:
        add("evidence_null", "evidence is blank; write a list, or [] for none.", path, node)
        return 0
    if not isinstance(node, Sequence):
        add("evidence_not_list", _list_wanted(node), path, node)
        if says_nothing(field_text(node)):
            return 0
    items = node.items if isinstance(node, Sequence) else [node]
    references = 0
    seen: dict[str, Node] = {}
    for index, item in enumerate(items):
        where = f"{path}[{index}]" if isinstance(node, Sequence) else path
        if isinstance(node, Sequence) and not isinstance(item, Scalar):
            message = f"This entry of the evidence is {kind_words(item)}; write the link or file name alone."
            add("evidence_not_list", message, where, item)
        texts = list(evidence_texts(item))
        if not texts:
            add("evidence_blank_entry", "This entry of the evidence is blank; delete it.", where, item)
        for text, at in texts:
            if text in seen:
                message = f"{quoted(text)} is already listed at line {seen[text].line}; delete one of them."
                add("evidence_duplicate", message, where, at)
                continue
            seen[text] = at
            references += _Reference(case, requirement_id, where, at, text).judge()
    return references


def _list_wanted(node: Node) -> str:
    text = field_text(node)
    if says_nothing(text):
        return f"evidence is {kind_words(node)}, and a list is wanted; for none write evidence: []."
    return (
        f"evidence is {kind_words(node)}, and a list is wanted: give each link or file a line of its own "
        f'that begins with a dash, - "{text[:80]}".'
    )


@dataclass(frozen=True, slots=True)
class _Reference:
    """One entry of the evidence."""

    case: Case
    requirement_id: str
    path: str
    at: Node
    text: str

    def judge(self) -> bool:
        """Report what is wrong with the entry; False where it refers to nothing at all."""
        text = self.text
        scheme = _SCHEME.match(text)
        if says_nothing(text) or is_placeholder(text):
            message = (
                f"{quoted(text)} refers to nothing; list a link or a file, or leave the list empty ([])."
            )
            self._add("evidence_blank_entry", message)
            return False
        if len(text) > _MAX_ENTRY:
            self._not_a_reference("")
            return True
        if scheme and scheme[1].lower() == "file":
            self._judge_file(text[scheme.end() :])
        elif scheme and not re.search(r"\s", text):
            self._judge_link()
        elif _EMBEDDED_LINK.search(text):
            self._judge_embedded()
        elif self._is_file(text):
            self._judge_file(text)
        else:
            self._judge_words()
        return True

    def _add(self, code: str, message: str) -> None:
        self.case.findings.add(code, message, self.path, self.at)

    # Links and words

    def _judge_link(self) -> None:
        if fault := url_fault(self.text):
            self._add("bad_evidence_link", f"{quoted(self.text)} {fault}.")
        elif is_sample_host(host_of(self.text)):
            self._add("sample_value", f"{quoted(self.text)} is a sample from a guide; link your own page.")

    def _judge_embedded(self) -> None:
        """Words around links: one link is meant, or several stand in one entry."""
        links = [link.rstrip(".,;") for link in _EMBEDDED_LINK.findall(self.text)]
        if len(links) > 1:
            self._not_a_reference(" Give each link an entry of its own.")
        else:
            self._not_a_reference(f" Write only {quoted(links[0])}; words about it belong in notes.")

    def _judge_words(self) -> None:
        text = self.text
        if found := _EMBEDDED_FILE.search(text):
            self._not_a_reference(f" Write only {quoted(found[1])}; words about it belong in notes.")
            self._judge_file(found[1])
        elif _HOST_LIKE.match(text) and not re.search(r"\s", text):
            self._not_a_reference(f" If it is a link, write {quoted('https://' + text)}.")
        else:
            self._not_a_reference(" List a link or a file of the submission; words belong in notes.")

    def _not_a_reference(self, hint: str) -> None:
        message = f"{quoted(self.text)} is neither a link nor the name of a file.{hint}"
        self._add("evidence_not_a_reference", message)

    # Files

    def _is_file(self, text: str) -> bool:
        if text.startswith(("./", "../", "/", "~", ".\\", "..\\")) or _DRIVE.match(text):
            return True
        name = text.partition("#")[0].replace("\\", "/")
        first, slash, _ = name.partition("/")
        ending = name.rpartition(".")[2].lower()
        if self.case.evidence.is_available and self._exists(name):
            return True
        if ending not in _FILE_ENDINGS or (re.search(r"\s", name) and not self._may_be_a_name(name)):
            return False
        return not (slash and _HOST_LIKE.match(f"{first}/") and first.rpartition(".")[2] not in _FILE_ENDINGS)

    def _may_be_a_name(self, name: str) -> bool:
        """Whether words that end like a file name may be one; names hold spaces, "see x.md" is none."""
        return not (self.case.evidence.is_available or _POINTER.match(name))

    def _exists(self, name: str) -> bool:
        inside = _inside(name)
        if inside is None:
            return False
        try:
            return self.case.evidence.read(inside) is not None
        except EvidenceRefused:
            return True

    def _judge_file(self, reference: str) -> None:
        name, _, fragment = reference.partition("#")
        decoded = unquote(name)
        if _inside(name) is None or _inside(decoded) is None:
            message = (
                f"{quoted(self.text)} leads outside the submission's folder; put the file into it and name "
                "it relative to PRODUCT.yaml."
            )
            self._add("evidence_outside", message)
            return
        mapped = MAPPED_TESTS.get(fragment.partition("/")[0])
        if mapped is not None and mapped != self.requirement_id:
            message = (
                f"{quoted(fragment, 80)} shows {mapped}, not {self.requirement_id}; "
                "name a test of this requirement."
            )
            self._add("evidence_wrong_test", message)
        if not self.case.evidence.is_available:
            return
        inside = _inside(name) or ""
        try:
            content = self.case.evidence.read(inside)
            if content is None and decoded != name:
                inside = _inside(decoded) or ""
                content = self.case.evidence.read(inside)
        except EvidenceRefused as refusal:
            code = "evidence_outside" if refusal.outside else "evidence_file_refused"
            self._add(code, f"The file {quoted(inside)} is refused: {refusal}.")
            return
        if content is None:
            message = (
                f"The file {quoted(inside)} is not in the submission's folder; add it, or correct the name."
            )
            self._add("evidence_file_missing", message)
        elif not content.strip():
            self._add("evidence_file_empty", f"The file {quoted(inside)} is empty.")
        else:
            self._judge_content(inside, content, fragment)

    def _judge_content(self, name: str, content: bytes, fragment: str) -> None:
        ending = name.rpartition(".")[2].lower()
        if ending in _MARKDOWN:
            if fragment and not _has_heading(content, fragment):
                message = (
                    f"{quoted(name)} has no heading {quoted(fragment, 80)}; readers land at its beginning."
                )
                self._add("evidence_heading_missing", message)
            return
        results = self.case.evidence.results(name)
        if results is not None:
            self._judge_results(name, results, fragment)
        elif fragment and ending in _TEST_ENDINGS:
            message = (
                f"{quoted(fragment, 80)} is named in {quoted(name)}, which is no test output: neither JUnit "
                "XML, nor go test -json, nor the log of a verbose test run."
            )
            self._add("evidence_not_test_output", message)

    # Test output

    def _judge_results(self, name: str, results: Results, fragment: str) -> None:
        unreadable = self._judge_flaws(name, results)
        if fragment:
            self._judge_test(name, results, fragment, is_certain=not unreadable)
        elif not unreadable:
            self._judge_run(name, results)

    def _judge_flaws(self, name: str, results: Results) -> bool:
        """Report the file's flaws; True where nothing can be said of its tests."""
        for code, told_as in _FLAW_CODES.items():
            reasons = [flaw.message for flaw in results.flaws if flaw.code is code]
            if reasons:
                more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
                message = f"The test output {quoted(name)} cannot be relied on: {reasons[0][:400]}{more}."
                self._add(told_as, message)
        return not results.tests and any(flaw.code in _UNREADABLE for flaw in results.flaws)

    def _judge_test(self, name: str, results: Results, fragment: str, *, is_certain: bool) -> None:
        test = results.find(fragment) or results.find(unquote(fragment))
        if test is None:
            if is_certain:
                near = _near(fragment, (test.name for test in results.tests))
                message = f"{quoted(name)} has no test {quoted(fragment, 120)}.{near}"
                self._add("evidence_test_missing", message)
        elif test.verdict is Verdict.FAILED:
            self._add("evidence_test_failed", f"{quoted(fragment, 120)} failed in {quoted(name)}.")
        elif test.verdict is not Verdict.PASSED:
            state = "was skipped" if test.verdict is Verdict.SKIPPED else "did not run"
            message = (
                f"{quoted(fragment, 120)} {state} in {quoted(name)}; a test that did not run shows nothing."
            )
            self._add("evidence_test_not_run", message)

    def _judge_run(self, name: str, results: Results) -> None:
        """A file named as a whole: the requirement's own test counts, if it has one there."""
        info = REQUIREMENTS.get(self.requirement_id)
        if info is not None and info.mapped_test and results.find(info.mapped_test) is not None:
            self._judge_test(name, results, info.mapped_test, is_certain=True)
        elif not results.executed:
            self._add("evidence_nothing_ran", f"In {quoted(name)} no test was executed; it shows nothing.")
        elif results.failed:
            failed = next((test.name for test in results.tests if test.verdict is Verdict.FAILED), "")
            which = f", the first being {quoted(failed, 120)}" if failed else ""
            message = f"{quoted(name)} holds {results.failed} failed of {results.executed} tests{which}."
            self._add("evidence_has_failures", message)


def _inside(name: str) -> str | None:
    """`name` as a path inside the submission; None where it leads out or names nothing."""
    path = name.replace("\\", "/").strip()
    if path.startswith(("/", "~")) or _DRIVE.match(path) or "\0" in path:
        return None
    path = posixpath.normpath(path)
    return None if path == ".." or path.startswith("../") else path


def _near(wanted: str, names: Iterable[str]) -> str:
    import difflib

    known = list(dict.fromkeys(names))[:2_000]
    base = wanted.lower()
    close = [name for name in known if name.lower() == base] or difflib.get_close_matches(wanted, known, n=2)
    return f" Did you mean {' or '.join(quoted(name, 120) for name in close)}?" if close else ""


_HEADING: Final = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
_UNDERLINED: Final = re.compile(r"^ {0,3}(\S[^\n]{0,300})\n {0,3}(?:=+|-{2,})[ \t]*$", re.MULTILINE)
_ANCHOR: Final = re.compile(
    r"""<[a-z][a-z0-9]*\s[^<>]{0,300}?\b(?:name|id)\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE
)
_ATTRIBUTE: Final = re.compile(r"\{#([\w-]+)\}")
_LINE: Final = re.compile(r"L[0-9]+(?:-L?[0-9]+)?")
_MARKUP: Final = re.compile(r"\[([^\[\]]*)\]\([^()]*\)|[`*]|<[^<>]*>")


def _has_heading(content: bytes, fragment: str) -> bool:
    """Whether a Markdown file has an anchor `fragment`, by the rules of the usual code hosts."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if _LINE.fullmatch(fragment):
        return True
    wanted = unquote(fragment).lower()
    anchors = {anchor.lower() for anchor in (*_ANCHOR.findall(text), *_ATTRIBUTE.findall(text))}
    for title in (*_HEADING.findall(text), *_UNDERLINED.findall(text)):
        slug = re.sub(r"[^\w\- ]", "", _MARKUP.sub(r"\1", title).strip().lower())
        anchors.add(slug.replace(" ", "-"))
    base, _, number = wanted.rpartition("-")
    return wanted in anchors or (number.isdecimal() and base in anchors)
