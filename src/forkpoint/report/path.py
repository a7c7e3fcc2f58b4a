"""The path of a difference, from where it is first seen to the last rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forkpoint.model import Artifact, Comparison, RankingMetrics, Verdict
from forkpoint.report import words
from forkpoint.report.files import artifact_name
from forkpoint.report.forks import fork_groups, missing
from forkpoint.report.heat import ABSENT, IDENTICAL, complete_heat, letter

TITLE = "From the first difference to the last rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One station: ``changed`` of ``total`` things there are not the same on both sides."""

    name: str
    said: str
    detail: str
    changed: int
    total: int

    @property
    def mark(self) -> str:
        """``≠`` where anything changed, else ``=``."""
        return "≠" if self.changed else "="


def path_stages(comparison: Comparison) -> tuple[Stage, ...]:
    """The stations that the comparison holds, in order; none where nothing forks."""
    stages = (
        *_fork(comparison),
        *_modules(comparison),
        *_outputs(comparison),
        *_watched(comparison),
        *_files(comparison.artifacts),
        *_rankings([one.ranking for one in comparison.artifacts if one.ranking]),
    )
    changed = any(stage.changed for stage in stages)
    return stages if changed and len(stages) > 1 else ()


def stage_text(stage: Stage) -> str:
    """A station in one line."""
    return f"{stage.said}; {stage.detail}" if stage.detail else stage.said


def _fork(comparison: Comparison) -> Iterator[Stage]:
    groups = fork_groups(comparison.steps)
    if not groups:
        return
    group, total = groups[0], len(comparison.steps)
    forked = sum(len(one.steps) for one in groups)
    # the same module counts once, whether a step shows its operator or not
    left = len({(one.root, one.fork.module) for one in groups}) - 1
    others = f", and {words.counted(left, 'other module')}" if left else ""
    note = f" ({missing(group.fork)})" if group.fork.op and not group.fork.proven else ""
    size = "" if group.max_abs is None else f", max abs {words.number(group.max_abs)}"
    yield Stage(
        name="first fork" if group.fork.proven or not group.fork.op else "first seen",
        said=f"{words.place(group.fork, group.root)}{note}{others}",
        detail=f"in {forked:,} of {words.counted(total, 'step')}{size}",
        changed=forked,
        total=total,
    )


def _modules(comparison: Comparison) -> Iterator[Stage]:
    cells = [cell for row in complete_heat(comparison).cells for cell in row]
    letters = [letter(cell) for cell in cells]
    total = sum(one != ABSENT for one in letters)
    if not total:
        return
    changed = total - letters.count(IDENTICAL)
    sizes = [cell.max_abs for cell in cells if cell.max_abs is not None]
    detail = [f"max abs {words.number(max(sizes))}"] if sizes and changed else []
    if comparison.propagated:
        detail.append(f"{words.counted(comparison.propagated, 'op call')} pass it on")
    yield Stage(
        name="modules",
        said=f"{changed:,} of {words.counted(total, 'module call')} return other bits",
        detail=", ".join(detail),
        changed=changed,
        total=total,
    )


def _outputs(comparison: Comparison) -> Iterator[Stage]:
    outputs = [output for step in comparison.steps for output in step.outputs]
    if not outputs:
        return
    unlike = [output for output in outputs if not output.equal]
    measured = [output.metrics for output in unlike if output.metrics]
    size = max((metrics.max_abs for metrics in measured), default=None)
    equal = min((metrics.equal_fraction for metrics in measured), default=None)
    detail = [] if size is None else [f"max abs {words.number(size)}"]
    detail += [] if equal is None else [f"{words.percent(equal)} of values equal in the worst"]
    yield Stage(
        name="outputs",
        said=f"{len(unlike):,} of {words.counted(len(outputs), 'output')} of the steps differ",
        detail=", ".join(detail),
        changed=len(unlike),
        total=len(outputs),
    )


def _watched(comparison: Comparison) -> Iterator[Stage]:
    calls = [call for call in comparison.watched if call.results_equal is not None]
    if not calls:
        return
    unlike = [call for call in calls if not call.results_equal]
    yield Stage(
        name="watched",
        said=f"{len(unlike):,} of {words.counted(len(calls), 'watched call')} give other results",
        detail=f"first {words.shorten(unlike[0].function, words.LONG_NAME)}" if unlike else "",
        changed=len(unlike),
        total=len(calls),
    )


def _files(artifacts: Sequence[Artifact]) -> Iterator[Stage]:
    files = [one for one in artifacts if not one.part and one.ranking is None]
    if not files:
        return
    unlike = [one for one in files if one.verdict is not Verdict.IDENTICAL]
    first = f"{artifact_name(unlike[0])}: {unlike[0].summary}" if unlike else ""
    yield Stage(
        name="files",
        said=f"{len(unlike):,} of {words.counted(len(files), 'file')} differ",
        detail=first,
        changed=len(unlike),
        total=len(files),
    )


def _rankings(found: Sequence[RankingMetrics]) -> Iterator[Stage]:
    total = sum(one.queries for one in found)
    if not total:
        return
    changed = total - sum(one.same_order for one in found)
    flips = sum(one.flips for one in found)
    kinds = (
        (sum(one.ties for one in found), "between ties"),
        (sum(one.near_ties for one in found), "between near ties"),
        (sum(one.moved for one in found), "by more than scores changed anyway"),
    )
    listed = ", ".join(f"{many:,} {how}" for many, how in kinds if many)
    yield Stage(
        name="rankings",
        said=f"{changed:,} of {total:,} {'query' if total == 1 else 'queries'} in another order",
        detail=f"{words.counted(flips, 'flip')}: {listed}" if flips and listed else "",
        changed=changed,
        total=total,
    )
