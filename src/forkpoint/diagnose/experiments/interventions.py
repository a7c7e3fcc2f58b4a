"""Which setting makes the difference vanish: one at a time, on both sides, with a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import (
    Findings,
    Pair,
    Sides,
    ask,
    differ,
    evidence,
    pairs,
    short,
)
from forkpoint.diagnose.experiments.settings import CONTROL, Intervention
from forkpoint.diagnose.experiments.whole_script import Whole, whole_script
from forkpoint.errors import EnvironmentFailed, WorkerFailed
from forkpoint.host import Call, Replayed
from forkpoint.model import Experiment, Origin, Outcome
from forkpoint.store import read_call

ON_CPU = (
    Intervention(settings={"threads": "1"}),
    Intervention(settings={"mkldnn": "off"}),
    Intervention(settings={"flush_denormal": "on"}),
    Intervention(variables={"ATEN_CPU_CAPABILITY": "default"}),
    Intervention(variables={"ATEN_CPU_CAPABILITY": "avx2"}),
    Intervention(variables={"MKL_CBWR": "COMPATIBLE"}),
    Intervention(variables={"MKL_ENABLE_INSTRUCTIONS": "AVX2"}),
    Intervention(variables={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
)
ON_CUDA = (
    Intervention(settings={"tf32": "off"}),
    Intervention(settings={"matmul_precision": "highest"}),
    Intervention(settings={"reduced_fp16": "off"}),
    Intervention(settings={"reduced_bf16": "off"}),
    Intervention(settings={"blas": "cublas"}),
    Intervention(settings={"blas": "cublaslt"}),
    Intervention(
        settings={"deterministic": "on"}, variables={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    ),
    Intervention(variables={"CUBLAS_WORKSPACE_CONFIG": ":16:8"}),
    Intervention(variables={"DISABLE_ADDMM_CUDA_LT": "1"}),
)


def interventions(case: Case) -> Findings:
    """Try each intervention on the origins' calls; what helped goes to `Origin.remedies`."""
    looked = pairs(case)
    script = whole_script(case)
    if not looked:
        text = script.text if script else "no origin to try on"
        return Findings(experiment=_experiment([], script.outcome if script else None, text))
    asked = [(pair, pair.call(str(number))) for number, _, pair in looked]
    changed = [
        (pair, call) for number, origin, pair in looked for call in _changed(number, origin, pair)
    ]
    plain = ask(case.benches, [*asked, *changed], purpose="interventions: none")
    tried = {one.name: _try(case, one, asked) for one in (CONTROL, *_suited(looked))}
    control = tried.pop(CONTROL.name)
    sound = not isinstance(control, str) and all(
        _same(control[name], plain[name]) for _, call in asked for name in [call.id]
    )
    found, told = {}, []
    for number, origin, _ in looked:
        results = {
            name: answers
            if isinstance(answers, str)
            else _effect(plain[str(number)], answers[str(number)])
            for name, answers in tried.items()
        }
        results |= _call_effects(number, plain)
        remedies = tuple(name for name, effect in results.items() if effect.startswith(_VANISHES))
        if sound:
            found[number] = replace(origin, remedies=remedies)
        told.append(f"{short(origin)}: " + ", ".join(f"{k}: {v}" for k, v in results.items()))
    head = "the control changed nothing" if sound else "the control changed bits: nothing is proven"
    parts = [head, evidence(case, told, nothing=""), *([script.text] if script else [])]
    outcome = _outcome(found if sound else {}, script)
    return Findings(experiment=_experiment(list(tried), outcome, "; ".join(parts)), origins=found)


def _outcome(found: Mapping[int, Origin], script: Whole | None) -> Outcome:
    """Supported where each origin's call is helped, or the whole script is."""
    if script is not None and script.outcome is Outcome.SUPPORTED:
        return Outcome.SUPPORTED
    if not found:
        return Outcome.INCONCLUSIVE
    helped = all(origin.remedies for origin in found.values())
    return Outcome.SUPPORTED if helped else Outcome.REFUTED


_VANISHES = "the sides agree"


def _experiment(names: Sequence[str], outcome: Outcome | None, text: str) -> Experiment:
    return Experiment(
        name="interventions",
        hypothesis="for each origin, one setting on both sides makes the difference vanish",
        did="replayed one call of each origin in both environments with one change at a time, "
        f"in fresh processes ({', '.join(names) or 'none'}), and with a control; where an origin "
        "gives a reason for it, ran the whole script with what no single call can show",
        outcome=outcome or Outcome.INCONCLUSIVE,
        evidence=text,
    )


def _suited(looked: Sequence[tuple[int, Origin, Pair]]) -> tuple[Intervention, ...]:
    """Interventions for the devices on which the origins' tensors lie."""
    devices = {
        layout.device.partition(":")[0]
        for _, _, pair in looked
        for layout in read_call(pair.folders[0]).tensors
    }
    return (*(ON_CPU if "cpu" in devices else ()), *(ON_CUDA if "cuda" in devices else ()))


def _try(
    case: Case, one: Intervention, asked: Sequence[tuple[Pair, Call]]
) -> dict[str, Sides] | str:
    """What both sides give with it; a sentence where one side does not have the setting."""
    first, second = (
        bench.altered(variables=one.variables, settings=one.settings) for bench in case.benches
    )
    try:
        return ask((first, second), asked, purpose=f"interventions: {one.name}")
    except (WorkerFailed, EnvironmentFailed) as failure:
        return f"not possible here ({failure.message.partition(chr(10))[0]})"


def _effect(plain: Sides, altered: Sides) -> str:
    """What an intervention did, in words; agreement counts only where some bits moved."""
    apart = differ(altered)
    if apart is None:
        return "did not run"
    moved = [
        name
        for name, before, after in zip(("baseline", "candidate"), plain, altered, strict=True)
        if before.digests != after.digests
    ]
    if not apart:
        who = " and ".join(moved) if moved else "neither side"
        return f"{_VANISHES} ({who} gave other bits than before)"
    if not moved:
        return "changed no bits, and so proves nothing"
    return f"still differ ({' and '.join(moved)} gave other bits than before)"


def _same(one: Sides, two: Sides) -> bool:
    return all(_gave(a) == _gave(b) for a, b in zip(one, two, strict=True))


def _gave(answer: Replayed) -> tuple[str, tuple[str, ...]]:
    return answer.status, answer.digests


def _changed(number: int, origin: Origin, pair: Pair) -> list[Call]:
    """The call itself changed: operands aligned; a product without the bias that is fused in."""
    document = deepcopy(dict(read_call(pair.folders[0]).document))
    calls = []
    if any(tensor["alignment"] for tensor in document["tensors"]):
        aligned = deepcopy(document)
        for tensor in aligned["tensors"]:
            if not tensor["offset"]:  # a view into a storage starts where its storage lets it
                tensor["alignment"] = 0
        calls.append(pair.call(f"{number}/operands aligned to 64 bytes", aligned))
    if origin.op == "aten.addmm.default" and not document["kwargs"]:
        product = {**document, "op": "aten.mm.default", "args": document["args"][1:3]}
        calls.append(pair.call(f"{number}/without the fused bias (mm)", product))
    return calls


def _call_effects(number: int, answers: Mapping[str, Sides]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, sides in answers.items():
        owner, slash, what = name.partition("/")
        if slash and owner == str(number):
            found[what] = _words(differ(sides))
    return found


def _words(apart: bool | None) -> str:
    if apart is None:
        return "did not run"
    return "still differ" if apart else _VANISHES
