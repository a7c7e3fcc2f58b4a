"""Which kernel computed an origin on each side, at a size that differs and at one that agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.experiments.dimensions import Dimension, dimensions
from forkpoint.diagnose.experiments.findings import (
    Findings,
    Pair,
    Sides,
    all_looked_at,
    ask,
    evidence,
    pairs,
    short,
)
from forkpoint.diagnose.experiments.variants import read_template
from forkpoint.host import Call
from forkpoint.model import Experiment, Kernels, Origin, Outcome

_VERBOSE: Mapping[str, str] = {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}

_RECORDED = "recorded call"


def kernels(case: Case) -> Findings:
    """Name the kernels: by torch's profiler on CUDA, by MKL's and oneDNN's own logs on a CPU."""
    looked = pairs(case)
    asked: list[tuple[Pair, Call]] = []
    for number, origin, pair in looked:
        asked.append((pair, pair.call(f"{number}/recorded", profile=True)))
        asked += [(pair, call) for call in _agreeing(number, origin, pair)]
    benches = _verbose(case.benches)
    answers = ask(benches, asked, purpose="naming kernels") if asked else {}
    found, told = {}, []
    for number, origin, _ in looked:
        rows = [
            _row(name.partition("/")[2], sides, origin)
            for name, sides in answers.items()
            if name.partition("/")[0] == str(number) and _named(sides)
        ]
        told.append(f"{short(origin)}: {_told(rows)}")
        if rows:
            found[number] = replace(origin, kernels=tuple(rows))
    experiment = Experiment(
        name="kernels",
        hypothesis="the two sides run another kernel where they differ",
        did="named the kernels of one call of each origin on both sides, and, where the sweep "
        "knows one, at a size at which the sides agree (CUDA: profiler; CPU: what MKL and "
        "oneDNN log)",
        outcome=_outcome(found, complete=len(found) == len(looked) and all_looked_at(case)),
        evidence=evidence(case, told, nothing="no origin could be replayed"),
        whole=all_looked_at(case),
    )
    return Findings(experiment=experiment, origins=found)


def _verbose(benches: tuple[Bench, Bench]) -> tuple[Bench, Bench]:
    one, two = benches
    return one.altered(variables=_VERBOSE), two.altered(variables=_VERBOSE)


def _agreeing(number: int, origin: Origin, pair: Pair) -> list[Call]:
    """The call at a size at which all inputs agreed, if a sweep knows one."""
    template = read_template(pair.folders[0])
    if template is None:
        return []
    known: dict[str, Dimension] = {}
    for ways in dimensions(template.call, ()):
        for way in ways:
            known.setdefault(way.name, way)  # the likeliest comes first, as in the sweep
    for one in origin.sweeps:
        sizes = [point.size for point in one.points if not point.differing and not point.label]
        if one.dimension in known and sizes:
            size = max(sizes)
            document: dict[str, Any] = template.sized({known[one.dimension]: size}, 1)
            name = f"{number}/size {size} of {one.dimension}"
            return [pair.call(name, document, profile=True)]
    return []


def _named(sides: Sides) -> bool:
    return all(side.status == "ran" for side in sides) and any(side.kernels for side in sides)


def _row(what: str, sides: Sides, origin: Origin) -> Kernels:
    shape = "x".join(map(str, origin.shapes[0])) if origin.shapes else ""
    one, two = sides
    return Kernels(
        shape=f"{_RECORDED}, {shape}" if what == "recorded" else what,
        baseline=one.kernels,
        candidate=two.kernels,
        differs=one.kernels != two.kernels,
    )


def _told(rows: list[Kernels]) -> str:
    if not rows:
        return "no library names a kernel; torch's own code computes it"
    return "; ".join(_one(row) for row in rows)


def _one(row: Kernels) -> str:
    if not row.differs:
        return f"{row.shape}: {', '.join(row.baseline)} on both sides"
    sides = [", ".join(names) or "none that is named" for names in (row.baseline, row.candidate)]
    return f"{row.shape}: {sides[0]} in the baseline, {sides[1]} in the candidate"


def _outcome(found: Mapping[int, Origin], *, complete: bool) -> Outcome:
    if not found or not complete:
        return Outcome.INCONCLUSIVE
    recorded = [origin.kernels[0] for origin in found.values()]
    # a size at which the sides agree, or a side on which nothing is named, shows nothing
    known = [r for r in recorded if r.shape.startswith(_RECORDED) and r.baseline and r.candidate]
    if len(known) == len(recorded) and all(row.differs for row in known):
        return Outcome.SUPPORTED
    if len(known) < len(recorded) or any(row.differs for row in known):
        return Outcome.INCONCLUSIVE
    return Outcome.REFUTED
