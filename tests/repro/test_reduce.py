"""Reducing: what differs goes on to differ, and it comes to an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkpoint.repro import reduce_call
from forkpoint.store import Layout, RecordedCall


def _call(rows: int, columns: int) -> RecordedCall:
    """A layer norm over a matrix, as a capsule describes it."""
    layouts = (
        Layout("float32", (rows, columns), (columns, 1), 0, 0, 0, "cpu"),
        Layout("float32", (columns,), (1,), 0, 1, 0, "cpu"),
    )
    document: dict[str, Any] = {
        "op": "aten.native_layer_norm.default",
        "args": [{"tensor": 0}, {"list": [{"int": columns}]}, {"tensor": 1}, {"none": True}],
        "kwargs": {},
        "tensors": [
            {"dtype": one.dtype, "shape": list(one.shape), "stride": list(one.stride), "offset": 0}
            for one in layouts
        ],
        "storages": [
            {"key": "0", "bytes": rows * columns * 4},
            {"key": "1", "bytes": columns * 4},
        ],
    }
    schema = (
        "aten::native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight) -> ()"
    )
    return RecordedCall(
        folder=Path("nowhere"), op=document["op"], schema=schema, document=document, tensors=layouts
    )


def _valid(document: Mapping[str, Any]) -> bool:
    """What the op itself asks for: the normalized shape is that of the last dimension."""
    first, weight = (tensor["shape"] for tensor in document["tensors"])
    return document["args"][1] == {"list": [{"int": first[1]}]} and weight == [first[1]]


def _trial(differs: Callable[[Mapping[str, Any]], bool]) -> Callable[..., Sequence[bool]]:
    return lambda documents: [_valid(one) and differs(one) for one in documents]


@settings(deadline=None, max_examples=50)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    least=st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_the_smallest_that_differs_is_found(
    rows: int, columns: int, least: tuple[int, int]
) -> None:
    wanted = min(least[0], rows), min(least[1], columns)

    def differs(document: Mapping[str, Any]) -> bool:
        shape = document["tensors"][0]["shape"]
        return shape[0] >= wanted[0] and shape[1] >= wanted[1]

    found = reduce_call(_call(rows, columns), _trial(differs))
    assert differs(found.call.document) and _valid(found.call.document)
    assert found.call.tensors[0].shape == wanted


@settings(deadline=None)
@given(rows=st.integers(2, 40), row=st.integers(0, 39))
def test_the_row_that_differs_is_kept(rows: int, row: int) -> None:
    row %= rows

    def differs(document: Mapping[str, Any]) -> bool:
        tensor = document["tensors"][0]
        first = tensor["offset"] // tensor["stride"][0]
        return bool(first <= row < first + tensor["shape"][0])

    found = reduce_call(_call(rows, 1), _trial(differs))
    assert found.call.tensors[0].shape == (1, 1)
    assert found.call.tensors[0].offset == row


def test_a_tensor_whose_values_do_not_matter_becomes_one_number() -> None:
    def differs(document: Mapping[str, Any]) -> bool:
        return "fill" not in document["storages"][0]

    found = reduce_call(_call(1, 1), _trial(differs))
    assert found.constant == {1: 0.0}


def test_a_call_that_does_not_differ_cannot_be_reduced() -> None:
    with pytest.raises(ValueError, match="does not differ"):
        reduce_call(_call(3, 3), lambda documents: [False for _ in documents])
