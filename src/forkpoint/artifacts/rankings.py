"""Two runs' search results: how much of each ranking stayed, and whether its quality did.

Read are TREC run files (``query Q0 document rank score tag``), ColBERT's ``ranking.tsv``
(``query document rank [score]``) and JSON (``{query: [[document, score], ...]}``). A run file
is ordered by score, then by rank, as TREC has it; the others as they are written.

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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median
from typing import Any

from forkpoint.artifacts.arrays import share
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.documents import MAX_DOCUMENT, parse
from forkpoint.artifacts.quality import qualities
from forkpoint.artifacts.text import lines
from forkpoint.model import RankCut, RankFlip, RankingMetrics, Verdict

CUTS = (1, 10, 100)
RBO_P = 0.9
MAX_FLIPS = 50
_SNIFFED = 5


@dataclass(frozen=True, slots=True)
class Ranked:
    """One query's documents, best first; a score is None where the file has none."""

    documents: tuple[str, ...]
    scores: tuple[float | None, ...]


Rankings = Mapping[str, Ranked]


class RankingFile:
    """Rankings in any of the three formats."""

    kind = "ranking"

    def recognises(self, file: File) -> bool:
        """By the first lines, or by the shape of a JSON document."""
        if file.suffix == ".json":
            return _is_json_ranking(file)
        whole = file.head.splitlines()[:_SNIFFED]
        if len(file.head) < file.size and len(whole) < _SNIFFED:
            return False
        return bool(whole) and all(_fields(line) is not None for line in whole)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """All queries of both files."""
        yield compare_rankings(read(baseline), read(candidate), context)


def read(file: File) -> dict[str, Ranked]:
    """The rankings of a file by query; raises `Refused` where a line or value is not one."""
    if file.suffix == ".json":
        return _read_json(file)
    rows: dict[str, list[tuple[str, int, float | None, bool]]] = {}
    for number, line in enumerate(lines(file), 1):
        fields = _fields(line)
        if fields is None:
            raise Refused(
                f"Line {number} is not a line of a ranking.",
                hint="TREC: query Q0 document rank score tag. ColBERT: query document rank score.",
            )
        query, row = fields
        rows.setdefault(query, []).append(row)
    return {query: _ordered(query, found) for query, found in rows.items()}


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
    whole = same == len(queries) and not missing
    return Found(
        verdict=Verdict.IDENTICAL if whole else Verdict.DIVERGENT,
        summary=_summary(ranking),
        elements=len(queries),
        changed_fraction=1.0 - same / len(queries) if queries else 0.0,
        where=tuple(f"query {flip.query}, rank {flip.rank}" for flip in flips[:5]),
        ranking=ranking,
    )


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
                changes.append(abs(score - other))
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
    return None if one is None or two is None else one - two


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


def _fields(line: bytes) -> tuple[str, tuple[str, int, float | None, bool]] | None:
    """A line as query and (document, rank, score, by score); None where it is no such line."""
    try:
        words = line.decode().split()
        if len(words) == 6:
            query, _, document, rank, score, _ = words
            return _finite(query, (document, int(rank), float(score), True))
        if len(words) in (3, 4) and b"\t" in line:
            value = float(words[3]) if len(words) == 4 else None
            int(words[1])
            return _finite(words[0], (words[1], int(words[2]), value, False))
    except ValueError:
        return None
    return None


def _finite(
    query: str, row: tuple[str, int, float | None, bool]
) -> tuple[str, tuple[str, int, float | None, bool]] | None:
    return (query, row) if row[2] is None or isfinite(row[2]) else None


def _ordered(query: str, rows: list[tuple[str, int, float | None, bool]]) -> Ranked:
    by_score = all(row[3] for row in rows)
    rows.sort(key=lambda row: (-(row[2] or 0.0) if by_score else 0.0, row[1]))
    documents = tuple(row[0] for row in rows)
    if len(set(documents)) != len(documents):
        raise Refused(f"Query {query!r} ranks a document twice.", hint="Keep its best rank only.")
    return Ranked(documents, tuple(row[2] for row in rows))


def _is_json_ranking(file: File) -> bool:
    if file.size > MAX_DOCUMENT:
        return False
    try:
        return bool(_read_json(file))
    except (Refused, OSError):
        return False


def _read_json(file: File) -> dict[str, Ranked]:
    value = parse(file.read())
    if not isinstance(value, dict):
        raise Refused("This is not a ranking.", hint="{query: [[document, score], ...]}")
    return {str(query): _json_query(query, rows) for query, rows in value.items()}


def _json_query(query: str, rows: Any) -> Ranked:
    well_formed = isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) == 2
        and isinstance(row[0], str | int)
        and isinstance(row[1], float | int)
        for row in rows
    )
    if not well_formed:
        raise Refused(f"Query {query!r} is no list of [document, score].", hint="Look at it.")
    found: list[tuple[str, int, float | None, bool]] = [
        (str(document), i, float(score), False) for i, (document, score) in enumerate(rows)
    ]
    return _ordered(query, found)
