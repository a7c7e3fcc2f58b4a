"""How far each side is from the truth: an origin's call, computed in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from forkpoint.compare import is_main
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import (
    Findings,
    all_looked_at,
    evidence,
    pairs,
    short,
)
from forkpoint.host import Replayed
from forkpoint.model import Experiment, Oracle, Origin, Outcome

_NEAR = 0.05  # share by which the means must differ, before one side is called nearer
_ROUNDING = 4.0  # ULP of a row's largest value: what another order of roundings explains
_LOST = 8.0  # times farther than the other side: then precision was lost


def oracle(case: Case) -> Findings:
    """Measure both sides' recorded outputs against the float64 value of the same inputs.

    Computed in the baseline, with all floating tensors and dtype arguments raised.
    """
    looked = pairs(case)
    calls = [
        pair.call(str(number), as_="float64", against=("capsule", pair.folders[1]))
        for number, _, pair in looked
    ]
    bench = case.benches[0]
    answers = bench.replay(calls, purpose="computing the truth in float64") if calls else {}
    found = {}
    told = []
    for number, origin, _ in looked:
        answer = answers[str(number)]
        measured = _measured(answer, origin)
        if measured is None:
            reason = answer.reason or "no floating result"
            told.append(f"{short(origin)}: no float64 value ({answer.status}: {reason})")
            continue
        found[number] = replace(origin, oracle=measured)
        told.append(f"{short(origin)}: {_told(measured)}")
    return Findings(experiment=_experiment(case, found, told), origins=found)


def _experiment(case: Case, found: dict[int, Origin], told: list[str]) -> Experiment:
    measured = [origin.oracle for origin in found.values() if origin.oracle]
    whole = all_looked_at(case) and len(found) == len(told)
    return Experiment(
        name="oracle",
        hypothesis="neither side lost precision: the difference is one of rounding order",
        did="ran one call of each origin in float64, and measured what both sides had recorded "
        f"against it, in ULP of each row's largest value; up to {_ROUNDING:g} is rounding order",
        outcome=_outcome(measured, whole=whole),
        evidence=evidence(case, told, nothing="no origin could be replayed"),
        whole=whole,
    )


def _outcome(measured: list[Oracle], *, whole: bool) -> Outcome:
    rows = [
        (one.baseline_row_ulp, one.candidate_row_ulp)
        for one in measured
        if one.baseline_row_ulp is not None and one.candidate_row_ulp is not None
    ]
    if any(max(pair) > _ROUNDING and max(pair) > _LOST * min(pair) for pair in rows):
        return Outcome.REFUTED
    complete = bool(rows) and whole and len(rows) == len(measured)
    rounding = all(max(pair) <= _ROUNDING for pair in rows)
    return Outcome.SUPPORTED if complete and rounding else Outcome.INCONCLUSIVE


def _measured(answer: Replayed, origin: Origin) -> Oracle | None:
    """Distances of both sides, of the origin's result; where only a side output differs, of that.

    What an op returns beside its result (the means of a normalisation, which lie near zero)
    would drown it.
    """
    if answer.status != "ran":
        return None
    for output in answer.outputs:
        if is_main(origin.op, output.slot) == origin.side_only or len(output.metrics) < 2:
            continue
        first, second = output.metrics
        if first is not None and second is not None:
            return _distances(first, second)
    return None


def _distances(one: Mapping[str, Any], two: Mapping[str, Any]) -> Oracle:
    means = one["mean_ulp"], two["mean_ulp"]
    return Oracle(
        baseline_max_ulp=one["max_ulp"],
        candidate_max_ulp=two["max_ulp"],
        baseline_mean_ulp=means[0],
        candidate_mean_ulp=means[1],
        baseline_row_ulp=one["row_ulp"],
        candidate_row_ulp=two["row_ulp"],
        nearer=_nearer(*means),
    )


def _nearer(baseline: float, candidate: float) -> Literal["baseline", "candidate", "neither"]:
    if abs(baseline - candidate) <= _NEAR * max(baseline, candidate):
        return "neither"
    return "baseline" if baseline < candidate else "candidate"


def _told(one: Oracle) -> str:
    sides = (
        ("baseline", one.baseline_row_ulp, one.baseline_mean_ulp, one.baseline_max_ulp),
        ("candidate", one.candidate_row_ulp, one.candidate_mean_ulp, one.candidate_max_ulp),
    )
    parts = [
        f"{name} up to {_ulp(row)} ULP of its row's largest value "
        f"(each value: {_ulp(mean)} ULP on average, {most:.3g} at most)"
        for name, row, mean, most in sides
    ]
    nearer = (
        "on average neither is nearer" if one.nearer == "neither" else f"{one.nearer} is nearer"
    )
    return f"{parts[0]}, {parts[1]}; {nearer}"


def _ulp(value: float | None) -> str:
    return "an unknown number of" if value is None else f"{value:.3g}"
