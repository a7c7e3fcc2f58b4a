"""What people read before they run anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.cli import forkpoint_cli

VERBS = ["", "audit", "compare", "record", "diff", "report", "demo", "doctor", "env", "env list"]
VERBS += ["env show", "env prune", "env build", "explain", "replay", "repro", "bisect", "history"]


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    ended = forkpoint_cli(*verb.split(), "--help", cwd=tmp_path)
    assert ended.status == 0
    assert ended.err == ""
    assert "Example" in ended.out or verb == ""
    assert ended.out == snapshot


def test_no_words_at_all_show_the_help(tmp_path: Path) -> None:
    ended = forkpoint_cli(cwd=tmp_path)
    assert ended.status == 2
    assert ended.out == ""
    assert "Usage: forkpoint" in ended.err
