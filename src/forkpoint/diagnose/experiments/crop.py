"""Experiment: does the difference depend on the size of the dimension that varies?

The script runs again in both environments, unmodified. After a step that differs, its module is
called once more with inputs cropped (or padded) in that dimension, and what every module returns
and every op computes then is compared across the environments: the article's ``[:, :70]``,
without an edit. A call with the step's own inputs is the control: there they have to differ.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from forkpoint.audit import UNCHANGED, Given, Varied, read_digests
from forkpoint.compare import DIFFERING
from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.experiments.findings import Findings
from forkpoint.errors import UsageError
from forkpoint.host import Job
from forkpoint.model import Experiment, Outcome, Step, Verdict

NAME = "crop"
MOST_STEPS = 4
_ASK = "name one with --crop dim=1:70"
_CROP = re.compile(r"dim=(?P<dim>[0-9]{1,3}):(?:(?P<start>[0-9]{1,9}):)?(?P<stop>[0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Cut:
    """A dimension, the part of it to keep, and longer sizes to pad it to."""

    dim: int
    crops: tuple[tuple[int, int], ...]
    pads: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """One variant of one step in both environments.

    ``modules`` and ``ops`` count the calls, ``first`` is the first that differs; ``reason`` says
    why nothing was compared.
    """

    step: int
    variant: str
    modules: int
    ops: int
    first: str | None
    reason: str | None = None


def crop(case: Case) -> Findings:
    """Call modules of differing steps once more on both sides, with cropped or padded inputs."""
    # of a chained step, each side has inputs of its own, which no crop makes equal
    every = [
        step
        for step in case.comparison.steps
        if not step.chained and all(given.equal for given in step.inputs)
    ]
    steps = _chosen(every)
    hypothesis = "with inputs cropped or padded, all that the modules of a step compute agrees"
    if not steps:
        return _finding(hypothesis, Outcome.INCONCLUSIVE, "no step differs")
    cut = choose(every, steps, case.crop)
    if cut is None:
        evidence = f"no dimension varies between steps; {_ASK}"
        return _finding(hypothesis, Outcome.INCONCLUSIVE, evidence)
    hypothesis = (
        f"with inputs cropped or padded in dimension {cut.dim}, all that the modules of a step "
        "compute agrees"
    )
    tasks = [
        partial(_run, bench, case, cut, steps, case.scratch / NAME / bench.name)
        for bench in case.benches
    ]
    sides: list[tuple[Varied, ...]] = []
    for rows in case.both(tasks):
        if isinstance(rows, str):
            return _finding(hypothesis, Outcome.INCONCLUSIVE, rows)
        sides.append(rows)
    found = controlled(list(agreements(*sides)))
    ended = outcome(found, [step.index for step in steps])
    return _finding(hypothesis, ended, _evidence(found, cut, sides[0]))


def parse_crop(text: str) -> tuple[int, int, int]:
    """``dim=1:70`` (the first 70 of dimension 1) or ``dim=1:5:70``; raises `UsageError`."""
    match = _CROP.fullmatch(text)
    start, stop = (int(match["start"] or 0), int(match["stop"])) if match else (0, 0)
    if match is None or not start < stop:
        raise UsageError(
            f"{text!r} does not say what to crop.",
            hint="Write dim=1:70 for the first 70 of dimension 1, dim=1:5:70 to begin at 5.",
        )
    return int(match["dim"]), start, stop


def _chosen(steps: Sequence[Step]) -> list[Step]:
    """The first step of each input shape that differs, a few of them."""
    found: dict[tuple[Any, ...], Step] = {}
    for step in steps:
        if step.verdict in DIFFERING:
            found.setdefault((step.module, _shapes(step)), step)
    return list(found.values())[:MOST_STEPS]


def choose(
    steps: Sequence[Step], differing: Sequence[Step], asked: tuple[int, int, int] | None
) -> Cut | None:
    """What to crop: as asked; else sizes at which steps agree, or else some smaller ones.

    Returns None where no dimension varies between steps of one module.
    """
    if asked is not None:
        return Cut(asked[0], (asked[1:],))
    dim = next(_varying([s for s in steps if s.module == differing[0].module]), None)
    if dim is None:
        return None
    agree = {_size(s, dim) for s in steps if s.verdict is Verdict.IDENTICAL} - {None}
    differ = {_size(s, dim) for s in differing} - {None}
    largest = max(size for size in differ if size is not None)
    known = sorted(size for size in agree if size is not None)
    below = [size for size in known if size < largest]
    if not below:
        smallest = min(size for s in steps if (size := _size(s, dim)) is not None)
        below = _guesses(min(size for size in differ if size is not None), smallest)
    pads = [size for size in known if size > largest and dim == 1]
    return Cut(dim, tuple((0, size) for size in below[-3:]), tuple(pads[:1]))


def _guesses(size: int, smallest: int) -> list[int]:
    """The largest power of two and multiple of 8 below a size, and the smallest size seen."""
    power = 1 << max(size - 1, 1).bit_length() - 1
    candidates = {power, (size - 1) // 8 * 8, smallest}
    return sorted(one for one in candidates if 0 < one < size)


def _varying(steps: Sequence[Step]) -> Iterator[int]:
    """Dimensions in which the inputs of steps differ; the last first, for batches vary, too."""
    shapes = {_shapes(step) for step in steps}
    width = max((len(shape) for many in shapes for shape in many), default=0)
    for dim in reversed(range(width)):
        if len({tuple(s[dim] for s in many if len(s) > dim) for many in shapes}) > 1:
            yield dim


def _shapes(step: Step) -> tuple[tuple[int, ...], ...]:
    return tuple(entry.shape for entry in step.inputs)


def _size(step: Step, dim: int) -> int | None:
    return max((shape[dim] for shape in _shapes(step) if len(shape) > dim), default=None)


def _run(
    bench: Bench, case: Case, cut: Cut, steps: Sequence[Step], folder: Path
) -> tuple[Varied, ...] | str:
    """What modules returned in one environment, or why nothing is known."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = folder / "variants.jsonl"
    answers.unlink(missing_ok=True)
    job = Job(
        recording=folder / "recording",
        level="bare",
        max_storage=case.room,
        variants=_asked(cut, steps, answers),
    )
    result = bench.run(job, purpose="cropping inputs")
    if result.failure is not None:
        return f"the script failed in {bench.name}: {result.failure.message.partition(chr(10))[0]}"
    return read_digests(answers)


def _asked(cut: Cut, steps: Sequence[Step], answers: Path) -> Mapping[str, Any]:
    return {
        "out": str(answers),
        "steps": [[step.index, step.index + 1] for step in steps],
        "limit": len(steps),
        "crop": [[cut.dim, start, stop] for start, stop in cut.crops],
        "padding": list(cut.pads) or None,
        "fill": {},
        "digests": True,
    }


def agreements(baseline: Sequence[Varied], candidate: Sequence[Varied]) -> Iterator[Agreement]:
    """Both sides of each variant; one that is missing on a side could not be tried."""
    others = {(one.step, one.variant): one for one in candidate}
    for one in baseline:
        other = others.get((one.step, one.variant))
        reason = one.reason or ("it was not tried in both" if other is None else other.reason)
        pairs = _pairs(one, other) if other is not None and reason is None else []
        if reason is None and not pairs:
            reason = "other modules ran"
        read = [(a, b) for a, b in pairs if a[2] or b[2]]
        if reason is None and not any(not path and not op for (path, op, _), _ in read):
            reason = "what it returned could not be read"
        ops = sum(1 for given, _ in read if given[1])
        first = next((_place(a) for a, b in read if a != b), None)
        yield Agreement(one.step, one.variant, len(read) - ops, ops, first, reason)


def _pairs(one: Varied, other: Varied) -> list[tuple[Given, Given]]:
    """Calls of both sides; of modules alone where other ops ran, none where other modules did."""
    modules = tuple([given for given in side.given if not given[1]] for side in (one, other))
    for sides in ((one.given, other.given), modules):
        if [given[:2] for given in sides[0]] == [given[:2] for given in sides[1]]:
            return list(zip(*sides, strict=True))
    return []


def _place(given: Given) -> str:
    path, op, _ = given
    module = path or "the model itself"
    return f"{op} in {module}" if op else module


def controlled(found: Sequence[Agreement]) -> list[Agreement]:
    """The variants, without a result where their step does not differ with its own inputs."""
    controls = {one.step: one for one in found if one.variant == UNCHANGED}
    tried = [one for one in found if one.variant != UNCHANGED]
    steps = {one.step for one in tried}
    alone = [one for step, one in controls.items() if step not in steps]
    return [
        *(_under(one, controls.get(one.step)) for one in tried),
        *(replace(one, reason="no other size could be made") for one in alone),
    ]


def _under(one: Agreement, control: Agreement | None) -> Agreement:
    if one.reason is not None or (control is not None and control.first is not None):
        return one
    why = control.reason if control is not None else "it is missing"
    why = f"the control says nothing: {why}" if why else "with its own inputs it agrees, too"
    return replace(one, reason=why)


def outcome(found: Sequence[Agreement], chosen: Sequence[int]) -> Outcome:
    """Supported where some variant of every step agrees, refuted where none of any does.

    Both only where every one of the ``chosen`` steps was called with one that was compared.
    """
    tried = [one for one in found if one.reason is None]
    agree = Counter(one.step for one in tried if one.first is None)
    if not tried or {one.step for one in tried} != set(chosen):
        return Outcome.INCONCLUSIVE
    if all(agree[step] for step in chosen):
        return Outcome.SUPPORTED
    return Outcome.INCONCLUSIVE if agree else Outcome.REFUTED


def _evidence(found: Sequence[Agreement], cut: Cut, rows: Sequence[Varied]) -> str:
    parts = [_words(one) for one in found]
    names = rows[0].inputs if rows else ()
    if len(names) > 1:
        parts.append(f"the inputs {', '.join(names)} were cropped together")
    if any(one.reason is None for one in found):
        parts.append("with their own inputs the steps differ again, as they should")
    if cut.crops:
        parts.append(
            "a crop takes values away as well as size: which of the two decides is not told apart"
        )
    return "; ".join(parts) or "no step could be called again"


def _words(one: Agreement) -> str:
    what = f"step {one.step}{', ' + one.variant if one.variant else ''}"
    if one.reason is not None:
        return f"{what}: not tried, {one.reason}"
    if one.first is None and not one.ops:
        return f"{what}: all {one.modules} module calls agree (other ops ran)"
    if one.first is None:
        return f"{what}: all {one.modules} module calls and {one.ops} op calls agree"
    return f"{what}: they differ, first in {one.first}"


def _finding(hypothesis: str, ended: Outcome, evidence: str) -> Findings:
    experiment = Experiment(
        name=NAME,
        hypothesis=hypothesis,
        outcome=ended,
        evidence=evidence,
        did="ran the script again in both environments and called the modules of differing steps "
        "once more, unchanged as a control and with cropped or padded inputs",
    )
    return Findings(experiment=experiment)
