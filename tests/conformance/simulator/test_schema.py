"""Schemas of custom resources, the expression language, quantities."""

from __future__ import annotations

from fractions import Fraction

import pytest

from conformance.simulator import cel, schema
from conformance.simulator.definitions import INT32, OPEN, STRING, array, structure
from conformance.simulator.quantities import amount, quantity


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 == 7", True),
        ("!(1 > 2) && 'a' in ['a', 'b']", True),
        ("device.driver == 'gpu' || device.missing", True),
        ("device.missing && false", False),
        ("has(device.driver) && !has(device.missing)", True),
        ("device.attributes['d'].name.startsWith('x')", True),
        ('size("abc") == 3 ? "yes" : "no"', "yes"),
        ("[1, 2, 3].exists(x, x > 2) && [1, 2].all(x, x > 0)", True),
        ("[1, 2, 3].filter(x, x != 2)", [1, 3]),
        ("quantity('20Gi').compareTo(quantity('10Gi')) > 0", True),
        ("semver('1.10.0').isGreaterThan(semver('1.9.0'))", True),
        ("-2 < -1", True),
    ],
)
def test_expressions_evaluate(expression, value):
    scope = {"device": {"driver": "gpu", "attributes": {"d": {"name": "xy"}}}}
    assert cel.compiled(expression)(scope) == value


@pytest.mark.parametrize("expression", ["1 +", "device.", "unknown(1)", "a @ b", "(1", "x.nothing()"])
def test_expressions_that_do_not_compile_are_errors(expression):
    with pytest.raises(cel.CelError):
        cel.compiled(expression)


@pytest.mark.parametrize("expression", ["device.missing", "'a' > 1", "1 / 0", "semver('x')", "nothing"])
def test_expressions_that_fail_for_a_value_are_errors(expression):
    with pytest.raises(cel.CelError):
        cel.compiled(expression)({"device": {}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("500m", Fraction(1, 2)),
        ("1Ki", 1024),
        ("1e3", 1000),
        ("1.5G", 1_500_000_000),
        (".5", Fraction(1, 2)),
    ],
)
def test_quantities_are_exact(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1kb", "--1"])
def test_other_texts_are_no_quantities(text):
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)


def test_amounts_read_back_equal():
    assert amount(quantity("4")) == "4"
    assert quantity(amount(quantity("250m"))) == quantity("250m")


SCHEMA = structure(
    {
        "name": {**STRING, "pattern": "^[a-z]+$", "maxLength": 5},
        "count": {**INT32, "minimum": 1, "maximum": 9, "default": 2},
        "mode": {**STRING, "enum": ["a", "b"]},
        "members": {
            **array(structure({"id": STRING, "size": INT32}, ["id"])),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
            "maxItems": 2,
        },
        "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "anything": OPEN,
    },
    ["name"],
    **{"x-kubernetes-validations": [{"rule": "self.count != 7", "message": "seven is taken"}]},
)


def test_defaults_are_filled_in_and_unknown_fields_pruned():
    value, unknown = schema.pruned(
        SCHEMA, {"name": "x", "extra": 1, "members": [{"id": "a", "y": 1}], "anything": {"kept": 1}}
    )
    assert unknown == ["extra", "members[0].y"]
    assert schema.defaulted(SCHEMA, value) == {
        "name": "x",
        "members": [{"id": "a"}],
        "anything": {"kept": 1},
        "count": 2,
    }


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        ({}, "name", "Required value"),
        ({"name": 1}, "name", 'must be of type string: "integer"'),
        ({"name": "A"}, "name", "should match '^[a-z]+$'"),
        ({"name": "abcdef"}, "name", "may not be more than 5 bytes"),
        ({"name": "x", "count": 0}, "count", "should be greater than or equal to 1"),
        ({"name": "x", "count": 10}, "count", "should be less than or equal to 9"),
        ({"name": "x", "count": True}, "count", 'must be of type integer: "boolean"'),
        ({"name": "x", "count": 7}, "<nil>", "seven is taken"),
        ({"name": "x", "mode": "c"}, "mode", 'supported values: "a", "b"'),
        ({"name": "x", "members": [{}]}, "members[0].id", "Required value"),
        ({"name": "x", "members": [{"id": "a"}, {"id": "a"}]}, "members[1]", 'Duplicate value: {"id":"a"}'),
        ({"name": "x", "members": [{"id": c} for c in "abc"]}, "members", "must have at most 2 items"),
        ({"name": "x", "port": 1.5}, "port", 'must be of type integer or string: "number"'),
        ({"name": None}, "name", "must be of type string"),
    ],
)
def test_broken_values_are_named_with_their_field(value, field, text):
    problems = schema.problems(SCHEMA, value)
    assert [problem.field for problem in problems] == [field]
    assert text in problems[0].message


def test_transition_rules_compare_with_the_old_value():
    fixed = {**STRING, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}]}
    holder = structure({"queue": fixed})
    assert schema.problems(holder, {"queue": "a"}) == []
    assert schema.problems(holder, {"queue": "a"}, old={"queue": "a"}) == []
    assert [p.message for p in schema.problems(holder, {"queue": "b"}, old={"queue": "a"})] == [
        'Invalid value: "string": immutable'
    ]
