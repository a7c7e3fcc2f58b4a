"""Two recordings side by side: steps and texts numbered alike, events of a step aligned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forkpoint.compare.align import Alignment, align
from forkpoint.compare.matching import Match, match_steps, renamed
from forkpoint.errors import RecordingError
from forkpoint.store import EventColumns, Recording, StepRow, ValueRow
from forkpoint_worker.schema import KIND_INPUT, KIND_MODULE, KIND_OP, KIND_WEIGHTS, MODULE, OP

Positions = NDArray[np.int64]


class View:
    """One recording's events by step, with module and op texts numbered for both sides.

    ``match`` says what its steps and outermost modules are called here.
    """

    def __init__(
        self, recording: Recording, numbers: dict[str, int], match: Match | None = None
    ) -> None:
        self.recording = recording
        self.columns: EventColumns = recording.columns
        table = np.zeros(max(recording.texts, default=0) + 1, dtype=np.int64)
        for key, text in recording.texts.items():
            table[key] = numbers.setdefault(text, len(numbers))
        table[0] = numbers[""]
        self.module = table[self.columns.module]
        self.op = table[self.columns.op]
        self.steps = renamed(recording.steps(), match)
        self.step = _numbered(self.columns.step, match)
        self._order = np.argsort(self.step, kind="stable")
        self._sorted = self.step[self._order]

    def positions(self, step: int) -> Positions:
        """Where in the columns the events of a step lie, in order; without those after it."""
        low, high = np.searchsorted(self._sorted, [step, step + 1])
        found = self._order[low:high]
        return found[self.columns.inside[found]]

    @cached_property
    def keys(self) -> Positions:
        """What is matched: kind, module and op; a module call with its call number."""
        c = self.columns
        last = np.where(c.kind == KIND_MODULE, c.call, self.op)
        return (c.kind.astype(np.int64) << 60) | (self.module << 30) | last

    @cached_property
    def roots(self) -> dict[int, int]:
        """The position of each step's outermost module call (its last event)."""
        c = self.columns
        found = np.flatnonzero((c.kind == KIND_MODULE) & (self.module == 0) & c.inside)
        return dict(zip(self.step[found].tolist(), found.tolist(), strict=True))

    @cached_property
    def root_values(self) -> dict[int, tuple[ValueRow, ...]]:
        """The tensors that each step's outermost module returned, by event."""
        return self.recording.root_values()

    @cached_property
    def inputs(self) -> dict[int, int]:
        """The position of each step's input event."""
        return self._by_step(KIND_INPUT)

    @cached_property
    def weights(self) -> dict[int, int]:
        """The position of the weights event that is in force in each step.

        Weights are recorded when a root module is first called and when they change; roots
        are told apart by name.
        """
        changed = self._by_step(KIND_WEIGHTS)
        current: dict[str, int] = {}
        found = {}
        for key, step in sorted(self.steps.items()):
            if key in changed:
                current[step.module] = changed[key]
            if step.module in current:
                found[key] = current[step.module]
        return found

    def _by_step(self, kind: int) -> dict[int, int]:
        found = np.flatnonzero(self.columns.kind == kind)
        return dict(zip(self.step[found].tolist(), found.tolist(), strict=True))

    def digest(self, position: int | None) -> int | None:
        """The digest of an event, None where it has none (or is not there)."""
        if position is None or not self.columns.hashed[position]:
            return None
        return int(self.columns.digest[position])

    def label(self, position: int, root: str) -> str:
        """A module call for people: its path (the root's name), ``#2`` for a second call."""
        path = self.recording.text(int(self.columns.module[position])) or root
        call = int(self.columns.call[position])
        return f"{path}#{call + 1}" if call else path


def _numbered(steps: Positions, match: Match | None) -> Positions:
    """The steps of events as they are called here; -1 (before the first step) stays."""
    if match is None:
        return steps
    table = np.arange(-1, int(steps.max(initial=-1)) + 1)
    for step, number in match.steps.items():
        if step + 1 < len(table):
            table[step + 1] = number
    numbered: Positions = table[steps + 1]
    return numbered


@dataclass(frozen=True, slots=True)
class StepEvents:
    """The comparable events of one step, aligned.

    ``a`` and ``b`` are positions in the columns; ``alignment`` is over them.
    """

    a: Positions
    b: Positions
    alignment: Alignment
    differs: NDArray[np.bool_]
    """For each matched pair, whether the digests are not the same."""


class Pairing:
    """Both sides of a comparison.

    Steps have the numbers that they have in the baseline; where several threads made them, those
    of ``like``, an earlier recording of the baseline. Raises `RecordingError` where the digests
    of the two were made in different ways.
    """

    def __init__(
        self, baseline: Recording, candidate: Recording, like: Recording | None = None
    ) -> None:
        names = baseline.manifest.digest.name, candidate.manifest.digest.name
        if names[0] != names[1]:
            raise RecordingError(
                f"{baseline.path} and {candidate.path} have digests of different kinds "
                f"({names[0]!r}, {names[1]!r})",
                hint="Record both with the same forkpoint.",
            )
        numbers = {"": 0}
        again = None if like is None else match_steps(like, baseline)
        match = match_steps(baseline, candidate)
        self.by_inputs = match is not None
        self.a = View(baseline, numbers, again)
        self.b = View(candidate, numbers, match.then(again) if match and again else match)
        self.steps: tuple[int, ...] = tuple(sorted(self.a.steps.keys() & self.b.steps.keys()))
        self._alignments: dict[tuple[bytes, bytes], Alignment] = {}

    def rows(self, step: int) -> tuple[StepRow, StepRow]:
        """The step's rows on both sides."""
        return self.a.steps[step], self.b.steps[step]

    def level(self, step: int) -> int:
        """How finely both sides recorded the step."""
        one, two = self.rows(step)
        return min(one.level, two.level)

    @cached_property
    def unchanged(self) -> frozenset[int]:
        """Steps in which both sides have the same events with the same digests."""
        same = []
        blocks = [(s, self.a.positions(s), self.b.positions(s)) for s in self.steps]
        blocks = [block for block in blocks if len(block[1]) == len(block[2]) > 0]
        if not blocks:
            return frozenset()
        one = np.concatenate([block[1] for block in blocks])
        two = np.concatenate([block[2] for block in blocks])
        equal = (self.a.keys[one] == self.b.keys[two]) & ~self._differ(one, two)
        starts = np.cumsum([0] + [len(block[1]) for block in blocks[:-1]])
        for block, whole in zip(blocks, np.logical_and.reduceat(equal, starts), strict=True):
            if whole:
                same.append(block[0])
        return frozenset(same)

    def events(self, step: int) -> StepEvents:
        """Align what both sides recorded of a step.

        Ops without a digest compute nothing (they return views), so they are left out.
        """
        level = self.level(step)
        a, b = self._comparable(self.a, step, level), self._comparable(self.b, step, level)
        keys = self.a.keys[a], self.b.keys[b]
        known = keys[0].tobytes(), keys[1].tobytes()
        if known not in self._alignments:
            self._alignments[known] = align(*keys)
        alignment = self._alignments[known]
        one, two = a[alignment.pairs[:, 0]], b[alignment.pairs[:, 1]]
        return StepEvents(a, b, alignment, self._differ(one, two))

    def _differ(self, one: Positions, two: Positions) -> NDArray[np.bool_]:
        a, b = self.a.columns, self.b.columns
        both = a.hashed[one] & b.hashed[two]
        unequal: NDArray[np.bool_] = both & (a.digest[one] != b.digest[two])
        unequal |= a.hashed[one] != b.hashed[two]
        return unequal

    @staticmethod
    def _comparable(view: View, step: int, level: int) -> Positions:
        found = view.positions(step)
        kind = view.columns.kind[found]
        keep = np.zeros(len(found), dtype=np.bool_)
        if level >= MODULE:
            keep |= kind == KIND_MODULE
        if level >= OP:
            keep |= (kind == KIND_OP) & view.columns.hashed[found]
        if step in view.roots:
            keep |= found == view.roots[step]
        return found[keep]
