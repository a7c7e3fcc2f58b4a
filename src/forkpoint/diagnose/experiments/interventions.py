"""Which setting makes the difference vanish: one at a time, on both sides, with a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import (
    Findings,
    Pair,
    Sides,
    all_looked_at,
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
    Intervention(variables={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
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
    several = {one.name for one in _suited(looked) if one.changes > 1}
    found, told, moved = {}, [], []
    for number, origin, _ in looked:
        before = plain[str(number)]
        results = {
            name: Effect(answers, helps=None)
            if isinstance(answers, str)
            else effect(before, answers[str(number)], several=name in several)
            for name, answers in tried.items()
        }
        results |= _call_effects(number, plain)
        if sound:
            remedies = tuple(name for name, one in results.items() if one.helps)
            found[number] = replace(origin, remedies=remedies)
        moved.append(any(one.helps is False for one in results.values()))
        told.append(f"{short(origin)}: " + ", ".join(f"{k}: {v.text}" for k, v in results.items()))
    head = "the control changed nothing" if sound else "the control changed bits: nothing is proven"
    parts = [head, evidence(case, told, nothing=""), *([script.text] if script else [])]
    whole = all_looked_at(case)
    outcome = _outcome(found if sound else {}, script, whole=whole, tried=all(moved))
    experiment = _experiment(list(tried), outcome, "; ".join(parts))
    return Findings(experiment=replace(experiment, whole=whole), origins=found)


def _outcome(
    found: Mapping[int, Origin], script: Whole | None, *, whole: bool, tried: bool
) -> Outcome:
    """Supported where each origin's call is helped, or the whole script is.

    Refuted only where something that moved bits was ``tried`` on each of them in vain.
    """
    if script is not None and script.outcome is Outcome.SUPPORTED:
        return Outcome.SUPPORTED
    if not found or not whole:
        return Outcome.INCONCLUSIVE
    helped = [bool(origin.remedies) for origin in found.values()]
    if all(helped):
        return Outcome.SUPPORTED
    return Outcome.REFUTED if tried else Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change did, in words; ``helps`` is null where it shows nothing either way."""

    text: str
    helps: bool | None


_VANISHES = "the sides agree"
_AGREED = "the call agrees without it, too, and so it proves nothing"


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


def effect(plain: Sides, altered: Sides, *, several: bool = False) -> Effect:
    """What an intervention did; agreement counts only where the sides differ without it.

    ``several``: it changes more than one thing, so that agreement tells nothing of either.
    """
    apart = differ(altered)
    if apart is None or differ(plain) is None:
        return Effect("did not run", helps=None)
    if not differ(plain):
        return Effect(_AGREED, helps=None)
    moved = [
        name
        for name, before, after in zip(("baseline", "candidate"), plain, altered, strict=True)
        if before.digests != after.digests
    ]
    if not moved:
        return Effect("changed no bits, and so proves nothing", helps=None)
    who = f"({' and '.join(moved)} gave other bits than before)"
    if apart:
        return Effect(f"still differ {who}", helps=False)
    if several:
        both = "with several changes at once, so which of them did it is not told apart"
        return Effect(f"{_VANISHES} {who}, {both}", helps=None)
    return Effect(f"{_VANISHES} {who}", helps=True)


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


def _call_effects(number: int, answers: Mapping[str, Sides]) -> dict[str, Effect]:
    """What became of the call itself, changed; it has to differ as it was recorded."""
    found: dict[str, Effect] = {}
    before = differ(answers[str(number)])
    for name, sides in answers.items():
        owner, slash, what = name.partition("/")
        if slash and owner == str(number):
            found[what] = _of_call(before, differ(sides))
    return found


def _of_call(before: bool | None, apart: bool | None) -> Effect:
    if apart is None or before is None:
        return Effect("did not run", helps=None)
    if not before:
        return Effect(_AGREED, helps=None)
    return Effect("still differ", helps=False) if apart else Effect(_VANISHES, helps=True)
