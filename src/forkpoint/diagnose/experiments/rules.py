"""The simplest rule over sizes that agrees with what was seen.

Rules are words about one number: always, never, bounds, single sizes, remainders, a bound with one
of them, and a few sizes one by one. They are tried from the simplest on, and the first that is
right about every size tried is the answer; whether it is right about others has to be tried
(`sweep`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

_DIVISORS = (*range(2, 17), 24, 32, 48, 64, 96, 128)
_MOST_SINGLE = 8  # sizes that a rule may list one by one
_PARTS = 8  # into which the search for a bound divides what is left, in each round
_LEAST_EXAMPLES = 2  # of each kind, before a remainder is believed


@dataclass(frozen=True, slots=True)
class Rule:
    """A statement about a size, in words, and whether a size meets it.

    ``edges`` are pairs of sizes between which the truth changes: one that is known to meet the
    rule beside one that is known not to. Where they are no neighbours, the bound in between is
    not known exactly.
    """

    text: str
    holds: Callable[[int], bool]
    edges: tuple[tuple[int, int], ...] = ()

    def inside(self) -> list[int]:
        """Some sizes inside of each edge that is not known exactly yet."""
        return inside(self.edges)


def inside(edges: Iterable[tuple[int, int]]) -> list[int]:
    """Some numbers between the two of each pair, at equal distances; none between neighbours."""
    found = {
        low + (high - low) * part // _PARTS
        for low, high in edges
        if high - low > 1
        for part in range(1, _PARTS)
    }
    return sorted(found)


def fit(seen: Mapping[int, bool], *, plain: bool = False) -> Rule | None:
    """The simplest rule that is right about all sizes in ``seen``; None where there is none.

    ``plain``: without a bound that has a remainder, and without lists of single sizes.
    """
    if not seen:
        return None
    for rule in _candidates(seen, plain=plain):
        if all(rule.holds(size) == value for size, value in seen.items()):
            return rule
    return None


def _candidates(seen: Mapping[int, bool], *, plain: bool) -> Iterator[Rule]:
    yes = sorted(size for size, value in seen.items() if value)
    no = sorted(size for size, value in seen.items() if not value)
    if not no:
        yield Rule("at every size", lambda _: True)
        return
    if not yes:
        yield Rule("at no size", lambda _: False)
        return
    yield from _bounds(yes, no)
    yield from _single(yes, no)
    yield from _remainders(seen)
    yield from _between(yes, no)
    if plain:
        return
    yield from _bounded_remainders(seen, yes, no)
    yield from _few(yes, no)


def _bounds(yes: list[int], no: list[int]) -> Iterator[Rule]:
    if no[-1] < yes[0]:
        yield _from(yes[0], no[-1])
    if yes[-1] < no[0]:
        yield _below(no[0], yes[-1])


def _from(least: int, other: int) -> Rule:
    return Rule(f"from size {least} on", lambda size: size >= least, ((other, least),))


def _below(limit: int, other: int) -> Rule:
    return Rule(f"below size {limit}", lambda size: size < limit, ((other, limit),))


def _single(yes: list[int], no: list[int]) -> Iterator[Rule]:
    if len(yes) == 1:
        yield Rule(f"at size {yes[0]} only", lambda size: size == yes[0], _around(yes[0], no))
    if len(no) == 1:
        yield Rule(f"at every size but {no[0]}", lambda size: size != no[0], _around(no[0], yes))


def _around(size: int, others: list[int]) -> tuple[tuple[int, int], ...]:
    below = [other for other in others if other < size]
    above = [other for other in others if other > size]
    return (*((below[-1], size) for _ in below[:1]), *((size, above[0]) for _ in above[:1]))


def _remainders(seen: Mapping[int, bool]) -> Iterator[Rule]:
    for divisor in _DIVISORS:
        yes = {size % divisor for size, value in seen.items() if value}
        no = {size % divisor for size, value in seen.items() if not value}
        if yes & no or len(seen) < 2 * _LEAST_EXAMPLES:
            continue
        if len(yes) == 1 and _often(seen, value=True):
            (rest,) = yes
            yield _remainder(divisor, rest, met=True)
        if len(no) == 1 and _often(seen, value=False):
            (rest,) = no
            yield _remainder(divisor, rest, met=False)


def _remainder(divisor: int, rest: int, *, met: bool) -> Rule:
    if divisor == 2:
        kind = ("even", "odd")[rest if met else 1 - rest]
        return Rule(f"at {kind} sizes", lambda size: (size % 2 == rest) == met)
    what = f"multiples of {divisor}" if not rest else f"size % {divisor} == {rest}"
    if met:
        text = f"at {what}" if not rest else f"where {what}"
    else:
        text = f"at sizes that are no {what}" if not rest else f"where size % {divisor} != {rest}"
    return Rule(text, lambda size: (size % divisor == rest) == met)


def _often(seen: Mapping[int, bool], *, value: bool) -> bool:
    return sum(one == value for one in seen.values()) >= _LEAST_EXAMPLES


def _between(yes: list[int], no: list[int]) -> Iterator[Rule]:
    """A stretch of sizes, or all but a stretch."""
    for inside, outside, met in ((yes, no, True), (no, yes, False)):
        first, last = inside[0], inside[-1]
        if any(first < size < last for size in outside):
            continue
        edges = (*_around(first, outside)[:1], *_around(last, outside)[-1:])
        words = f"from size {first} to {last}"
        text = words if met else f"at every size but those {words}"
        yield Rule(text, _stretch(first, last, met=met), edges)


def _stretch(first: int, last: int, *, met: bool) -> Callable[[int], bool]:
    return lambda size: (first <= size <= last) == met


def _bounded_remainders(seen: Mapping[int, bool], yes: list[int], no: list[int]) -> Iterator[Rule]:
    """A remainder above or below a bound, where the other side is all of one kind."""
    for start in (yes[0], no[0]):
        above = {size: value for size, value in seen.items() if size >= start}
        below = {size: value for size, value in seen.items() if size < start}
        if len(set(below.values())) == 1:
            yield from _joined(above, (start, max(below)), next(iter(below.values())), upper=True)
    for end in (yes[-1], no[-1]):
        under = {size: value for size, value in seen.items() if size <= end}
        over = {size: value for size, value in seen.items() if size > end}
        if len(set(over.values())) == 1:
            yield from _joined(under, (end, min(over)), next(iter(over.values())), upper=False)


def _few(yes: list[int], no: list[int]) -> Iterator[Rule]:
    """A few single sizes; all around them have to be tried before that is the answer."""
    for inside, outside, met in ((yes, no, True), (no, yes, False)):
        if not 2 <= len(inside) <= _MOST_SINGLE:
            continue
        listed = ", ".join(map(str, inside[:-1])) + f" and {inside[-1]}"
        text = f"at sizes {listed} only" if met else f"at every size but {listed}"
        kinds = sorted([(size, True) for size in inside] + [(size, False) for size in outside])
        edges = tuple((a, b) for (a, one), (b, two) in pairwise(kinds) if one != two)
        yield Rule(text, _among(frozenset(inside), met=met), edges)


def _among(sizes: frozenset[int], *, met: bool) -> Callable[[int], bool]:
    return lambda size: (size in sizes) == met


def _joined(
    part: Mapping[int, bool], edge: tuple[int, int], rest: bool, *, upper: bool
) -> Iterator[Rule]:
    start, other = edge
    for inner in _remainders(part):
        side = f"from size {start} on" if upper else f"up to size {start}"
        beyond = "and at every other size" if rest else "and at no other size"
        yield Rule(
            f"{side} {inner.text}, {beyond}",
            _piece(inner.holds, start, rest, upper=upper),
            ((min(start, other), max(start, other)),),
        )


def _piece(
    inner: Callable[[int], bool], start: int, rest: bool, *, upper: bool
) -> Callable[[int], bool]:
    def holds(size: int) -> bool:
        here = size >= start if upper else size <= start
        return inner(size) if here else rest

    return holds
