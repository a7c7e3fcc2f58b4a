"""Calls like a recorded one: memory, sizes, names and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from forkpoint.diagnose import argument_names, dimensions
from forkpoint.diagnose.experiments import layouts
from forkpoint.diagnose.experiments.arguments import others, tensor_lists
from forkpoint.diagnose.experiments.variants import Template, read_template
from forkpoint.store import Layout, RecordedCall, read_call
from tests.diagnose.experiments.simulated import Op, View, view, write

T0, T1 = {"tensor": 0}, {"tensor": 1}


def _call(tmp_path: Path, schema: str, tensors: Sequence[View], args: Sequence[object]) -> Path:
    folder = tmp_path / "capsule"
    write(Op(schema, tuple(tensors), tuple(args)), folder)  # type: ignore[arg-type]
    return folder


def _read(folder: Path) -> tuple[RecordedCall, Template]:
    template = read_template(folder)
    assert template is not None
    return read_call(folder), template


@st.composite
def recorded(draw: st.DrawFn) -> Layout:
    """A tensor in any order of axes, with gaps between them, some of them expanded."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(shape))))
    stride, step = [0] * len(shape), 1
    for axis in order:
        if shape[axis] > 1 and draw(st.integers(0, 4)) == 0:
            continue  # expanded
        step += draw(st.integers(0, 3))
        stride[axis] = step
        step *= shape[axis]
    return Layout("float32", tuple(shape), tuple(stride), draw(st.integers(0, 9)), 0, 0, "cpu")


@given(recorded())
def test_the_recorded_shape_gives_the_recorded_strides(layout: Layout) -> None:
    found = layouts.like(layout, layout.shape)
    for size, own, made in zip(layout.shape, layout.stride, found, strict=True):
        assert size == 1 or made == own  # a stride over one element says nothing


@given(recorded(), st.data())
def test_no_two_elements_share_memory_but_expanded_ones(
    layout: Layout, data: st.DataObject
) -> None:
    shape = [data.draw(st.integers(1, 7)) for _ in layout.shape]
    stride = layouts.like(layout, shape)
    moved = sorted(
        (step, size) for step, size in zip(stride, shape, strict=True) if step and size > 1
    )
    assert all(one * size <= two for (one, size), (two, _) in pairwise(moved))
    assert all(
        not step
        for step, own, size in zip(stride, layout.stride, layout.shape, strict=True)
        if own == 0 and size > 1
    )


def test_tensors_are_called_by_their_arguments(tmp_path: Path) -> None:
    folder = _call(
        tmp_path,
        "aten::op(Tensor[] tensors, Tensor? weight=None, int[2] pad=[0, 0], *, int n=0) -> Tensor",
        [view(2, 3), view(2, 3), view(5)],
        [{"list": [T0, T1]}, {"tensor": 2}, {"list": [{"int": 0}, {"int": 0}]}],
    )
    call, _ = _read(folder)
    assert argument_names(call) == ["tensors[0]", "tensors[1]", "weight"]
    assert [(name, tensors) for _, name, tensors in tensor_lists(call)] == [("tensors", [0, 1])]
    assert {name for _, name, _, _ in others(call)} == {"pad"}


def test_numbers_of_a_shape_follow_a_size_and_those_of_a_kernel_do_not(tmp_path: Path) -> None:
    schema = "aten::op(Tensor input, int[] normalized_shape, int[2] kernel_size) -> Tensor"
    lists = [{"list": [{"int": 3}]}, {"list": [{"int": 3}, {"int": 3}]}]
    _, template = _read(_call(tmp_path, schema, [view(2, 3)], [T0, *lists]))
    likeliest = [ways[0] for ways in dimensions(template.call, ())]
    made = template.sized({one: 7 for one in likeliest if one.size == 3}, 1)
    assert made["tensors"][0]["shape"] == [2, 7]
    assert made["args"][1:] == [{"list": [{"int": 7}]}, {"list": [{"int": 3}, {"int": 3}]}]


def test_two_sizes_change_at_once_and_not_one_after_the_other(tmp_path: Path) -> None:
    """What the first has become is not taken for the second."""
    schema = "aten::op(Tensor self, int[] size) -> Tensor"
    sizes = {"list": [{"int": 2}, {"int": 3}]}
    _, template = _read(_call(tmp_path, schema, [view(2, 3)], [T0, sizes]))
    two, three = (ways[0] for ways in dimensions(template.call, ()))
    made = template.sized({two: 3, three: 5}, 1)
    assert made["args"][1] == {"list": [{"int": 3}, {"int": 5}]}


def test_random_values_lie_in_the_very_memory_of_the_recorded_ones(tmp_path: Path) -> None:
    tensor = view(4, 6, stride=(18, 1), offset=3)
    call, template = _read(_call(tmp_path, "aten::op(Tensor self) -> Tensor", [tensor], [T0]))
    made = template.refilled(1)
    assert made["tensors"] == call.document["tensors"]
    (storage,) = made["storages"]
    assert storage["bytes"] == call.document["storages"][0]["bytes"]
    assert storage["fill"]["kind"] == "normal"
    assert template.refilled(2)["storages"] != made["storages"]


def test_only_what_is_filled_costs(tmp_path: Path) -> None:
    """Weights that keep their bytes do not take the room of a sweep over rows."""
    schema = "aten::mm(Tensor self, Tensor mat2) -> Tensor"
    _, template = _read(_call(tmp_path, schema, [view(3, 40), view(40, 500)], [T0, T1]))
    rows = next(way for ways in dimensions(template.call, ()) for way in ways if way.size == 3)
    assert template.cost({rows: 10}) < 10 * 40 + 40 * 500 / 4
    inner = next(
        way for ways in dimensions(template.call, ()) for way in ways if len(way.places) == 2
    )
    assert template.cost({inner: 40}) == 3 * 40 + 40 * 500


def test_a_dimension_is_varied_over_those_there_are(tmp_path: Path) -> None:
    schema = "aten::op(Tensor self, int dim, int step) -> Tensor"
    call, _ = _read(_call(tmp_path, schema, [view(2, 3, 4)], [T0, {"int": -1}, {"int": 5}]))
    labels = [label for _, _, label, _ in others(call)]
    assert labels[:4] == ["dim=-1", "dim=-3", "dim=-2", "dim=2"]
    assert labels[4:] == [f"step={n}" for n in (5, 6, 4, 10, 2, 0, 1, 3)]
