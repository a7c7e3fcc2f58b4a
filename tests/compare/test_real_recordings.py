"""Recordings of real torch releases, read and compared."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import forkpoint
from forkpoint.compare import compare_arrays, limits_for, parse_tolerance
from forkpoint.store import Recording

pytestmark = pytest.mark.integration

SCRIPT = """
import torch

torch.manual_seed(0)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = torch.nn.Linear(384, 384)
        self.norm = torch.nn.LayerNorm(384)

    def forward(self, x):
        return self.norm(self.lin(x).relu())


net = torch.nn.Sequential(Block(), Block()).eval()
with torch.no_grad():
    for length in (3, 3, 5, 8, 8):
        net(torch.randn(4, length, 384) * 3)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a comparison of torch 2.9.1 with 2.10.0, whose layer_norm differs."""
    folder = tmp_path_factory.mktemp("results")
    script = folder / "encode.py"
    script.write_text(SCRIPT)
    options = forkpoint.Options(out=folder / "out", tolerance="bitwise")
    forkpoint.compare(script, {"old": "torch==2.9.1", "new": "torch==2.10.0"}, options=options)
    yield folder / "out" / "recordings"


def test_the_fork_is_layer_norm_in_every_shape(results: Path) -> None:
    found = forkpoint.diff(results / "old-detail", results / "new-detail")
    forks = [step.fork for step in found.steps if step.fork]
    assert found.weights_equal
    assert {(fork.op, fork.module, fork.after, fork.inputs_equal) for fork in forks} == {
        ("aten.native_layer_norm.default", "0.norm", "0.lin", True)
    }
    assert found.coverage.op_level_steps == (0, 2, 3)
    assert found.coverage.measured_steps == (0, 1, 2, 3, 4)


def test_the_worker_measures_what_numpy_measures(results: Path) -> None:
    found = forkpoint.diff(results / "old-detail", results / "new-detail", tolerance="bitwise")
    checked = 0
    with (
        Recording.open(results / "old-detail") as a,
        Recording.open(results / "new-detail") as b,
    ):
        for event in b.columns.id.tolist():
            for value in b.values(event):
                row = b.metric(event, value.slot) if value.role else None
                if row is None or not b.stored(value.tensor.id):
                    continue
                other = next(v for v in a.values(row.other) if (v.role, v.slot) == (1, value.slot))
                limits = limits_for(parse_tolerance("bitwise"), value.name, value.tensor.dtype)
                here = compare_arrays(
                    a.load(other.tensor.id), b.load(value.tensor.id), limits=limits
                )
                assert row.metrics.mean_abs == pytest.approx(here.mean_abs, rel=1e-12)
                for name in ("max_abs", "max_rel", "max_ulp", "p99_ulp", "close_count", "worst"):
                    assert getattr(row.metrics, name) == getattr(here, name), name
                checked += 1
    assert checked >= 3
    assert found.verdict is forkpoint.Verdict.DIVERGENT


def test_a_recording_of_a_script_that_kills_itself_is_read(results: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    kill = f"\n    import os; os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
    script.write_text(
        SCRIPT.replace("for length in (3, 3, 5, 8, 8)", "for length in (3, 3)") + kill
    )
    out = tmp_path / "out"
    options = forkpoint.Options(out=out)
    found = forkpoint.compare(
        script, {"old": "torch==2.9.1", "new": "torch==2.10.0"}, options=options
    )
    assert found.verdict is forkpoint.Verdict.INCOMPLETE
    assert [step.index for step in found.steps] == [0, 1]
    with Recording.open(out / "recordings" / "old") as recording:
        assert not recording.complete
        assert len(recording.steps()) == 2


def test_the_recordings_take_no_harm_from_being_read(results: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        files = [path for path in results.rglob("*") if path.is_file()]
        return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)

    before = state()
    forkpoint.diff(results / "old", results / "new")
    assert state() == before
