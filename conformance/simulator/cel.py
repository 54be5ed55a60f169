"""A reader for the part of the Common Expression Language that device selectors and schemas use."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from conformance.simulator.quantities import quantity

Scope = Mapping[str, Any]
Node = Callable[[Scope], Any]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+\.\d+|\d+)u?
      | (?P<string>r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<symbol>\|\||&&|==|!=|<=|>=|[-+*/%!<>()\[\]{}.,:?])
    )""",
    re.VERBOSE,
)
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}
_PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "*": operator.mul,
    "/": operator.floordiv,
    "%": operator.mod,
}
_ESCAPE = re.compile(r"\\(.)")


class CelError(ValueError):
    """The expression does not compile, or does not evaluate for this value."""


@functools.total_ordering
@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """A resource quantity as CEL sees it."""

    value: Fraction

    def __lt__(self, other: Quantity) -> bool:
        return self.value < other.value


@functools.total_ordering
@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """A semantic version as CEL sees it; pre-releases are left out of the order."""

    parts: tuple[int, ...]

    def __lt__(self, other: Version) -> bool:
        return self.parts < other.parts


def version(text: str) -> Version:
    match = re.match(r"^v?(\d+)\.(\d+)\.(\d+)", str(text))
    if match is None:
        raise CelError(f"{text!r} is no semantic version")
    return Version(tuple(int(part) for part in match.groups()))


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(quantity(text))
    except ValueError as error:
        raise CelError(str(error)) from error


def _compare(left: Any, right: Any) -> int:
    if left == right:
        return 0
    return 1 if left > right else -1


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": len,
    "int": int,
    "double": float,
    "string": str,
    "quantity": _quantity,
    "semver": version,
}
_METHODS: dict[str, Callable[..., Any]] = {
    "size": len,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "lowerAscii": str.lower,
    "upperAscii": str.upper,
    "compareTo": _compare,
    "isGreaterThan": operator.gt,
    "isLessThan": operator.lt,
}
_MACROS = {"all", "exists", "exists_one", "filter", "map"}
_LITERALS = {"true": True, "false": False, "null": None}


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelError(f"Syntax error: token recognition error at: '{text[position:]}'")
        position = match.end()
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
    found.append(("end", ""))
    return found


class _Parser:
    """Recursive descent over the grammar; every rule returns a closure over the scope."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0

    def _peek(self) -> str:
        return self._tokens[self._position][1]

    def _take(self) -> tuple[str, str]:
        token = self._tokens[self._position]
        if token[0] == "end":
            raise CelError("Syntax error: unexpected end of the expression")
        self._position += 1
        return token

    def _identifier(self) -> str:
        kind, text = self._take()
        if kind != "name":
            raise CelError(f"Syntax error: expected a name but found '{text}'")
        return text

    def _accept(self, symbol: str) -> bool:
        if self._tokens[self._position] == ("symbol", symbol):
            self._position += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise CelError(f"Syntax error: expected '{symbol}' but found '{self._peek()}'")

    def parse(self) -> Node:
        node = self._ternary()
        if self._tokens[self._position][0] != "end":
            raise CelError(f"Syntax error: extraneous input '{self._peek()}'")
        return node

    def _ternary(self) -> Node:
        condition = self._or()
        if not self._accept("?"):
            return condition
        yes = self._ternary()
        self._expect(":")
        no = self._ternary()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _or(self) -> Node:
        node = self._and()
        while self._accept("||"):
            node = _either(node, self._and(), decisive=True)
        return node

    def _and(self) -> Node:
        node = self._relation()
        while self._accept("&&"):
            node = _either(node, self._relation(), decisive=False)
        return node

    def _relation(self) -> Node:
        node = self._binary(_SUMS, functools.partial(self._binary, _PRODUCTS, self._unary))
        while True:
            symbol = self._peek()
            if symbol in _RELATIONS:
                self._take()
                right = self._binary(_SUMS, functools.partial(self._binary, _PRODUCTS, self._unary))
                node = _combined(_RELATIONS[symbol], node, right)
            elif symbol == "in":
                self._take()
                right = self._binary(_SUMS, functools.partial(self._binary, _PRODUCTS, self._unary))
                node = _combined(lambda member, whole: member in whole, node, right)
            else:
                return node

    def _binary(self, operators: Mapping[str, Callable[[Any, Any], Any]], inner: Callable[[], Node]) -> Node:
        node = inner()
        while self._tokens[self._position][0] == "symbol" and self._peek() in operators:
            action = operators[self._take()[1]]
            node = _combined(action, node, inner())
        return node

    def _unary(self) -> Node:
        if self._accept("!"):
            inner = self._unary()
            return lambda scope: not inner(scope)
        if self._accept("-"):
            negated = self._unary()
            return lambda scope: -negated(scope)
        return self._member()

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._accept("."):
                name = self._identifier()
                if self._accept("("):
                    node = self._macro(node, name) if name in _MACROS else self._method(node, name)
                else:
                    node = _selected(node, name)
            elif self._accept("["):
                index = self._ternary()
                self._expect("]")
                node = _indexed(node, index)
            else:
                return node

    def _method(self, target: Node, name: str) -> Node:
        arguments = self._arguments()
        if name not in _METHODS:
            raise CelError(f"undeclared reference to '{name}'")
        return _called(_METHODS[name], [target, *arguments])

    def _macro(self, target: Node, name: str) -> Node:
        variable = self._identifier()
        self._expect(",")
        body = self._ternary()
        self._expect(")")

        def results(scope: Scope) -> list[tuple[Any, Any]]:
            return [(item, body({**scope, variable: item})) for item in target(scope)]

        actions: dict[str, Callable[[list[tuple[Any, Any]]], Any]] = {
            "all": lambda pairs: all(result for _, result in pairs),
            "exists": lambda pairs: any(result for _, result in pairs),
            "exists_one": lambda pairs: sum(bool(result) for _, result in pairs) == 1,
            "filter": lambda pairs: [item for item, result in pairs if result],
            "map": lambda pairs: [result for _, result in pairs],
        }
        action = actions[name]
        return lambda scope: action(results(scope))

    def _arguments(self) -> list[Node]:
        arguments: list[Node] = []
        if self._accept(")"):
            return arguments
        while True:
            arguments.append(self._ternary())
            if not self._accept(","):
                break
        self._expect(")")
        return arguments

    def _primary(self) -> Node:
        if self._accept("("):
            node = self._ternary()
            self._expect(")")
            return node
        if self._accept("["):
            return self._list()
        kind, text = self._take()
        if kind == "number":
            number: int | float = float(text) if "." in text else int(text)
            return lambda _: number
        if kind == "string":
            literal = text[2:-1] if text.startswith("r") else _ESCAPE.sub(r"\1", text[1:-1])
            return lambda _: literal
        if kind != "name":
            raise CelError(f"Syntax error: mismatched input '{text}'")
        return self._named(text)

    def _list(self) -> Node:
        items: list[Node] = []
        while not self._accept("]"):
            items.append(self._ternary())
            self._accept(",")
        return lambda scope: [item(scope) for item in items]

    def _named(self, name: str) -> Node:
        if name in _LITERALS:
            literal = _LITERALS[name]
            return lambda _: literal
        if self._accept("("):
            arguments = self._arguments()
            if name == "has":
                return _has(arguments[0])
            if name not in _FUNCTIONS:
                raise CelError(f"undeclared reference to '{name}'")
            return _called(_FUNCTIONS[name], arguments)

        def look_up(scope: Scope) -> Any:
            if name not in scope:
                raise CelError(f"undeclared reference to '{name}'")
            return scope[name]

        return look_up


def _either(left: Node, right: Node, *, decisive: bool) -> Node:
    """Return || or &&: an operand that decides hides an error of the other one."""

    def evaluate(scope: Scope) -> bool:
        try:
            if bool(left(scope)) is decisive:
                return decisive
        except CelError:
            if bool(right(scope)) is decisive:
                return decisive
            raise
        return bool(right(scope))

    return evaluate


def _combined(action: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    def evaluate(scope: Scope) -> Any:
        try:
            return action(left(scope), right(scope))
        except (TypeError, ZeroDivisionError) as error:
            raise CelError(f"no such overload: {error}") from error

    return evaluate


def _called(action: Callable[..., Any], arguments: list[Node]) -> Node:
    def evaluate(scope: Scope) -> Any:
        try:
            return action(*(argument(scope) for argument in arguments))
        except (TypeError, ValueError) as error:
            raise CelError(f"no such overload: {error}") from error

    return evaluate


def _selected(target: Node, name: str) -> Node:
    def evaluate(scope: Scope) -> Any:
        value = target(scope)
        if not isinstance(value, Mapping) or name not in value:
            raise CelError(f"no such key: {name}")
        return value[name]

    return evaluate


def _indexed(target: Node, index: Node) -> Node:
    def evaluate(scope: Scope) -> Any:
        where = index(scope)
        try:
            return target(scope)[where]
        except (KeyError, IndexError, TypeError) as error:
            raise CelError(f"no such key: {where}") from error

    return evaluate


def _has(argument: Node) -> Node:
    def evaluate(scope: Scope) -> bool:
        try:
            argument(scope)
        except CelError:
            return False
        return True

    return evaluate


@functools.lru_cache(maxsize=256)
def compiled(text: str) -> Node:
    """Return a function from a scope to the expression's value; raises CelError if it has a fault."""
    return _Parser(text).parse()
