"""Settings that no single call can show: the script is run again with each, and with a control.

Another attention backend, or attention written out, is a choice between ops; cuBLAS takes its
workspace once for a process. They are tried only where an origin is an op that they are about.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forkpoint.compare import DIFFERING, equal_steps
from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.experiments.settings import CONTROL, Intervention
from forkpoint.diagnose.words import base_name
from forkpoint.errors import EnvironmentFailed, WorkerFailed
from forkpoint.host import Job
from forkpoint.model import Origin, Outcome, Verdict
from forkpoint.store import Recording, read_capsule

ATTENTION = {
    "cpu": tuple(Intervention(settings={"sdpa": name}) for name in ("math", "eager")),
    "cuda": tuple(
        Intervention(settings={"sdpa": name}) for name in ("math", "flash", "efficient", "eager")
    ),
}
WORKSPACE = tuple(
    Intervention(variables={"CUBLAS_WORKSPACE_CONFIG": size}) for size in (":16:8", ":4096:8")
)
_ATTENTION_OPS = ("scaled_dot_product", "flash_attention", "efficient_attention")
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "addmv", "mv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What came of them: a sentence, and an outcome where the control was sound."""

    text: str
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """Steps whose results agree between the sides, and which side gave other bits than before.

    ``broken`` agreed before, and differ now.
    """

    agree: frozenset[int]
    broken: frozenset[int]
    moved: tuple[str, ...]


def whole_script(case: Case) -> Whole | None:
    """Run the script with each intervention that applies; None where none does."""
    wanted = suited(case)
    if not wanted:
        return None
    steps = [step.index for step in case.comparison.steps if step.verdict in DIFFERING]
    if not steps:
        return None
    control = _try(case, CONTROL, steps)
    if isinstance(control, str) or control.moved or control.agree:
        why = control if isinstance(control, str) else "it changed bits"
        return Whole(text=f"in the whole script: the control failed ({why})", outcome=None)
    told, helped, vain = [], False, True
    for one in wanted:
        tried = _try(case, one, steps)
        told.append(f"{one.name}: {tried if isinstance(tried, str) else _told(tried, steps)}")
        if isinstance(tried, str) or not tried.moved:
            vain = False  # it shows nothing
        elif len(tried.agree) == len(steps) and not tried.broken:
            helped = True
    outcome = Outcome.SUPPORTED if helped else Outcome.REFUTED if vain else Outcome.INCONCLUSIVE
    text = ", ".join(told)
    return Whole(
        text=f"in the whole script, where the control changed nothing: {text}", outcome=outcome
    )


def suited(case: Case) -> tuple[Intervention, ...]:
    """What the origins give a reason to try."""
    wanted: dict[str, Intervention] = {}
    for origin in case.comparison.origins:
        name = base_name(origin.op)
        device = _device(case, origin)
        if any(word in name for word in _ATTENTION_OPS):
            wanted |= {one.name: one for one in ATTENTION[device]}
        if name in _PRODUCTS and device == "cuda":
            wanted |= {one.name: one for one in WORKSPACE}
    return tuple(wanted.values())


def _device(case: Case, origin: Origin) -> Literal["cpu", "cuda"]:
    """Where the origin's captured call was; without a capsule, a CPU is supposed."""
    if origin.capsule is None:
        return "cpu"
    capsule = read_capsule(case.folder.parent / origin.capsule)
    return "cuda" if any(one.startswith("cuda") for one in capsule.devices) else "cpu"


def _try(case: Case, one: Intervention, steps: list[int]) -> _Tried | str:
    """Both sides with it; a sentence where one of them does not run so."""
    shutil.rmtree(case.scratch, ignore_errors=True)
    folders = case.scratch / "baseline", case.scratch / "candidate"
    for bench, folder in zip(case.benches, folders, strict=True):
        altered = bench.altered(variables=one.variables, settings=one.settings)
        reason = _run(altered, folder, steps, purpose=f"the script with {one.name}")
        if reason:
            return f"not possible here ({reason})"
    alike = [s.index for s in case.comparison.steps if s.verdict is Verdict.IDENTICAL]
    before = [step for step in alike if step <= max(steps)]
    return _Tried(
        agree=_equal(folders[0], folders[1], steps),
        broken=frozenset(before) - _equal(folders[0], folders[1], before),
        moved=tuple(_moved(case, folders, steps)),
    )


def _run(bench: Bench, folder: Path, steps: list[int], *, purpose: str) -> str:
    """Run the script without looking into its steps; why it failed, or nothing."""
    job = Job(recording=folder, level="bare", stop_after=max(steps) + 1)
    try:
        result = bench.run(job, purpose=purpose)
    except (WorkerFailed, EnvironmentFailed) as failure:
        return failure.message.partition("\n")[0]
    return result.failure.message.partition("\n")[0] if result.failure is not None else ""


def _moved(case: Case, folders: tuple[Path, Path], steps: list[int]) -> Iterator[str]:
    """The sides on which some step's result is not what it was."""
    for name, before, after in zip(("baseline", "candidate"), case.first, folders, strict=True):
        if len(_equal(before, after, steps)) < len(steps):
            yield name


def _equal(one: Path, two: Path, steps: list[int]) -> frozenset[int]:
    with Recording.open(one) as first, Recording.open(two) as second:
        return equal_steps(first, second, steps)


def _told(tried: _Tried, steps: list[int]) -> str:
    if not tried.moved:
        return "changed no bits, and so proves nothing"
    apart = len(steps) - len(tried.agree)
    who = " and ".join(tried.moved)
    differ = (
        f"{apart} of {len(steps)} steps still differ"
        if apart
        else "no step differs"
        if not tried.broken
        else "no step that differed differs any more"
    )
    broken = f", and {len(tried.broken)} that agreed before do no more" if tried.broken else ""
    return f"{differ}{broken} ({who} gave other bits than before)"
