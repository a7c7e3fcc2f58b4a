"""Op calls that nothing could judge are named, with what stood in the way."""

from __future__ import annotations

from collections.abc import Sequence

from forkpoint.compare import DifferingCall
from forkpoint.diagnose.procedure import unexplained
from forkpoint.model import Outcome


def _call(op: str, *, equal: bool | None, arguments: bool = True, step: int = 0) -> DifferingCall:
    return DifferingCall(
        step=step,
        module="encoder.0",
        op=op,
        call=0,
        signature=op,
        inputs_equal=equal,
        same_arguments=arguments,
        shapes=((2, 3),),
        dtypes=("float32",),
        bytes=24,
    )


def _evidence(calls: Sequence[DifferingCall]) -> str:
    (experiment,) = unexplained(calls)
    assert experiment.outcome is Outcome.INCONCLUSIVE
    return experiment.evidence


def test_each_op_is_named_with_its_first_call_and_what_is_behind_is_counted() -> None:
    calls = [
        _call("mylib.fused.default", equal=None, step=2),
        _call("mylib.fused.default", equal=None, step=3),
        _call("aten.add.Tensor", equal=False, step=2),
        _call("aten.mul.Tensor", equal=True, arguments=False, step=4),
    ]
    assert _evidence(calls) == (
        "mylib.fused.default (float32): 2 calls, the first in step 2, encoder.0; not all of its "
        "inputs could be compared; aten.mul.Tensor (float32): one call in step 4, encoder.0; its "
        "arguments or memory layouts differ; one more op call had other inputs"
    )


def test_where_all_had_other_inputs_the_first_are_named() -> None:
    assert _evidence([_call("aten.add.Tensor", equal=False)]) == (
        "aten.add.Tensor (float32): one call in step 0, encoder.0; its inputs differ, too"
    )


def test_many_ops_are_counted() -> None:
    calls = [_call(f"mylib.op{number}.default", equal=None) for number in range(9)]
    assert "mylib.op5.default" in _evidence(calls)
    assert "mylib.op6.default" not in _evidence(calls)
    assert _evidence(calls).endswith("3 more ops")


def test_nothing_is_said_where_all_is_explained() -> None:
    assert unexplained([]) == ()
