"""How far each side is from the truth: an origin's call, computed in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import Findings, evidence, pairs, short
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
        measured = _measured(answer)
        if measured is None:
            reason = answer.reason or "no floating result"
            told.append(f"{short(origin)}: no float64 value ({answer.status}: {reason})")
            continue
        found[number] = replace(origin, oracle=measured)
        told.append(f"{short(origin)}: {_told(measured)}")
    return Findings(experiment=_experiment(case, found, told), origins=found)


def _experiment(case: Case, found: dict[int, Origin], told: list[str]) -> Experiment:
    measured = [origin.oracle for origin in found.values() if origin.oracle]
    return Experiment(
        name="oracle",
        hypothesis="neither side lost precision: the difference is one of rounding order",
        did="ran one call of each origin in float64, and measured what both sides had recorded "
        f"against it, in ULP of each row's largest value; up to {_ROUNDING:g} is rounding order",
        outcome=_outcome(measured, whole=len(found) == len(told)),
        evidence=evidence(case, told, nothing="no origin could be replayed"),
    )


def _outcome(measured: list[Oracle], *, whole: bool) -> Outcome:
    rows = [(one.baseline_row_ulp or 0.0, one.candidate_row_ulp or 0.0) for one in measured]
    if any(max(pair) > _ROUNDING and max(pair) > _LOST * min(pair) for pair in rows):
        return Outcome.REFUTED
    if rows and whole and all(max(pair) <= _ROUNDING for pair in rows):
        return Outcome.SUPPORTED
    return Outcome.INCONCLUSIVE


def _measured(answer: Replayed) -> Oracle | None:
    """Distances of both sides: the largest over all outputs, the others of the first.

    What an op returns beside its result (the means of a normalisation, which lie near zero)
    would drown it.
    """
    if answer.status != "ran":
        return None
    both = [
        (one, two)
        for output in answer.outputs
        for one, two in [tuple(output.metrics)]
        if one is not None and two is not None
    ]
    if not both:
        return None
    first, second = both[0]
    means = first["mean_ulp"], second["mean_ulp"]
    return Oracle(
        baseline_max_ulp=max(one["max_ulp"] for one, _ in both),
        candidate_max_ulp=max(two["max_ulp"] for _, two in both),
        baseline_mean_ulp=means[0],
        candidate_mean_ulp=means[1],
        baseline_row_ulp=first["row_ulp"],
        candidate_row_ulp=second["row_ulp"],
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
        f"{name} up to {row or 0:.3g} ULP of its row's largest value "
        f"(each value: {mean or 0:.3g} ULP on average, {most:.3g} at most)"
        for name, row, mean, most in sides
    ]
    nearer = (
        "on average neither is nearer" if one.nearer == "neither" else f"{one.nearer} is nearer"
    )
    return f"{parts[0]}, {parts[1]}; {nearer}"
