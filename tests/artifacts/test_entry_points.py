from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forkpoint.artifacts import Context, Refused, compare_trees
from forkpoint.artifacts.comparer import registered
from forkpoint.compare import PRESETS
from forkpoint.model import Verdict

PLUGIN = """
from forkpoint.artifacts import Found
from forkpoint.model import Verdict

class Wave:
    kind = "wave"
    def recognises(self, file):
        return file.head.startswith(b"RIFF")
    def compare(self, baseline, candidate, context):
        yield Found(verdict=Verdict.WITHIN_TOLERANCE, summary="sounds the same")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with one entry point, on the path."""
    site = tmp_path / "site"
    info = site / "waves-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waves\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[forkpoint.artifacts]\nwave = waves_plugin:Wave\n")
    (site / "waves_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    registered.cache_clear()
    yield site
    registered.cache_clear()
    sys.modules.pop("waves_plugin", None)


def sides(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "a.wav", tmp_path / "b.wav"
    for number, path in enumerate(found):
        path.write_bytes(b"RIFF" + bytes([number]))
    return found


def test_a_format_of_another_package_goes_first(package: Path, tmp_path: Path) -> None:
    (found,) = compare_trees(*sides(tmp_path), Context(tolerance=PRESETS["torch"]))
    assert (found.kind, found.verdict) == ("wave", Verdict.WITHIN_TOLERANCE)


def test_a_format_that_cannot_be_loaded_is_named(package: Path, tmp_path: Path) -> None:
    (package / "waves_plugin.py").unlink()
    with pytest.raises(Refused, match="wave"):
        compare_trees(*sides(tmp_path), Context(tolerance=PRESETS["torch"]))
