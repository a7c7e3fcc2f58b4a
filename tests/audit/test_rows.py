"""Reading a worker's lines, also damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forkpoint.audit import Refusal, read_answers
from forkpoint.errors import WorkerFailed

HEAD = {
    "step": 3,
    "module": "Net",
    "inputs": [{"name": "x", "shape": [8, 5], "dtype": "float32"}],
}
BREAK = {
    "module": "a",
    "op": "aten.mm.default",
    "call": 0,
    "calls": 2,
    "signature": "s",
    "whole": [[8, 5]],
    "varied": [[1, 5]],
    "metrics": None,
}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(HEAD | row) + "\n" for row in rows))
    return path


def test_no_file_is_no_answer(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none").trials == ()


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({"equal": True, "calls": {"equal": 4}}, "equal"),
        ({"equal": False, "breaks": [BREAK]}, "differs"),
        ({"equal": None}, "unmatched"),
        ({"not_tried": "why"}, "not_tried"),
    ],
)
def test_rows_become_trials(row: dict[str, object], state: str, tmp_path: Path) -> None:
    found = read_answers(write(tmp_path / "v", {"property": "batch", "variant": "rows", **row}))
    (trial,) = found.trials
    assert (trial.state, trial.step, trial.variant) == (state, 3, "rows")
    assert len(trial.breaks) == len(row.get("breaks", ()))  # type: ignore[arg-type]
    assert trial.reason == row.get("not_tried")


def test_steps_are_all_that_were_chosen(tmp_path: Path) -> None:
    found = read_answers(write(tmp_path / "v", {"step": 7}, {}, {"refused": "why"}))
    assert found.steps == (3, 7)


def test_refusals_are_kept_apart(tmp_path: Path) -> None:
    found = read_answers(write(tmp_path / "v", {"refused": "it is compiled"}))
    assert found.trials == ()
    assert found.refusals == (Refusal(step=3, module="Net", reason="it is compiled"),)


@pytest.mark.parametrize("data", [b"{", b'{"step": "x"}\n', b"\xff\n", b"[]\n"])
def test_rubbish_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(data)
    with pytest.raises(WorkerFailed, match=str(tmp_path)):
        read_answers(tmp_path / "v")
