"""The other side's outputs in place of an op's own: what later reads them, and what is recorded."""

from __future__ import annotations

import os

import torch

from support import Recorded, recording


class Net(torch.nn.Module):
    """relu, a view and an in-place op of its output, and a layer norm; ``by`` is the fault."""

    def __init__(self, by=0.0):
        super().__init__()
        self.by = by

    def forward(self, x):
        y = torch.sigmoid(x + self.by).t()
        y.mul_(2)
        return torch.nn.functional.layer_norm(y.t(), (5,))


X = torch.linspace(-2, 2, 15).view(3, 5)
KEPT = "aten.sigmoid.default"


def plan(*ops):
    return {"default": {"level": "op", "ops": list(ops)}, "steps": {}}


def both(tmp, kept, substituted):
    with recording(tmp, name="a", plan=plan(*kept)):
        good = Net()(X)
    reference = os.path.join(tmp, "a")
    job = {"plan": plan(), "reference": reference, "substitute": {"ops": substituted}}
    with recording(tmp, name="b", **job):
        bad = Net(by=0.25)(X)
    return good, bad, Recorded(tmp, "a"), Recorded(tmp, "b")


def test_everything_after_a_substituted_op_is_the_reference(tmp):
    good, bad, a, b = both(tmp, [KEPT], [KEPT])
    assert torch.equal(good, bad)
    assert a.roots() == b.roots()
    assert b.noted("not substituted") == 0
    for name in ("mul_", "native_layer_norm"):
        assert [e.digest for e in a.ops(name)] == [e.digest for e in b.ops(name)]


def test_the_recorded_output_is_the_ops_own(tmp):
    _, _, a, b = both(tmp, [KEPT], [KEPT])
    assert a.ops("sigmoid")[0].digest != b.ops("sigmoid")[0].digest


def test_an_op_that_was_not_kept_is_not_replaced_and_counted(tmp):
    good, bad, a, b = both(tmp, [], [KEPT])
    assert not torch.equal(good, bad)
    assert a.roots() != b.roots()
    assert b.noted("not substituted") == 1


def test_other_ops_are_left_alone(tmp):
    good, bad, _, b = both(tmp, [KEPT], ["aten.cos.default"])
    assert not torch.equal(good, bad)
    assert b.noted("not substituted") == 0


def test_in_place_and_multiple_outputs_are_replaced(tmp):
    for op in ("aten.mul_.Tensor", "aten.native_layer_norm.default"):
        folder = os.path.join(tmp, op)
        os.makedirs(folder)
        good, bad, _, b = both(folder, [op], [op])
        assert torch.equal(good, bad), op
        assert b.noted("not substituted") == 0
