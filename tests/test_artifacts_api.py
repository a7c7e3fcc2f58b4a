from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from forkpoint import api
from forkpoint.api._artifacts import Collector
from forkpoint.compare import PRESETS
from forkpoint.errors import UsageError
from forkpoint.model import Verdict
from forkpoint.report import artifacts_to_json
from forkpoint.report.schema import ARTIFACTS_FILE_NAME, schema_text, shipped_schema


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    return Collector(tmp_path / "out", tmp_path / "results")


def write(path: Path, value: float) -> None:
    path.mkdir()
    np.save(path / "x.npy", np.full(4, value, dtype=np.float32))


def test_each_run_finds_nothing_and_the_recorded_runs_are_kept(collector: Collector) -> None:
    for name, value, keep in (("a", 1.0, True), ("b", 2.0, True), ("a", 9.0, False)):
        collector.require_nothing_there()
        write(collector.path, value)
        collector.take(name, keep=keep)
    assert not collector.path.exists()
    (found,) = collector.compare(
        (collector.kept("a"), collector.kept("b")), tolerance=PRESETS["torch"]
    )
    assert (found.path, found.verdict) == ("out/x.npy", Verdict.DIVERGENT)
    assert found.metrics is not None
    assert found.metrics.max_abs == 1.0


def test_what_was_there_before_is_not_touched(collector: Collector) -> None:
    write(collector.path, 1.0)
    with pytest.raises(UsageError, match="there already"):
        collector.require_nothing_there()
    assert (collector.path / "x.npy").exists()


def test_runs_that_write_nothing_are_not_called_identical(collector: Collector) -> None:
    collector.take("a", keep=True)
    (found,) = collector.compare(
        (collector.kept("a"), collector.kept("b")), tolerance=PRESETS["torch"]
    )
    assert found.verdict is Verdict.NOT_COMPARABLE


def test_two_runs_at_once_cannot_share_a_place() -> None:
    with pytest.raises(UsageError, match="at once"):
        api.Options(artifacts=Path("out"), jobs=2)


def test_the_result_follows_the_schema_that_ships(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 1.5)):
        write(tmp_path / name, value)
        (tmp_path / name / "t.run").write_text(f"q Q0 d{name} 1 {value} t\n")
    result = api.diff_artifacts(tmp_path / "a", tmp_path / "b")
    schema = json.loads(shipped_schema(ARTIFACTS_FILE_NAME))
    jsonschema.validate(json.loads(artifacts_to_json(result)), schema)
    assert shipped_schema(ARTIFACTS_FILE_NAME) == schema_text(ARTIFACTS_FILE_NAME)
    assert result.verdict is Verdict.DIVERGENT


def test_empty_folders_are_no_result(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files"):
        api.diff_artifacts(tmp_path, tmp_path)


def judged(collector: Collector, path: Path) -> Collector:
    return replace(collector, judged=path)


def test_judgements_may_be_written_by_the_runs(collector: Collector) -> None:
    collector = judged(collector, collector.path / "qrels.txt")
    collector.require_judgements()
    for name, order in (("a", "xy"), ("b", "yx")):
        write(collector.path, 1.0)
        run = "".join(f"q Q0 {d} {rank} {9 - rank} t\n" for rank, d in enumerate(order, 1))
        (collector.path / "t.run").write_text(run)
        (collector.path / "qrels.txt").write_text("q 0 x 1\n")
        collector.take(name, keep=True)
    found = collector.compare(
        (collector.kept("a"), collector.kept("b")),
        tolerance=PRESETS["torch"],
        relevance=collector.relevance("a"),
    )
    (ranking,) = (one.ranking for one in found if one.ranking is not None)
    quality = {one.measure: (one.baseline, one.candidate) for one in ranking.quality}
    assert quality["RR@10"] == (1.0, 0.5)


def test_judgements_from_elsewhere_are_read_before_any_run(
    collector: Collector, tmp_path: Path
) -> None:
    collector = judged(collector, tmp_path / "qrels.txt")
    with pytest.raises(UsageError, match="holds no relevance judgements"):
        collector.require_judgements()
    (tmp_path / "qrels.txt").write_text("q 0 x 1\n")
    collector.require_judgements()
    assert collector.relevance("a") == {"q": {"x": 1}}


def test_judgements_that_no_run_wrote_are_an_error(collector: Collector) -> None:
    collector = judged(collector, collector.path / "qrels.txt")
    collector.require_judgements()
    with pytest.raises(UsageError, match="holds no relevance judgements"):
        collector.relevance("a")


def test_judgements_need_rankings_to_measure() -> None:
    with pytest.raises(UsageError, match="no rankings"):
        api.Options(relevance=Path("qrels.txt"))


def test_judgements_change_nothing_for_files_that_are_no_rankings(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.tsv").write_text('1\t"x" y\n')
    (tmp_path / "qrels.txt").write_text("q 0 x 1\n")
    result = api.diff_artifacts(tmp_path / "a", tmp_path / "b", relevance=tmp_path / "qrels.txt")
    assert result.verdict is Verdict.IDENTICAL
