"""Checks with an observation taken out, to see whether anybody would miss it.

A place where a check concludes that the platform does not do it is a *site*, named by its module, its
function and its reason: ``gang_scheduling._Stage.all_bind:gang_never_released``. An edit changes the
source of a module; the edited check is loaded beside the real one, which it leaves alone.
"""

from __future__ import annotations

import ast
import functools
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import conformance
from conformance import checks
from conformance.checks import Check

ROOT = Path(conformance.__file__).parent
PACKAGE = "conformance"
# How a check concludes deep inside, by the status it comes to.
_WORDS = {"fail": "failed", "unknown": "unknown"}

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class DoesNotApplyError(LookupError):
    """What an edit was to change is not there any more, or not once."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Takes out the statement that concludes at a site; `instead` stands in its place."""

    site: str
    instead: str = "pass"

    @property
    def module(self) -> str:
        """Where the site is."""
        return module_of(self.site)

    def apply(self, tree: ast.Module) -> None:
        """Change the module."""
        found = [
            statement
            for status in _WORDS
            for name, statement in sites_in(self.module, tree, status)
            if name == self.site
        ]
        if len(found) != 1:
            raise DoesNotApplyError(f"{self.site} is there {len(found)} times")
        _Replacing(found[0], ast.parse(self.instead).body).visit(tree)


@dataclass(frozen=True, slots=True)
class Swap:
    """Puts another expression in the place of one in a function, `where` it stands but once."""

    where: str
    old: str
    new: str

    @property
    def module(self) -> str:
        """Where the function is."""
        return module_of(self.where)

    def apply(self, tree: ast.Module) -> None:
        """Change the module."""
        function = functions_of(self.module, tree).get(self.where)
        if function is None:
            raise DoesNotApplyError(f"there is no {self.where}")
        wanted = ast.unparse(ast.parse(self.old, mode="eval").body)
        found = [
            node for node in ast.walk(function) if isinstance(node, ast.expr) and ast.unparse(node) == wanted
        ]
        if len(found) != 1:
            raise DoesNotApplyError(f"{wanted} stands {len(found)} times in {self.where}")
        _Replacing(found[0], [ast.parse(self.new, mode="eval").body]).visit(tree)


Edit = Drop | Swap


class _Replacing(ast.NodeTransformer):
    """Puts other nodes in the place of one."""

    def __init__(self, old: ast.AST, new: list[ast.stmt] | list[ast.expr]) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST | list[ast.stmt]:
        if node is not self._old:
            return super().generic_visit(node)
        if isinstance(node, ast.stmt):
            return [entry for entry in self._new if isinstance(entry, ast.stmt)]
        return self._new[0]


# Modules ------------------------------------------------------------------------------------------


def module_of(name: str) -> str:
    """Return the module of a site or function: the check's own, or one it is made of."""
    first = name.partition(":")[0].partition(".")[0]
    return f"checks.{first}" if (ROOT / "checks" / f"{first}.py").exists() else first


def tree_of(module: str) -> ast.Module:
    """Return a module's source, parsed anew, so that it can be changed."""
    return ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))


@functools.cache
def _read(module: str) -> ast.Module:
    return tree_of(module)


def functions_of(module: str, tree: ast.Module) -> dict[str, _Function]:
    """Return the functions of a module, and the methods of its classes, by name."""
    short = module.rpartition(".")[2]
    found: dict[str, _Function] = {}
    for node in tree.body:
        if isinstance(node, _Function):
            found[f"{short}.{node.name}"] = node
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{short}.{node.name}.{inner.name}": inner
                for inner in node.body
                if isinstance(inner, _Function)
            }
    return found


@functools.cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Return what names stand for: a module of the engine, or something of one."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(_read(module)):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(PACKAGE):
            continue
        base = str(node.module).removeprefix(PACKAGE).lstrip(".")
        for alias in node.names:
            whole = f"{base}.{alias.name}" if base else alias.name
            name = alias.asname or alias.name
            if (ROOT / f"{whole.replace('.', '/')}.py").exists():
                found[name] = (whole, "")
            elif (ROOT / f"{base.replace('.', '/')}.py").exists():
                found[name] = (base, alias.name)
    return found


def _needs(module: str) -> set[str]:
    return {other for other, _ in _imports(module).values()}


@functools.cache
def _order(check_id: str) -> list[str]:
    """Return the modules a check is made of, each after those it needs."""
    done: dict[str, None] = {}
    met: set[str] = set()

    def add(module: str) -> None:
        met.add(module)
        for needed in sorted(_needs(module)):
            # Imports for the type checker alone may go round in a circle.
            if needed not in met:
                add(needed)
        done[module] = None

    add(f"checks.{check_id}")
    return list(done)


# Sites --------------------------------------------------------------------------------------------


def sites_in(module: str, tree: ast.Module, status: str = "fail") -> list[tuple[str, ast.stmt]]:
    """Return the sites of a module with the statements that conclude there: as failed, or as unknown."""
    found: list[tuple[str, ast.stmt]] = []
    for name, function in functions_of(module, tree).items():
        counted: dict[str, int] = {}
        for node in sorted(_conclusions(function), key=lambda node: node.lineno):
            code = _code(node.exc if isinstance(node, ast.Raise) else node.value, status)
            if code is not None:
                counted[code] = counted.get(code, 0) + 1
                number = f"#{counted[code]}" if counted[code] > 1 else ""
                found.append((f"{name}:{code}{number}", node))
    return found


def _conclusions(function: _Function) -> Iterator[ast.Raise | ast.Return]:
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.Return):
            yield node


def _code(value: ast.expr | None, status: str) -> str | None:
    """Return the reason with which an expression comes to a status; None where it does not."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Name):
        return None
    if value.func.id == _WORDS[status]:
        reason = value.args[0]
    elif value.func.id == "Verdict" and ast.unparse(value.args[0]) == f"Status.{status.upper()}":
        reason = value.args[1]
    else:
        return None
    return str(reason.value) if isinstance(reason, ast.Constant) else ast.unparse(reason)


@functools.cache
def _sites(module: str) -> tuple[str, ...]:
    return tuple(name for name, _ in sites_in(module, _read(module)))


def sites_of(check_id: str) -> set[str]:
    """Return every site that can be reached from a check, by the names its functions use."""
    start = (f"checks.{check_id}", check_id)
    seen, waiting = {start}, [start]
    found: set[str] = set()
    while waiting:
        module, name = waiting.pop()
        short = module.rpartition(".")[2]
        # Of a class that is named, every method counts.
        found |= {
            site for site in _sites(module) if site.startswith((f"{short}.{name}:", f"{short}.{name}."))
        }
        further = _used(module, name) - seen
        seen |= further
        waiting += further
    return found


def _defined(tree: ast.Module, name: str) -> Iterator[ast.stmt]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() if node.name == name:
                yield node
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                yield node
            case ast.AnnAssign(target=ast.Name(id=target)) if target == name:
                yield node


@functools.cache
def _used(module: str, defined: str) -> frozenset[tuple[str, str]]:
    """Return what a definition names: things of its own module and of others of the engine."""
    imported = _imports(module)
    found: set[tuple[str, str]] = set()
    for entry in (part for node in _defined(_read(module), defined) for part in ast.walk(node)):
        if isinstance(entry, ast.Name):
            other, name = imported.get(entry.id, (module, entry.id))
            if name:
                found.add((other, name))
        elif isinstance(entry, ast.Attribute) and isinstance(entry.value, ast.Name):
            other, name = imported.get(entry.value.id, ("", ""))
            if other and not name:
                found.add((other, entry.attr))
    return frozenset(found)


# Loading ------------------------------------------------------------------------------------------


def mutated(check_id: str, edits: Collection[Edit]) -> Check:
    """Return a check made of edited modules; raise DoesNotApplyError where an edit finds nothing."""
    edited = {edit.module for edit in edits}
    made_of = _order(check_id)
    if strangers := edited - set(made_of):
        raise DoesNotApplyError(f"{check_id} is not made of {', '.join(sorted(strangers))}")
    touched: set[str] = set()
    registered: dict[str, Check] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_registered", registered)
        for module in made_of:
            if module in edited or _needs(module) & touched or module == f"checks.{check_id}":
                touched.add(module)
                _load(module, [edit for edit in edits if edit.module == module], patch)
    return registered[check_id]


def _load(module: str, edits: Collection[Edit], patch: pytest.MonkeyPatch) -> None:
    """Run a module's edited source in a module of its own, which stands for the real one meanwhile."""
    tree = tree_of(module)
    for edit in edits:
        edit.apply(tree)
    name = f"{PACKAGE}.{module}"
    fresh = types.ModuleType(name)
    fresh.__file__ = f"<{name}, edited>"
    fresh.__package__ = name.rpartition(".")[0]
    patch.setitem(sys.modules, name, fresh)
    patch.setattr(sys.modules[fresh.__package__], name.rpartition(".")[2], fresh)
    exec(compile(ast.fix_missing_locations(tree), fresh.__file__, "exec"), fresh.__dict__)  # noqa: S102


def in_place_of(check: Check) -> Mapping[str, Check]:
    """Return all checks, with this one in the place of the real one."""
    return {**checks.load(), check.info.id: check}
