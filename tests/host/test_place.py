"""Recordings appear whole, and nothing else ever goes away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forkpoint.errors import UsageError
from forkpoint.host import is_recording, publish, require_free, stage
from forkpoint.store import Recording
from tests.support.recordings import RecordingBuilder


def write_recording(folder: Path, value: float = 0.0) -> Path:
    x = np.full((2, 3), value, dtype=np.float32)
    with RecordingBuilder(folder) as rec, rec.step("Net", inputs={"x": x}) as step:
        step.root({"": x})
    return folder


def test_a_recording_is_known_by_its_manifest(tmp_path: Path) -> None:
    assert is_recording(write_recording(tmp_path / "rec"))
    assert not is_recording(tmp_path)
    assert not is_recording(tmp_path / "missing")


def test_a_damaged_recording_is_still_ours(tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "rec")
    (folder / "index.sqlite").write_bytes(b"cut")
    assert is_recording(folder)


def test_a_recording_with_a_users_file_in_it_is_not_ours_alone(tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "rec")
    (folder / "thesis.txt").write_text("years of work")
    assert not is_recording(folder)
    with pytest.raises(UsageError, match="not a recording of forkpoint"):
        require_free(folder, force=True)
    assert (folder / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("force", [False, True])
def test_a_foreign_folder_or_file_is_never_in_danger(tmp_path: Path, force: bool) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(write_recording(tmp_path / "rec"))
    for name in ("data", "file", "link"):
        with pytest.raises(UsageError):
            require_free(tmp_path / name, force=force)


def test_an_older_recording_needs_force(tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "rec")
    with pytest.raises(UsageError, match="already a recording"):
        require_free(folder, force=False)
    require_free(folder, force=True)
    require_free(tmp_path / "new", force=False)


def test_publishing_replaces_an_older_recording_and_leaves_no_trace(tmp_path: Path) -> None:
    target = write_recording(tmp_path / "rec", 1.0)
    staged = write_recording(stage(target), 2.0)
    publish(staged, target)
    with Recording.open(target) as opened:
        assert len(opened.steps()) == 1
        assert opened.manifest.name == "recording"
    assert [path.name for path in tmp_path.iterdir()] == ["rec"]


def test_a_stage_that_nothing_was_written_to_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "rec"
    publish(stage(target), target)
    assert not target.exists()
    assert not list(target.parent.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        stage(tmp_path / "file" / "rec")
