from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from forkpoint.compare import Plan, second_pass
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import RecordingBuilder

ROOMY = 1 << 20


def batches(folder: Path, lengths: list[int], differ: set[int], root: str = "Net") -> Path:
    """One step a length; in the steps named, module `block.norm` returns other bits."""
    with RecordingBuilder(folder) as rec:
        for number, length in enumerate(lengths):
            x = np.full((2, length), number + 1, dtype=np.float32)
            y = x + np.float32(number in differ)
            with rec.step(root, inputs={"x": x}, level=schema.MODULE) as step:
                step.module("block.linear", {"": x * 3})
                step.module("block.norm", {"": y * 5})
                step.module("block", {"": y * 7})
                step.root({"": y * 9})
    return folder


def plan(tmp_path: Path, lengths: list[int], differ: set[int], room: int = ROOMY) -> Plan | None:
    one = batches(tmp_path / "a", lengths, set())
    two = batches(tmp_path / "b", lengths, differ)
    with Recording.open(one) as a, Recording.open(two) as b:
        return second_pass(a, b, max_storage=room)


def test_nothing_to_do_where_nothing_differs(tmp_path: Path) -> None:
    assert plan(tmp_path, [4, 5], set()) is None


def test_the_first_divergent_step_of_each_shape_and_an_identical_one_are_watched(
    tmp_path: Path,
) -> None:
    found = plan(tmp_path, [4, 4, 5, 5, 6, 4], {1, 3, 5})
    assert found is not None
    assert found.representatives == (0, 1, 3)
    assert not found.needs_bare_run
    assert found.steps[5].level == "bare"
    assert found.steps[5].store == ("root",)
    assert set(found.steps) == {0, 1, 3, 5}
    pick = found.steps[1]
    assert pick.level == "op"
    assert pick.window == ("block.linear:0", "block.norm:0")
    assert pick.modules == ("", "block", "block.linear", "block.norm")
    assert found.steps[0].window is None


def test_a_bare_run_is_asked_for_where_every_step_is_watched(tmp_path: Path) -> None:
    found = plan(tmp_path, [4, 5], {0, 1})
    assert found is not None
    assert found.needs_bare_run


def test_the_budget_is_kept_and_outer_modules_go_first(tmp_path: Path) -> None:
    # a tensor has 32 bytes: two roots, one window, then modules from the outside in
    found = plan(tmp_path, [4, 4], {0, 1}, room=64 + 8 * 32 + 32)
    assert found is not None
    assert found.bytes <= 64 + 8 * 32 + 32
    assert found.steps[0].modules == ("", "block")
    assert found.unkept == ()


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    found = plan(tmp_path, [4, 4, 4], {0, 1, 2}, room=40)
    assert found is not None
    assert found.unkept == (1, 2)
    assert found.steps[0].window is None


def test_the_plan_is_what_the_worker_reads(tmp_path: Path) -> None:
    found = plan(tmp_path, [4, 4, 5], {1})
    assert found is not None
    data = msgspec.json.decode(msgspec.json.encode(found.as_json()))
    assert data["default"] == {"level": "bare", "store": [], "modules": None, "window": None}
    assert data["steps"]["1"] == {
        "level": "op",
        "store": ["root", "modules"],
        "modules": ["", "block", "block.linear", "block.norm"],
        "window": ["block.linear:0", "block.norm:0"],
    }


def test_steps_that_cannot_be_compared_are_left_alone(tmp_path: Path) -> None:
    one = batches(tmp_path / "a", [4], set())
    two = batches(tmp_path / "b", [4], {0}, root="Other")
    with Recording.open(one) as a, Recording.open(two) as b:
        assert second_pass(a, b, max_storage=ROOMY) is None
