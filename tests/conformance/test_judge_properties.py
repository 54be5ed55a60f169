"""Whatever the bytes are, the judge gives a judgement."""

import contextlib
import dataclasses
import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance import artefacts
from conformance.artefacts import Results
from conformance.catalogue import ChecklistError, builtin_checklists, load_checklist
from conformance.document import METADATA, Claim, Product, parse, product, render
from conformance.rules import RULES, judge
from conformance.yaml_reader import MAX_DEPTH, MAX_NODES, Mapping, Node, Scalar

CHECKLISTS = {
    version: dataclasses.replace(checklist, published_wording=True)
    for version, checklist in builtin_checklists().items()
}
CHECKLIST = CHECKLISTS["1.37"]
relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


class AnyFiles:
    """Every file is there and holds the same."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, name: str) -> bytes:
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        return self._content


def demand_sound(data: bytes, content: bytes = b"") -> None:
    """The judgement of `data` keeps what a judgement promises."""
    judgement = judge(data, CHECKLISTS, folder_version="v1.37", files=AnyFiles(content))
    for problem in judgement.problems:
        assert problem.severity is RULES[problem.code].severity
        assert (problem.line or 0) >= 1
        assert (problem.column or 0) >= 1
        problem.message.encode()  # can be sent and stored
    assert "\0" not in repr(judgement.product.claims) + repr(judgement.product.metadata)
    assert judgement.valid == all(problem.severity == "warning" for problem in judgement.problems)
    positions = [(problem.line, problem.column) for problem in judgement.problems]
    assert positions == sorted(positions)
    assert product(parse(data)) == judgement.product


names = st.sampled_from(
    [
        *("metadata", "spec", "id", "description", "level", "status", "evidence", "notes", "metBy"),
        *(known.name for known in METADATA.values()),
        *(known.snake for known in METADATA.values()),
        *(category.key for category in CHECKLIST.categories),
    ]
)
words = st.one_of(
    st.sampled_from(
        [
            *("Implemented", "N/A", "n/a", "MUST", "SHOULD", "v1.37", "1.35", "[Platform Name]"),
            *("https://docs.harbour.works/a", "file://r/junit.xml#TestGangScheduling", "../x", "see a.md"),
            *("The platform does not provide an autoscaler.", "a.md#b", "C:\\x", "//", "#", "%2e%2e/x", "~"),
            *(requirement.id for _, requirement in CHECKLIST.requirements()),
        ]
    ),
    st.text(max_size=40),
)
scalars = st.one_of(
    words, st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.binary(max_size=5)
)
structures = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.one_of(names, words), inner, max_size=6)
    ),
    max_leaves=40,
)
entries = st.dictionaries(
    st.sampled_from(["id", "description", "level", "status", "evidence", "notes", "metBy", "Status"]),
    structures,
    max_size=8,
)
specs = st.dictionaries(names, st.one_of(st.lists(st.one_of(entries, structures), max_size=4), structures))
documents = st.fixed_dictionaries(
    {}, optional={"metadata": st.one_of(st.dictionaries(names, scalars), structures), "spec": specs}
)


@relaxed
@given(st.binary(max_size=2_000))
def test_judge_survives_any_bytes(data: bytes) -> None:
    demand_sound(data)


@relaxed
@given(st.text(alphabet=st.sampled_from("ab:- \n\t[]{}&*!|>'\"%@`#,?~0\x00\x85\u2028é\ufeff"), max_size=300))
def test_judge_survives_any_yaml_like_text(text: str) -> None:
    demand_sound(text.encode())


@relaxed
@given(structures)
def test_judge_survives_any_yaml_structure(structure: Any) -> None:
    demand_sound(yaml.safe_dump(structure, allow_unicode=True).encode("utf-8", "surrogatepass"))


@relaxed
@given(
    documents, st.sampled_from([b"", b"x", b"<testsuite><testcase name='T'/></testsuite>", b"=== RUN   T\n"])
)
def test_judge_survives_any_structure_of_a_submission(document: dict[str, Any], content: bytes) -> None:
    demand_sound(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"), content)


VALID = render(
    Product(
        {"kubernetesVersion": "v1.37", "platformVersion": "1.0"},
        {
            requirement.id: Claim(
                requirement.id,
                category.key,
                "Implemented",
                ("https://docs.harbour.works", "file://r.xml#TestX"),
            )
            for category, requirement in CHECKLIST.requirements()
        },
    ),
    CHECKLIST,
).encode()


@relaxed
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(VALID)),
            st.integers(0, 60),
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"\n", b"  ", b"\t", b": ", b"- ", b"*a", b"&a ", b"!t "]),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_judge_survives_a_valid_document_damaged_anywhere(damages: list[tuple[int, int, bytes]]) -> None:
    data = VALID
    for at, length, new in damages:
        data = data[:at] + new + data[at + length :]
    demand_sound(data)


@relaxed
@given(st.integers(0, len(VALID)))
def test_judge_survives_a_document_cut_off_anywhere(at: int) -> None:
    demand_sound(VALID[:at])


@relaxed
@given(
    st.sampled_from(["[", "{a: ", "- ", "? ", "[[a]: ", "&a [", "!!map {a: ", "> "]), st.integers(1, 5_000)
)
def test_judge_survives_any_nesting(opening: str, depth: int) -> None:
    demand_sound((opening * depth).encode())


def expanded(node: Node) -> int:
    """The nodes of the tree with every alias counted as the whole it stands for; and its depth is bounded."""
    pending, count = [(node, 1)], 0
    while pending:
        current, depth = pending.pop()
        count += 1
        assert depth <= 2 * MAX_DEPTH
        if isinstance(current, Mapping):
            pending.extend((value, depth + 1) for _, value in current.items())
        elif not isinstance(current, Scalar):
            pending.extend((item, depth + 1) for item in current.items)
    return count


@relaxed
@given(
    st.lists(
        st.lists(st.one_of(st.integers(0, 12).map("*a{}".format), st.just("x")), min_size=1, max_size=12),
        min_size=1,
        max_size=12,
    )
)
def test_aliases_never_grow_a_tree_beyond_its_bound(rows: list[list[str]]) -> None:
    text = "".join(f"k{n}: &a{n} [{', '.join(row)}]\n" for n, row in enumerate(rows))
    demand_sound(text.encode())
    root = parse(text.encode()).root
    if root is not None:
        assert expanded(root) <= MAX_NODES


safe_text = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff"), max_size=60
).map(str.strip)
printable = safe_text.filter(lambda text: all(ord(character) % 0x10000 < 0xFFFE for character in text))
products = st.builds(
    Product,
    st.dictionaries(st.sampled_from(list(METADATA)), printable.filter(bool)),
    st.fixed_dictionaries(
        {
            requirement.id: st.builds(
                Claim,
                st.just(requirement.id),
                st.just(category.key),
                st.sampled_from(["", "Implemented", "Not Implemented", "Partially Implemented", "N/A"]),
                st.lists(printable.filter(bool), max_size=3).map(tuple),
                st.lists(printable, max_size=3).map("\n\t".join).map(str.strip),
                printable,
            )
            for category, requirement in CHECKLIST.requirements()
        }
    ),
)


@relaxed
@given(products)
def test_product_rendered_and_read_again_is_equal(written: Product) -> None:
    parsed = parse(render(written, CHECKLIST).encode())
    assert parsed.problems == ()
    assert product(parsed) == written


@relaxed
@given(st.text(max_size=200))
def test_render_escapes_whatever_a_form_sends(text: str) -> None:
    written = Product({"platformName": text}, {})
    parsed = parse(render(written, CHECKLIST).encode())
    assert all(problem.code == "control_character" for problem in parsed.problems)
    assert parsed.complete


def demand_sound_results(results: Results | None) -> None:
    if results is not None:
        assert 0 <= results.failed <= results.executed
        for test in results.tests[:20]:
            assert results.find(test.name) is not None


@relaxed
@given(st.binary(max_size=1_000))
def test_artefacts_survive_any_bytes(data: bytes) -> None:
    for start in (
        b"",
        b"<testsuite>",
        b'{"Action":"run","Test":"T"}\n',
        b"=== RUN   T\n",
        b"Running Suite: x\n",
    ):
        demand_sound_results(artefacts.read(start + data))


log_lines = st.sampled_from(
    [
        "=== RUN   TestA",
        "--- PASS: TestA (0.1s)",
        "    --- FAIL: TestA/b (0.1s)",
        "--- SKIP: TestB",
        "PASS",
        "FAIL",
        "ok  \tp\t0.1s",
        "FAIL\tp\t[build failed]",
        "Running Suite: e2e",
        "Ran 2 of 3 Specs in 1.0 seconds",
        "SUCCESS! -- 2 Passed | 0 Failed | 0 Pending | 1 Skipped",
        "FAIL! -- 1 Passed | 1 Failed | 0 Pending | 1 Skipped",
        "SS•S",
        "• [FAILED] [1.0 seconds]",
        "S [SKIPPED]",
        "------------------------------",
        "Some title",
        "panic: x",
        '{"msg":"PASSED x"}',
    ]
)


@relaxed
@given(st.lists(log_lines, max_size=20))
def test_artefacts_survive_any_log(lines: list[str]) -> None:
    demand_sound_results(artefacts.read("\n".join(lines).encode()))


events = st.fixed_dictionaries(
    {"Action": st.sampled_from(["run", "pass", "fail", "skip", "output", "start", "odd"])},
    optional={
        "Package": st.sampled_from(["p", "q", None, 3]),
        "Test": st.sampled_from(["T", "T/a", "", None, 4, ["x"]]),
        "Elapsed": st.one_of(st.floats(), st.text(max_size=3), st.none()),
        "Output": st.one_of(log_lines, st.integers(), st.none()),
    },
)


@relaxed
@given(st.lists(events, max_size=15))
def test_artefacts_survive_any_events(found: list[dict[str, Any]]) -> None:
    demand_sound_results(artefacts.read("\n".join(map(json.dumps, found)).encode()))


@relaxed
@given(st.one_of(st.binary(max_size=500), structures.map(lambda value: yaml.safe_dump(value).encode())))
def test_loading_a_checklist_refuses_or_succeeds(data: bytes) -> None:
    with contextlib.suppress(ChecklistError):
        assert load_checklist(data).categories
