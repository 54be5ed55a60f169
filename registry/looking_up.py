"""Conditions that PostgreSQL answers from columns of its own, and SQLite by looking at the text.

The migration `what_the_list_needs_on_postgresql` adds the columns `words` (a tsvector) and `met_ids`,
`workload_ids` (arrays), generated from the ordinary ones: nothing in Python has to keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.expressions import Func

_WORD = re.compile(r"[^\W_]+")
LONGEST_SEARCH = 12  # words


def search_words(text: str) -> list[str]:
    """The words of `text` in small letters, without signs; the first few are enough to find anything."""
    return _WORD.findall(text.lower())[:LONGEST_SEARCH]


class _OwnColumn(Func):
    """A condition on a column that only PostgreSQL has, of the row that the expression stands in."""

    template = "%(column)s"
    arity = 1

    def __init__(self, **extra: Any) -> None:
        super().__init__(models.F("pk"), **extra)

    def _row(self, compiler: Any, connection: Any) -> str:
        """The quoted name of the table, or its alias, in this query."""
        sql: str = compiler.compile(self.source_expressions[0])[0]
        return sql.rpartition(".")[0]


def tsquery(words: Sequence[str]) -> str:
    """All the words; the last may be unfinished, since lists follow the typing.

    Only one, because every beginning has to be looked up with all the words that it can become.
    """
    *whole, last = words
    return " & ".join([*(f"'{word}'" for word in whole), f"'{last}':*"])


class MatchesWords(_OwnColumn):
    """The certificate has all the words."""

    conditional = True
    output_field = models.BooleanField()

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.query = tsquery(words)

    def as_sql(self, compiler: Any, connection: Any, **_extra: Any) -> tuple[str, Any]:  # type: ignore[override]
        return f"({self._row(compiler, connection)}.words @@ %s::tsquery)", [self.query]


class WordsRank(_OwnColumn):
    """How well the words fit: the platform's name counts most, then the vendor's."""

    output_field = models.FloatField()

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.query = tsquery(words)

    def as_sql(self, compiler: Any, connection: Any, **_extra: Any) -> tuple[str, Any]:  # type: ignore[override]
        return f"ts_rank({self._row(compiler, connection)}.words, %s::tsquery)", [self.query]


class HasWord(Func):
    """Whether a text of words between spaces has this one."""

    conditional = True
    output_field = models.BooleanField()
    arity = 1

    def __init__(self, column: str, word: str) -> None:
        super().__init__(models.F(column))
        self.word = word

    def as_sql(self, compiler: Any, connection: Any, **_extra: Any) -> tuple[str, Any]:  # type: ignore[override]
        column = compiler.compile(self.source_expressions[0])[0]
        return f"(instr({column}, %s) > 0)", [f" {self.word} "]

    def as_postgresql(self, compiler: Any, connection: Any, **_extra: Any) -> tuple[str, list[Any]]:
        column = compiler.compile(self.source_expressions[0])[0]
        # The array stands in a generated column with an index and statistics of its own.
        own = column.replace('"met"', "met_ids").replace('"workloads"', "workload_ids")
        return f"({own} @> %s::text[])", [[self.word]]
