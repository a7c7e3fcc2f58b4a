"""Trials as a worker might report them."""

from __future__ import annotations

from forkpoint.audit import PROPERTIES, Audit, Break, Property, Refusal, Trial, judge, op_rows
from forkpoint.model import Metrics, StepInput


def metrics(max_abs: float) -> Metrics:
    return Metrics(
        count=4,
        bit_equal=False,
        equal_fraction=0.5,
        max_abs=max_abs,
        mean_abs=max_abs / 2,
        max_rel=1e-6,
        max_ulp=3,
        p99_ulp=3,
        close_count=4,
        nonfinite_mismatches=0,
        worst=None,
    )


def broken(op: str = "aten.addmm.default", module: str = "pooler.dense") -> Break:
    return Break(
        module=module,
        op=op,
        call=0,
        calls=1,
        signature="",
        whole=((384,), (8, 384)),
        varied=((384,), (1, 384)),
        metrics=metrics(2e-7),
    )


def trial(
    prompt: Property = "batch",
    state: str = "equal",
    *,
    step: int = 0,
    variant: str = "rows 0:1 of 8",
    breaks: tuple[Break, ...] = (),
    reason: str | None = None,
) -> Trial:
    return Trial(
        property=prompt,
        step=step,
        module="Net",
        inputs=(StepInput(name="x", shape=(8, 61), dtype="int64", equal=True),),
        variant=variant,
        state=state,  # type: ignore[arg-type]
        reason=reason,
        metrics=metrics(1e-6) if state == "differs" else None,
        calls={"equal": 3, "other ops ran": 1},
        breaks=breaks,
    )


def audit(*trials: Trial, promised: tuple[Property, ...] = ()) -> Audit:
    return Audit(
        environment="audited",
        spec="torch==2.10.0",
        fingerprint={},
        properties=judge(trials, asked=PROPERTIES, promised=promised),
        ops=op_rows(trials),
        trials=trials,
        refusals=(Refusal(step=4, module="Net", reason="it draws random numbers"),),
        notes=("2 of 5 steps were audited.",),
    )


def full() -> Audit:
    return audit(
        trial("batch", "differs", breaks=(broken(),)),
        trial("batch", "equal", variant="rows 0:4 of 8"),
        trial("position", "equal", variant="rows moved by 1 of 8"),
        trial("padding", "not_tried", variant="", reason="no input is a mask"),
        trial("threads", "differs", breaks=(broken("aten.mm.default", "<b>|x\x1b[2J"),)),
        trial("run", "equal"),
        promised=("batch",),
    )
