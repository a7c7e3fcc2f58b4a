"""Files of search results: TREC runs, and ColBERT's ``ranking.tsv``.

A TREC run (``query Q0 document rank score tag``) is ordered by score, then by rank; a
``ranking.tsv`` (``query document rank [score]``) as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.numbers import Number, decimal
from forkpoint.artifacts.rankings import Ranked, Row, compare_rankings, ranked
from forkpoint.artifacts.text import lines

_SNIFFED = 5
_INTEGER = re.compile(rb"-?[0-9]{1,18}")
_SCORE = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
_SPACE = re.compile(rb"[ \t]+")


class RankingFile:
    """Rankings in either format."""

    kind = "ranking"

    def recognises(self, file: File) -> bool:
        """By the first lines."""
        if file.suffix == ".json":
            return False
        whole = file.head.splitlines()[:_SNIFFED]
        if len(file.head) < file.size and len(whole) < _SNIFFED:
            return False
        return bool(whole) and all(_fields(line) is not None for line in whole)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """All queries of both files."""
        yield compare_rankings(read(baseline), read(candidate), context)


def read(file: File) -> dict[str, Ranked]:
    """The rankings of a file by query; raises `Refused` where a line is not one."""
    rows: dict[str, list[tuple[Row, int]]] = {}
    kinds = set()
    for number, line in enumerate(lines(file), 1):
        fields = _fields(line.removesuffix(b"\n").removesuffix(b"\r"))
        if fields is None:
            raise Refused(
                f"Line {number} is not a line of a ranking.",
                hint="TREC: query Q0 document rank score tag. ColBERT: query document rank score.",
            )
        query, row, rank, is_trec = fields
        kinds.add(is_trec)
        rows.setdefault(query, []).append((row, rank))
    if len(kinds) > 1:
        raise Refused("Lines of two formats are mixed.", hint="Write one format.")
    if kinds == {True}:
        for of_query in rows.values():
            of_query.sort(key=lambda pair: (-_value(pair[0]), pair[1]))
    return {query: ranked(query, [row for row, _ in found]) for query, found in rows.items()}


def _value(row: Row) -> Decimal:
    return Decimal(0) if row.score is None else decimal(row.score) or Decimal(0)


def _fields(line: bytes) -> tuple[str, Row, int, bool] | None:
    """A line as query, row, rank and whether it is TREC's; None where it is no such line."""
    words = _SPACE.split(line.strip(b" \t"))
    try:
        if len(words) == 6 and _INTEGER.fullmatch(words[3]) and _SCORE.fullmatch(words[4]):
            texts = [word.decode() for word in words]
            query, iteration, document, rank, score, tag = texts
            others = (f"rank {rank}", f"iteration {iteration}", f"tag {tag}")
            return query, Row(document, Number(score), others), int(rank), True
        return _tabbed(line.split(b"\t"))
    except ValueError:
        return None


def _tabbed(words: list[bytes]) -> tuple[str, Row, int, bool] | None:
    if len(words) not in (3, 4) or not all(_INTEGER.fullmatch(word) for word in words[1:3]):
        return None
    if len(words) == 4 and not _SCORE.fullmatch(words[3]):
        return None
    query, document, rank = (word.decode() for word in words[:3])
    score = Number(words[3].decode()) if len(words) == 4 else None
    return query, Row(document, score, (f"rank {rank}",)), int(rank), False
