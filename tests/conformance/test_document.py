import pytest

from conformance import yaml_reader
from conformance.catalogue import builtin_checklists
from conformance.document import Claim, Product, parse, product, read_status, render
from conformance.yaml_reader import Mapping, Scalar, ScalarKind, Sequence


def codes(data: bytes) -> list[str]:
    return [problem.code for problem in parse(data).problems]


def scalar(data: bytes, key: str) -> Scalar:
    root = parse(data).root
    assert isinstance(root, Mapping)
    node = root.get(key)
    assert isinstance(node, Scalar)
    return node


def test_parse_keeps_positions_counted_from_one() -> None:
    root = parse(b"a: 1\nb:\n  - x\n").root
    assert isinstance(root, Mapping)
    assert (root.line, root.column) == (1, 1)
    key, value = root.entries["b"]
    assert (key.line, key.column) == (2, 1)
    assert isinstance(value, Sequence)
    assert (value.items[0].line, value.items[0].column) == (3, 5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.0", ScalarKind.NUMBER),
        ("1.10", ScalarKind.NUMBER),
        ("0x1F", ScalarKind.NUMBER),
        ("1_000", ScalarKind.NUMBER),
        ("1e3", ScalarKind.NUMBER),
        (".5", ScalarKind.NUMBER),
        ("-.inf", ScalarKind.NUMBER),
        ("1:30:00", ScalarKind.NUMBER),
        ("yes", ScalarKind.BOOLEAN),
        ("Off", ScalarKind.BOOLEAN),
        ("2024-01-01", ScalarKind.DATE),
        ("2024-01-01T10:00:00Z", ScalarKind.DATE),
        ("~", ScalarKind.NULL),
        ("null", ScalarKind.NULL),
        ("", ScalarKind.NULL),
        ("1.35.3", ScalarKind.TEXT),
        ("v1.0", ScalarKind.TEXT),
        ("yesterday", ScalarKind.TEXT),
        ('"1.0"', ScalarKind.TEXT),
        ("!!str 1.0", ScalarKind.TEXT),
        ("!!int 3", ScalarKind.NUMBER),
    ],
)
def test_scalar_keeps_its_text_and_tells_what_yaml_makes_of_it(text: str, kind: ScalarKind) -> None:
    node = scalar(f"a: {text}\n".encode(), "a")
    assert node.kind is kind
    assert node.text == text.removeprefix("!!str ").removeprefix("!!int ").strip('"')


def test_duplicate_key_names_both_positions_and_keeps_the_first() -> None:
    parsed = parse(b"a: 1\nb: 2\na: 3\n")
    (problem,) = parsed.problems
    assert (problem.code, problem.line, problem.column) == ("duplicate_key", 3, 1)
    assert "line 1, column 1" in problem.message
    assert scalar(b"a: 1\nb: 2\na: 3\n", "a").text == "1"


def test_duplicate_key_that_comes_by_an_alias_is_seen() -> None:
    assert codes(b"? &k name\n: 1\n*k : 2\n") == ["duplicate_key"]


def test_alias_stands_for_its_anchor() -> None:
    root = parse(b"a: &x [1, 2]\nb: *x\n").root
    assert isinstance(root, Mapping)
    assert root.get("b") is root.get("a")


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    parsed = parse("\n".join(lines).encode())
    assert [problem.code for problem in parsed.problems] == ["too_many_nodes"]
    assert not parsed.complete


def test_too_many_aliases_are_refused() -> None:
    text = "a: &x 1\nb: [" + ", ".join(["*x"] * (yaml_reader.MAX_ALIASES + 1)) + "]\n"
    assert codes(text.encode()) == ["too_many_aliases"]


def test_alias_of_what_it_is_part_of_is_refused() -> None:
    assert codes(b"a: &x [1, *x]\n") == ["recursive_alias"]


def test_unknown_alias_is_a_syntax_problem() -> None:
    assert codes(b"a: *nowhere\n") == ["yaml_syntax"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    assert codes((opening * 100_000).encode()[: yaml_reader.MAX_BYTES]) == ["too_deep"]


def test_nesting_within_the_bound_is_read() -> None:
    depth = yaml_reader.MAX_DEPTH
    assert codes(b"[" * depth + b"]" * depth) == []
    assert codes(b"[" * (depth + 1) + b"]" * (depth + 1)) == ["too_deep"]


def test_too_many_values_are_refused() -> None:
    assert codes(b"[" + b"1," * (yaml_reader.MAX_NODES + 1) + b"]") == ["too_many_nodes"]


def test_document_over_one_mebibyte_is_refused_unread() -> None:
    parsed = parse(b"#" * (yaml_reader.MAX_BYTES + 1))
    assert [problem.code for problem in parsed.problems] == ["document_too_large"]
    assert parsed.root is None
    assert codes(b"a: 1 #" + b"x" * (yaml_reader.MAX_BYTES - 6)) == []


@pytest.mark.parametrize(
    "text",
    ["a: !foo x", "a: !!python/object:os.system x", "a: !!binary aGk=", "a: !!set {x}", "!local {a: b}"],
)
def test_tags_are_refused_and_the_value_is_still_read(text: str) -> None:
    parsed = parse(text.encode())
    assert [problem.code for problem in parsed.problems] == ["custom_tag"]
    assert isinstance(parsed.root, Mapping)


def test_second_document_is_refused_and_the_first_is_read() -> None:
    parsed = parse(b"---\na: 1\n---\nb: 2\n")
    assert [(problem.code, problem.line) for problem in parsed.problems] == [("several_documents", 3)]
    assert parsed.complete
    assert isinstance(parsed.root, Mapping)
    assert list(parsed.root.entries) == ["a"]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"null\n", b"~"])
def test_empty_document_is_a_problem(data: bytes) -> None:
    assert codes(data) == ["empty_document"]


def test_undecodable_bytes_are_located_and_the_rest_is_read() -> None:
    parsed = parse(b"a: 1\nb: caf\xe9\nc: 3\n")
    (problem,) = parsed.problems
    assert (problem.code, problem.line, problem.column) == ("not_utf8", 2, 7)
    assert scalar(b"a: 1\nb: caf\xe9\nc: 3\n", "c").text == "3"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_other_unicode_encodings_are_named_and_read(encoding: str) -> None:
    data = "a: ä\n".encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    parsed = parse(data)
    assert [problem.code for problem in parsed.problems] == ["not_utf8"]
    assert scalar(data, "a").text == "ä"


def test_byte_order_mark_is_a_warning() -> None:
    (problem,) = parse(b"\xef\xbb\xbfa: 1\n").problems
    assert (problem.code, problem.severity) == ("byte_order_mark", "warning")


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\ufeff", "\ufffe"])
def test_control_characters_are_located(character: str) -> None:
    (problem,) = parse(f"a: 1\nb: x{character}y\n".encode()).problems
    assert (problem.code, problem.line, problem.column) == ("control_character", 2, 5)


def test_control_characters_are_told_a_bounded_number_of_times() -> None:
    found = codes(b"a: '" + b"\x00" * 10_000 + b"'\n")
    assert found == ["control_character"] * yaml_reader.MAX_CHARACTER_PROBLEMS


def test_escaped_control_character_does_not_reach_the_text() -> None:
    data = b'a: "x\\0y"\n'
    assert codes(data) == ["control_character"]
    assert scalar(data, "a").text == "x\ufffdy"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"a:\n\t- 1\n", "tab"),
        (b"a: b: c\n", "colon"),
        (b"a: 'open\n", "not closed"),
        (b"spec:\n  a: 1\n b: 2\n", "indentation"),
        (b"a: @x\n", "quotes"),
    ],
)
def test_syntax_problem_says_in_plain_words_what_to_do(data: bytes, word: str) -> None:
    (problem,) = parse(data).problems
    assert problem.code == "yaml_syntax"
    assert word in problem.message


def test_what_stands_before_a_syntax_error_is_still_read() -> None:
    parsed = parse(b"metadata:\n  platformName: P\n  vendorName: V\n bad: [\n")
    assert not parsed.complete
    assert product(parsed).metadata == {"platformName": "P", "vendorName": "V"}


@pytest.mark.parametrize("data", [b"? [a]\n: b\n", b"{[a]: b, c: d}", b"? {x: y}\n: b\n"])
def test_keys_that_are_no_text_are_refused(data: bytes) -> None:
    assert codes(data) == ["unsupported_key"]


def test_merge_key_is_refused() -> None:
    assert codes(b"a: &x {p: 1}\nb:\n  <<: *x\n") == ["merge_key"]


def test_pure_parser_reads_the_same_tree() -> None:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class Pure(Reader, Scanner, Parser):
        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)

    text = "a: 1.0\nb: &x [p, 'q', !foo r]\nc: *x\nd: {e: yes}\na: again\n"
    expected = parse(text.encode())
    problems: list[yaml_reader.Problem] = []
    builder = yaml_reader._Builder(problems)
    parser = Pure(text)
    while parser.check_event():
        builder.take(parser.get_event())
    assert builder.root == expected.root
    assert tuple(problems) == expected.problems


# Product ------------------------------------------------------------------------------------------


def test_product_reads_both_spellings_and_misplaced_fields() -> None:
    data = b"metadata:\n  platform_name: P\n  vendorName: V\ncontact_email_address: a@b.org\nspec: {}\n"
    assert product(parse(data)).metadata == {
        "platformName": "P",
        "vendorName": "V",
        "contactEmailAddress": "a@b.org",
    }


def test_product_reads_a_number_as_it_was_written() -> None:
    assert product(parse(b"metadata: {platformVersion: 1.0}")).metadata == {"platformVersion": "1.0"}


@pytest.mark.parametrize(
    ("evidence", "read"),
    [
        ("https://a.org/x", ("https://a.org/x",)),
        ("[https://a.org/x, ./b.md]", ("https://a.org/x", "./b.md")),
        ("{url: https://a.org/x}", ("https://a.org/x",)),
        ("[{name: x, url: https://a.org/x}, [c.md]]", ("x", "https://a.org/x", "c.md")),
        ("", ()),
        ("[]", ()),
        ("['', ~, ' ']", ()),
    ],
)
def test_product_reads_evidence_in_any_shape(evidence: str, read: tuple[str, ...]) -> None:
    text = f"spec:\n  security:\n    - id: x\n      status: Implemented\n      evidence: {evidence}\n"
    assert product(parse(text.encode())).claims["x"].evidence == read


def test_product_reads_a_category_given_as_a_mapping() -> None:
    text = b"spec:\n  security:\n    x: {status: implemented, notes: n}\n"
    assert product(parse(text)).claims == {"x": Claim("x", "security", "Implemented", (), "n")}


def test_product_of_what_is_no_mapping_is_empty() -> None:
    assert product(parse(b"- 1\n")) == Product()


@pytest.mark.parametrize(
    ("text", "certain", "probable"),
    [
        ("Implemented", "Implemented", "Implemented"),
        ("", "", ""),
        ("implemented", "Implemented", "Implemented"),
        ("NOT IMPLEMENTED", "Not Implemented", "Not Implemented"),
        ("not-implemented", "Not Implemented", "Not Implemented"),
        ("n/a", "N/A", "N/A"),
        ("NA", "N/A", "N/A"),
        ("Not Applicable", "N/A", "N/A"),
        ("Partial", "Partial", "Partially Implemented"),
        ("yes", "yes", "Implemented"),
        ("whatever", "whatever", ""),
    ],
)
def test_read_status_tells_certain_from_probable(text: str, certain: str, probable: str) -> None:
    assert read_status(text) == (certain, probable)


def test_render_of_a_product_reads_back_equal() -> None:
    checklist = builtin_checklists()["1.36"]
    metadata = {"platformName": 'P "x" \\ y', "platformVersion": "1.0", "description": "a\nb: c # d\t'e' é"}
    claims = {
        requirement.id: Claim(
            requirement.id,
            category.key,
            "N/A",
            ("https://a.org/#b", "- x: [y]", "*a"),
            "yes\n\n  indented\u2028end",
            "the base",
        )
        for category, requirement in checklist.requirements()
    }
    written = Product(metadata, claims)
    parsed = parse(render(written, checklist).encode())
    assert parsed.problems == ()
    assert product(parsed) == written


def test_render_of_an_empty_product_is_the_checklist_to_fill_in() -> None:
    checklist = builtin_checklists()["1.37"]
    parsed = parse(render(Product(), checklist).encode())
    assert parsed.problems == ()
    read = product(parsed)
    assert list(read.claims) == [requirement.id for _, requirement in checklist.requirements()]
    assert all(claim.status == "" and claim.evidence == () for claim in read.claims.values())
