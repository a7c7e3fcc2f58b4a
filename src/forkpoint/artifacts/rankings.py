"""Two runs' search results: how much of each ranking stayed, and whether its quality did.

Rankings are identical where queries, documents, their order, scores and all other fields are.

Flips
    A flip is a pair of neighbours in the baseline whose order the candidate reverses, a
    document that the candidate lost counting as last. Its margin is the difference of their
    scores in the baseline. ``noise`` is the median change of a score over all documents that
    both runs ranked. A flip is a *tie* where the margin is 0 on either side, a *near tie*
    where it is at most twice the noise, else *moved*: a score changed by more than its kind.
Rank-biased overlap
    is the extrapolated form (RBO_ext, Webber, Moffat and Zobel 2010, equation 32) with
    p = 0.9, over the depth of the shorter list.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from forkpoint.artifacts.arrays import MAX_WHERE, share
from forkpoint.artifacts.changes import Changes, contrast
from forkpoint.artifacts.comparer import Context, Found, Refused
from forkpoint.artifacts.numbers import Number, decimal
from forkpoint.artifacts.quality import qualities
from forkpoint.compare.elements import LARGEST
from forkpoint.inert import name
from forkpoint.model import RankCut, RankFlip, RankingMetrics, Verdict

CUTS = (1, 10, 100)
RBO_P = 0.9
MAX_FLIPS = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One document of a ranking as a file has it; ``others`` are further fields, with names."""

    document: str
    score: Number | None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query's documents, best first; a score is None where the file has none.

    ``rows`` has them as the file spells them, where they are from a file.
    """

    documents: tuple[str, ...]
    scores: tuple[float | None, ...]
    rows: tuple[Row, ...] = ()


Rankings = Mapping[str, Ranked]


def ranked(query: str, rows: Sequence[Row]) -> Ranked:
    """One query's documents in this order; raises `Refused` where one is ranked twice."""
    documents = tuple(row.document for row in rows)
    if len(set(documents)) != len(documents):
        raise Refused(
            f"Query '{name(query[:60])}' ranks a document twice.", hint="Keep its best rank only."
        )
    scores = tuple(None if row.score is None else _float(row.score) for row in rows)
    return Ranked(documents, scores, tuple(rows))


def from_document(value: Any) -> dict[str, Ranked] | None:
    """The rankings that a JSON document holds; None where it has any other shape.

    ``{query: [[document, score], ...]}``: each document once, as text or as a whole number, and
    each score a number.
    """
    if not isinstance(value, dict) or not any(value.values()):
        return None
    found = {}
    for query, rows in value.items():
        if type(rows) is not list or not all(map(_is_row, rows)):
            return None
        listed = [Row(str(document), score) for document, score in rows]
        if len({row.document for row in listed}) != len(listed):
            return None
        found[query] = ranked(query, listed)
    return found


def _is_row(row: Any) -> bool:
    if type(row) is not list or len(row) != 2:
        return False
    document, score = row
    whole = isinstance(document, Number) and document.whole
    return (type(document) is str or whole) and isinstance(score, Number) and _is_finite(score)


def _is_finite(score: Number) -> bool:
    return decimal(score) is not None


def _float(score: Number) -> float:
    """The score to measure with; NaN for what is none. Equality is decided by its text."""
    value = decimal(score)
    if value is None:
        return math.nan
    return min(max(float(value), -LARGEST), LARGEST)


def compare_rankings(one: Rankings, two: Rankings, context: Context) -> Found:
    """Compare two sets of rankings; equal order (and documents) everywhere is identical."""
    queries = sorted(one.keys() & two.keys())
    pairs = [(query, one[query], two[query]) for query in queries]
    same = sum(b.documents == c.documents for _, b, c in pairs)
    missing = len(one.keys() ^ two.keys())
    noise = _noise(pairs)
    flips = [flip for query, b, c in pairs for flip in _flips(query, b, c, noise)]
    kinds = [flip.kind for flip in flips]
    orders = {q: r.documents for q, r in one.items()}, {q: r.documents for q, r in two.items()}
    ranking = RankingMetrics(
        queries=len(queries),
        unpaired_queries=missing,
        same_order=same,
        rbo=fmean(rbo(b.documents, c.documents) for _, b, c in pairs) if pairs else 0.0,
        rbo_p=RBO_P,
        cuts=tuple(_cut(k, pairs) for k in CUTS),
        flips=len(flips),
        ties=kinds.count("tie"),
        near_ties=kinds.count("near_tie"),
        moved=kinds.count("moved"),
        noise=noise,
        examples=tuple(flips[:MAX_FLIPS]),
        quality=qualities(*orders, context.relevance) if context.relevance else (),
    )
    changes, touched = _fields_of(pairs, context)
    fields = changes.found()
    said = f"; under equal order {fields.summary}" if touched or changes.respelled else ""
    in_order = same == len(queries) and not missing
    changed = len(queries) - same + touched
    return Found(
        verdict=fields.verdict if in_order else Verdict.DIVERGENT,
        summary=_summary(ranking) + said,
        elements=len(queries),
        changed_fraction=changed / len(queries) if queries else 0.0,
        where=(
            *(f"query {name(flip.query)}, rank {flip.rank}" for flip in flips[:MAX_WHERE]),
            *fields.where,
        )[:MAX_WHERE],
        ranking=ranking,
    )


def _fields_of(pairs: list[tuple[str, Ranked, Ranked]], context: Context) -> tuple[Changes, int]:
    """Scores and all other fields of queries in the same order, and how many queries changed."""
    changes, touched = Changes(context), 0
    for query, one, two in pairs:
        if one.documents == two.documents:
            before = changes.changed
            for b, c in zip(_as_rows(one), _as_rows(two), strict=True):
                if b != c:
                    _compare_row(changes, f"query {name(query[:60])}", b, c)
                else:
                    changes.total += 1 + len(b.others)
            touched += changes.changed > before
    return changes, touched


def _as_rows(found: Ranked) -> Sequence[Row]:
    scores = zip(found.documents, found.scores, strict=True)
    return found.rows or [
        Row(document, None if score is None else Number(repr(score))) for document, score in scores
    ]


def _compare_row(changes: Changes, place: str, one: Row, two: Row) -> None:
    place += f", document {name(one.document[:60])}"
    if one.score is not None and two.score is not None:
        changes.number(place, one.score, two.score)
    elif one.score != two.score:
        changes.change(place, "a score in one file only")
    if len(one.others) != len(two.others):
        changes.change(place, "other fields")
    for b, c in zip(one.others, two.others, strict=False):
        if b == c:
            changes.total += 1
        else:
            changes.change(place, contrast(b, c))


def rbo(one: tuple[str, ...], two: tuple[str, ...], p: float = RBO_P) -> float:
    """Extrapolated rank-biased overlap of two lists without repeats, from 0 to 1."""
    depth = min(len(one), len(two))
    if not depth:
        return float(len(one) == len(two))
    seen: tuple[set[str], set[str]] = (set(), set())
    overlap, total = 0, 0.0
    for at in range(depth):
        b, c = one[at], two[at]
        overlap += (b == c) + (b != c and b in seen[1]) + (b != c and c in seen[0])
        seen[0].add(b)
        seen[1].add(c)
        total += overlap / (at + 1) * p ** (at + 1)
    return overlap / depth * p**depth + (1 - p) / p * total


def _cut(k: int, pairs: list[tuple[str, Ranked, Ranked]]) -> RankCut:
    tops = [(b.documents[:k], c.documents[:k]) for _, b, c in pairs]
    shared = [len(set(b) & set(c)) for b, c in tops]
    sizes = [max(len(b), len(c)) for b, c in tops]
    return RankCut(
        k=k,
        overlap=fmean(n / size if size else 1.0 for n, size in zip(shared, sizes, strict=True))
        if tops
        else 0.0,
        same_set=sum(set(b) == set(c) for b, c in tops),
        same_order=sum(b == c for b, c in tops),
        ids_swapped=fmean(size - n for n, size in zip(shared, sizes, strict=True)) if tops else 0.0,
    )


def _noise(pairs: list[tuple[str, Ranked, Ranked]]) -> float | None:
    changes = []
    for _, b, c in pairs:
        theirs = dict(zip(c.documents, c.scores, strict=True))
        for document, score in zip(b.documents, b.scores, strict=True):
            other = theirs.get(document)
            if score is not None and other is not None:
                changes.append(min(abs(score - other), LARGEST))
    return median(changes) if changes else None


def _flips(query: str, one: Ranked, two: Ranked, noise: float | None) -> Iterator[RankFlip]:
    at = {document: i for i, document in enumerate(two.documents)}
    last = len(two.documents)
    for i in range(len(one.documents) - 1):
        first, second = one.documents[i : i + 2]
        if at.get(first, last) <= at.get(second, last):
            continue
        margin = _margin(one, i, i + 1)
        there = _margin(two, at[second], at[first]) if first in at else None
        yield RankFlip(
            query=query,
            rank=i + 1,
            document=first,
            overtaken_by=second,
            margin=margin,
            kind=_kind(margin, there, noise),
        )


def _margin(ranked: Ranked, i: int, j: int) -> float | None:
    one, two = ranked.scores[i], ranked.scores[j]
    return None if one is None or two is None else min(max(one - two, -LARGEST), LARGEST)


def _kind(margin: float | None, there: float | None, noise: float | None) -> Any:
    if margin is None or noise is None:
        return "unknown"
    if not margin or there == 0:
        return "tie"
    return "near_tie" if abs(margin) <= 2 * noise else "moved"


def _summary(ranking: RankingMetrics) -> str:
    changed = ranking.queries - ranking.same_order
    text = f"{share(changed / ranking.queries) if ranking.queries else '0%'} of "
    text += f"{ranking.queries:,} queries in another order, rank-biased overlap {ranking.rbo:.4f}"
    ten = next(cut for cut in ranking.cuts if cut.k == 10)
    text += f", {ten.ids_swapped:.2f} of the top 10 swapped"
    if ranking.flips:
        text += f"; {ranking.flips:,} flips ({ranking.ties:,} ties, {ranking.near_ties:,} near)"
    if ranking.unpaired_queries:
        text += f"; {ranking.unpaired_queries:,} queries in one file only"
    return text
