"""The script's text: what is written into it, and what is refused."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from forkpoint.repro import render_script
from forkpoint.repro.script import Input, input_names

INPUT = Input("x", "float32", (2, 3), (3, 1), "cpu", 0, 6)


def _document(op: str = "aten.add.Tensor", **more: Any) -> dict[str, Any]:
    return {"op": op, "args": [{"tensor": 0}, {"float": "0x1.8p+0"}], "kwargs": {}, **more}


def _render(document: dict[str, Any], one: Input = INPUT, title: str = "t") -> str:
    return render_script(document, [one], title=title, slots=(0,), lines={"": ["x = 1"]})


def test_the_call_is_written_as_it_was() -> None:
    kwargs = {"dtype": {"dtype": "float64"}, "n": {"none": True}, "d": {"device": "cuda:0"}}
    text = _render(_document(kwargs=kwargs))
    ast.parse(text)
    assert (
        'torch.ops.aten.add.Tensor(x, 1.5, dtype=torch.float64, n=None, d=torch.device("cuda:0"))'
    ) in text
    assert "x = tensor(torch.float32, (2, 3), (3, 1), 0, 6)" in text


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_without_a_literal(value: str) -> None:
    assert f'float("{value}")' in _render(_document(args=[{"float": value}]))


@pytest.mark.parametrize(
    "document",
    [
        _document(op="aten.add.Tensor); import os; (0"),
        _document(op="os.system"),
        _document(args=[{"dtype": "x); print(1"}]),
        _document(args=[{"device": 'cpu"); print(1)'}]),
        _document(args=[{"unsupported": "Generator"}]),
        _document(kwargs={"a=1, b": {"int": 1}}),
        _document(kwargs={"class": {"int": 1}}),
    ],
)
def test_what_would_break_out_of_its_place_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        _render(document)


def test_a_title_stays_inside_of_the_docstring() -> None:
    tree = ast.parse(_render(_document(), title='"""\nimport os\n"""\\'))
    assert not any(
        isinstance(node, ast.Import) and node.names[0].name == "os" for node in ast.walk(tree)
    )


def test_names_are_names_and_all_different() -> None:
    found = input_names(["input", "input", "class", "a b", "torch"])
    assert all(name.isidentifier() for name in found)
    assert len(set(found)) == len(found)
    assert not {"torch", "class"} & set(found)
