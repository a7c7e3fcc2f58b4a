from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from forkpoint import api
from forkpoint.model import ArtifactComparison
from forkpoint.report import artifacts_to_markdown, render_artifacts


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtifactComparison:
    monkeypatch.chdir(tmp_path)
    for side, value in (("a", 1), ("b", 2)):
        Path(side).mkdir()
        np.save(f"{side}/codes.npy", np.arange(8) * value)
        np.savez(f"{side}/parts.npz", same=np.ones(3), x=np.float32([1, value]))
        Path(side, "same.txt").write_text("same\n")
        Path(side, "evil\x1b[31m|.bin").write_bytes(bytes([0, value]))
        Path(side, "x.run").write_text(f"q Q0 d1 1 2.0 t\nq Q0 d2 2 {value}.5 t\n")
    Path("a", "out").symlink_to("/etc/passwd")
    return api.diff_artifacts("a", "b")


def test_terminal(result: ArtifactComparison, snapshot: SnapshotAssertion) -> None:
    console = Console(file=io.StringIO(), width=80, no_color=True)
    render_artifacts(result, console)
    assert console.file.getvalue() == snapshot  # type: ignore[attr-defined]
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_markdown(result: ArtifactComparison, snapshot: SnapshotAssertion) -> None:
    assert artifacts_to_markdown(result) == snapshot
