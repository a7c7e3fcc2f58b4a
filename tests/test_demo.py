"""The demo: real weights, real text, two torch releases, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from forkpoint.environments import Environment
from forkpoint.model import Comparison, Outcome, Verdict
from forkpoint.report import from_json
from tests.support.cli import forkpoint_cli

pytestmark = pytest.mark.integration
NORM = "aten.native_layer_norm.default"


@dataclass(frozen=True)
class Shown:
    """What the demo found, what it said meanwhile, and where it put everything."""

    comparison: Comparison
    said: str
    folder: Path


@pytest.fixture(scope="module")
def shown(
    demo_env: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Shown:
    for name in ("old", "new"):
        demo_env(name)
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--batches", "3", "--out", "out", "--format", "json"]
    ended = forkpoint_cli(*words, cwd=folder)
    assert ended.status == 1, ended
    assert (folder / "out" / "report.html").stat().st_size > 10_000
    return Shown(from_json(ended.out), ended.err, folder / "out")


def test_every_batch_forks_first_in_the_layer_norm_of_the_embeddings(shown: Shown) -> None:
    comparison = shown.comparison
    assert comparison.verdict is Verdict.DIVERGENT
    assert len(comparison.steps) == 3  # by how far they differ depends on the CPU
    assert all(step.verdict is not Verdict.IDENTICAL for step in comparison.steps)
    firsts = {(step.fork.module, step.fork.op) for step in comparison.steps if step.fork}
    assert firsts == {("embeddings.LayerNorm", NORM)}


def test_that_op_is_the_one_origin_and_substituting_it_is_enough(shown: Shown) -> None:
    comparison = shown.comparison
    (origin,) = comparison.origins
    assert (origin.op, origin.dtypes, origin.confirmed) == (NORM, ("float32",), "replay")
    outcomes = {one.name: one.outcome for one in comparison.experiments}
    assert outcomes["sufficiency"] is Outcome.SUPPORTED
    assert outcomes["repeatability"] is Outcome.SUPPORTED
    assert origin.oracle is not None
    rows = origin.oracle.baseline_row_ulp, origin.oracle.candidate_row_ulp
    assert all(row is not None and 0 < row < 16 for row in rows)
    assert origin.rule is None


def test_it_says_what_to_try_next(shown: Shown) -> None:
    assert "What to try next" in shown.said


def test_explain_adds_to_what_the_demo_found(shown: Shown) -> None:
    words = ["--only", "sweep", "--only", "interventions", "--jobs", "2", "--format", "json"]
    ended = forkpoint_cli("explain", shown.folder, *words, cwd=shown.folder)
    assert ended.status == 1, ended
    assert (shown.folder / "comparison.json").read_text().strip() == ended.out.strip()
    explained = from_json(ended.out)
    names = [one.name for one in explained.experiments]
    assert {one.name for one in shown.comparison.experiments} < set(names)
    assert {"sweep", "interventions"} < set(names)
    (origin,) = explained.origins
    assert any(sweep.points for sweep in origin.sweeps)
    assert all(sweep.note for sweep in origin.sweeps if sweep.rule is None)


def test_explain_runs_nothing_at_once_that_would_write_the_same_files(shown: Shown) -> None:
    kept = shown.folder / "artifacts"
    kept.mkdir()
    ended = forkpoint_cli("explain", shown.folder, "--jobs", "2", cwd=shown.folder)
    kept.rmdir()
    assert ended.status == 2
    assert "would write the same files" in ended.err
