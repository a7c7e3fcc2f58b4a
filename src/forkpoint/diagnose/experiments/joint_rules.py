"""Rules over several sizes at once: each by itself, one against another, their product, either."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from forkpoint.diagnose.experiments.rules import Rule, fit
from forkpoint.diagnose.words import joined

Shape = tuple[int, ...]
"""A size for each dimension that is varied, in their order."""

Seen = Mapping[Shape, bool]

_COMPARISONS: tuple[tuple[str, Callable[[int, int], bool]], ...] = (
    ("larger than", operator.gt),
    ("smaller than", operator.lt),
    ("at least", operator.ge),
    ("at most", operator.le),
    ("equal to", operator.eq),
    ("other than", operator.ne),
)


@dataclass(frozen=True, slots=True)
class JointRule:
    """A statement about several sizes, in words, and whether a shape meets it.

    ``edges`` are pairs of products of the dimensions ``factors`` between which the truth
    changes, not known exactly yet where they are no neighbours.
    """

    text: str
    holds: Callable[[Shape], bool]
    factors: tuple[int, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()


def fit_joint(
    rules: Sequence[Rule], names: Sequence[str], seen: Seen, crossed: Sequence[Rule] = ()
) -> JointRule | None:
    """The simplest rule that is right about all shapes; None where there is none.

    ``rules`` are those of each size with the others as recorded, ``crossed`` those with the
    others as in a shape at which the sides agree.
    """
    for rule in _candidates(rules, names, seen, crossed):
        if all(rule.holds(shape) == value for shape, value in seen.items()):
            return rule
    return None


def each(rules: Sequence[Rule], names: Sequence[str]) -> str:
    """What the rules of all sizes say, in one clause."""
    if all(is_always(rule) for rule in rules):
        return "at every size tried"
    told = [f"{r.text} of {n}" for r, n in zip(rules, names, strict=True) if not is_always(r)]
    if len(told) < len(rules):
        told.append("at every size tried of the others")
    return joined(told)


def is_always(rule: Rule) -> bool:
    """Whether it says that the sides differ at every size."""
    return rule.text == "at every size"


def _candidates(
    rules: Sequence[Rule], names: Sequence[str], seen: Seen, crossed: Sequence[Rule]
) -> Iterator[JointRule]:
    yield JointRule(each(rules, names), _all_of(dict(enumerate(rules))))
    yield from _comparisons(rules, names)
    yield from _products(rules, names, seen)
    yield from _either(names, crossed)


def _comparisons(rules: Sequence[Rule], names: Sequence[str]) -> Iterator[JointRule]:
    """One size against another; what the rules of the remaining ones say holds, too."""
    for one, two in combinations(range(len(rules)), 2):
        rest = _without(rules, (one, two))
        also = _also(rest, names)
        for words, compare in _COMPARISONS:
            yield JointRule(
                f"where {_short(names[one])} is {words} {_short(names[two])}{also}",
                _compared(one, two, compare, _all_of(rest)),
            )


def _products(rules: Sequence[Rule], names: Sequence[str], seen: Seen) -> Iterator[JointRule]:
    """A rule of the product of some sizes, with the rules of the remaining ones."""
    for count in range(2, len(rules) + 1):
        for factors in combinations(range(len(rules)), count):
            rest = _without(rules, factors)
            others = _all_of(rest)
            by_product: dict[int, set[bool]] = {}
            for shape, value in seen.items():
                if others(shape):
                    by_product.setdefault(_product(shape, factors), set()).add(value)
            if any(len(values) > 1 for values in by_product.values()):
                continue
            rule = fit({size: next(iter(v)) for size, v in by_product.items()}, plain=True)
            if rule is not None:
                of = joined([_short(names[factor]) for factor in factors])
                yield JointRule(
                    f"{rule.text} of the product of {of}{_also(rest, names)}",
                    _multiplied(factors, rule, others),
                    factors,
                    rule.edges,
                )


def _either(names: Sequence[str], crossed: Sequence[Rule]) -> Iterator[JointRule]:
    """One of several rules is enough."""
    some = {
        number: rule
        for number, rule in enumerate(crossed)
        if not is_always(rule) and rule.text != "at no size"
    }
    if len(some) > 1:
        told = [f"{rule.text} of {_short(names[number])}" for number, rule in some.items()]
        yield JointRule(joined(told, "or"), _any_of(some))


def _also(rest: Mapping[int, Rule], names: Sequence[str]) -> str:
    told = [
        f"{r.text} of {_short(names[number])}" for number, r in rest.items() if not is_always(r)
    ]
    return f" and {joined(told)}" if told else ""


def _without(rules: Sequence[Rule], numbers: Sequence[int]) -> dict[int, Rule]:
    return {number: rule for number, rule in enumerate(rules) if number not in numbers}


def _short(name: str) -> str:
    """A dimension's name without what goes with it."""
    return name.partition(" (")[0]


def _product(shape: Shape, factors: Sequence[int]) -> int:
    return math.prod(shape[factor] for factor in factors)


def _all_of(rules: Mapping[int, Rule]) -> Callable[[Shape], bool]:
    return lambda shape: all(rule.holds(shape[number]) for number, rule in rules.items())


def _any_of(rules: Mapping[int, Rule]) -> Callable[[Shape], bool]:
    return lambda shape: any(rule.holds(shape[number]) for number, rule in rules.items())


def _compared(
    one: int, two: int, compare: Callable[[int, int], bool], others: Callable[[Shape], bool]
) -> Callable[[Shape], bool]:
    return lambda shape: compare(shape[one], shape[two]) and others(shape)


def _multiplied(
    factors: tuple[int, ...], rule: Rule, others: Callable[[Shape], bool]
) -> Callable[[Shape], bool]:
    return lambda shape: others(shape) and rule.holds(_product(shape, factors))
