"""What is said of forks: the first operator that differs, or no more than the first difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from forkpoint.compare import DIFFERING
from forkpoint.model import Comparison, Fork, ForkInput, Metrics, ShapeRow, Step
from forkpoint.report.words import LONG_NAME, counted, every, operator, place, shorten

INPUTS_DIFFER = "inputs differ"
"""Said in the place of a fork of steps that were given what earlier ones returned."""

OTHER_OPS = "other operators"
"""Said in the place of a fork where other operators or modules ran before anything differed."""

_NOT_RECORDED = "what modules are given is not recorded"

_DIFFERS = {
    "op": "differs, though no operator before it was seen to",
    "input": "is an input of the step and differs",
    "weight": "is a weight and differs",
    "outside": "came from outside the recorded events and differs",
    "unknown": "differs",
}


def differing(steps: Iterable[Step]) -> list[Step]:
    """The steps whose outputs differ in at least one bit or value."""
    return [step for step in steps if step.verdict in DIFFERING]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkGroup:
    """The steps whose fork lies in one place; ``measured`` holds the metrics at hand there."""

    fork: Fork
    root: str
    steps: tuple[int, ...]
    measured: tuple[Metrics, ...]

    @property
    def max_abs(self) -> float | None:
        """The largest difference at the fork, or None where nothing was measured."""
        return max((metrics.max_abs for metrics in self.measured), default=None)

    @property
    def max_ulp(self) -> int | None:
        """The largest ULP distance at the fork."""
        return max((m.max_ulp for m in self.measured if m.max_ulp is not None), default=None)

    @property
    def equal_fraction(self) -> float | None:
        """The smallest share of equal values at the fork."""
        return min((metrics.equal_fraction for metrics in self.measured), default=None)

    @property
    def note(self) -> str:
        """What is not known of its inputs, in short; empty for a proven fork."""
        return fork_note(self.fork)


def fork_groups(steps: Iterable[Step]) -> tuple[ForkGroup, ...]:
    """Forks by place: proven operators first, then other operators, then the commonest."""
    places: dict[tuple[str, ...], list[tuple[Fork, Step]]] = {}
    for step in steps:
        if step.fork:
            fork = step.fork
            key = (step.module, fork.module, fork.op or "", fork.kind, str(fork.proven))
            places.setdefault(key, []).append((fork, step))
    groups = [
        ForkGroup(
            fork=members[0][0],
            root=members[0][1].module,
            steps=tuple(step.index for _, step in members),
            measured=tuple(fork.metrics for fork, _ in members if fork.metrics),
        )
        for members in places.values()
    ]
    return tuple(sorted(groups, key=lambda g: (*_order(g.fork), -len(g.steps), g.steps[0])))


def fork_order(steps: Iterable[Step]) -> list[Step]:
    """The steps that fork; those with a proven operator first, as they say most."""
    forked = [step for step in steps if step.fork]
    return sorted(forked, key=lambda s: (*(_order(s.fork) if s.fork else ()), s.index))


def row_fork(row: ShapeRow, by_index: Mapping[int, Step]) -> Fork | None:
    """The fork that speaks for a row of the table by shape: an op's before a module's."""
    steps = fork_order(by_index[index] for index in row.steps if index in by_index)
    return steps[0].fork if steps else None


def row_note(row: ShapeRow, by_index: Mapping[int, Step]) -> str:
    """Why a row of the table by shape has no fork, where there is more to say than that."""
    steps = [by_index[index] for index in row.steps if index in by_index]
    if any(step.chained for step in steps):
        return INPUTS_DIFFER
    other = any(step.same_sequence is False for step in differing(steps))
    return OTHER_OPS if other else ""


def fork_name(fork: Fork) -> str:
    """The shortest name of a fork: its operator, or else its module."""
    if not fork.op:
        return fork.module or "the model itself"
    return operator(fork.op) if fork.proven else f"{operator(fork.op)}, first seen"


def fork_label(fork: Fork) -> str:
    """What a fork is, as the head of a cell."""
    if fork.op is None:
        return "First module that differs"
    return "First operator that differs" if fork.proven else "First difference seen"


def fork_note(fork: Fork) -> str:
    """What is not known of a fork's inputs, in a few words; empty for a proven one."""
    if fork.proven:
        return ""
    if fork.op is None:
        return _NOT_RECORDED
    return f"first difference seen: {missing(fork)}"


def missing(fork: Fork) -> str:
    """What the inputs of an op miss, so that it cannot be called the cause."""
    said = [_missing(one) for one in fork.inputs[:2]]
    left = len(fork.inputs) - len(said)
    if left > 0:
        said.append(f"{counted(left, 'more input')} not known to be equal")
    if fork.moves:
        said.append("it only passes numbers on, so it is not the cause")
    return "; ".join(said) or "its inputs are not known to be equal"


def fork_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Where the steps fork: proven operators, then first differences seen, then modules."""
    forked = [(step, step.fork) for step in comparison.steps if step.fork]
    proven = [step for step, fork in forked if fork.proven]
    seen = [step for step, fork in forked if fork.op and not fork.proven]
    by_module = [step for step, fork in forked if not fork.op]
    # "all 3 steps" would be taken for all that differ
    differ = max(len(forked), len(differing(comparison.steps)))
    parts: list[str] = []
    if proven:
        found = _fork_groups(proven, differ)
        parts.append(f"The first operator that differs, among the events recorded, is {found}.")
    if seen:
        first = seen[0].fork
        assert first is not None
        parts.append(
            "The first difference seen, among the events recorded, is in "
            f"{_fork_groups(seen, differ)}: {shorten(missing(first), 3 * LONG_NAME)}."
        )
    if by_module:
        lead = (
            "Where operators were not recorded, the first module that returns other bits"
            if proven or seen
            else "The first module that returns other bits, among the events recorded,"
        )
        parts.append(f"{lead} is {_fork_groups(by_module, differ)}; {_NOT_RECORDED}.")
    return tuple(parts)


def _order(fork: Fork) -> tuple[bool, bool]:
    return not fork.proven, fork.kind != "op"


def _missing(one: ForkInput) -> str:
    if one.state == "random":
        return "it takes an input from a random generator, whose state is not recorded"
    if one.source == "arguments":
        return "its inputs hold the same, but its plain arguments or their layouts differ"
    name = f"its input `{shorten(one.name, LONG_NAME)}`" if one.name else "one of its inputs"
    if one.state == "unread":
        return f"{name} could not be read"
    if one.state == "unproven":
        return f"{name} is not known to be equal"
    return f"{name} {_DIFFERS.get(one.source, 'differs')}"


def _fork_groups(steps: list[Step], differ: int) -> str:
    """``X (9 steps), Y (3 steps)``; ``X (all 12 steps)`` where no more than these differ."""
    groups = Counter(place(step.fork, step.module) for step in steps if step.fork)
    total = len(steps)
    if len(groups) == 1:
        scope = every(total, "step") if total == differ else counted(total, "step")
        return f"{next(iter(groups))} ({scope})"
    common = groups.most_common(3)
    named = ", ".join(f"{name} ({counted(many, 'step')})" for name, many in common)
    if len(groups) > len(common):
        named += f" and {counted(len(groups) - len(common), 'other place')}"
    return named
