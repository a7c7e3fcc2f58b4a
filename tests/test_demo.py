"""The demo: real weights, real text, two torch releases, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from forkpoint.environments import Environment
from forkpoint.model import Comparison, Outcome, Verdict
from forkpoint.report import from_json
from tests.support.cli import forkpoint_cli

pytestmark = pytest.mark.integration
NORM = "aten.native_layer_norm.default"


@pytest.fixture(scope="module")
def shown(
    demo_env: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, str]:
    """What the demo found and what it said meanwhile."""
    for name in ("old", "new"):
        demo_env(name)
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--batches", "3", "--out", "out", "--format", "json"]
    ended = forkpoint_cli(*words, cwd=folder)
    assert ended.status == 1, ended
    assert (folder / "out" / "report.html").stat().st_size > 10_000
    return from_json(ended.out), ended.err


def test_every_batch_forks_first_in_the_layer_norm_of_the_embeddings(
    shown: tuple[Comparison, str],
) -> None:
    comparison, _ = shown
    assert comparison.verdict is Verdict.DIVERGENT
    assert len(comparison.steps) == 3  # by how far they differ depends on the CPU
    assert all(step.verdict is not Verdict.IDENTICAL for step in comparison.steps)
    firsts = {(step.fork.module, step.fork.op) for step in comparison.steps if step.fork}
    assert firsts == {("embeddings.LayerNorm", NORM)}


def test_that_op_is_the_one_origin_and_substituting_it_is_enough(
    shown: tuple[Comparison, str],
) -> None:
    comparison, _ = shown
    (origin,) = comparison.origins
    assert (origin.op, origin.dtypes, origin.confirmed) == (NORM, ("float32",), "replay")
    outcomes = {one.name: one.outcome for one in comparison.experiments}
    assert outcomes["sufficiency"] is Outcome.SUPPORTED
    assert outcomes["repeatability"] is Outcome.SUPPORTED
    assert origin.oracle is not None
    assert 0 < origin.oracle.baseline_row_ulp < 16  # type: ignore[operator]
    assert 0 < origin.oracle.candidate_row_ulp < 16  # type: ignore[operator]
    assert origin.rule is None


def test_it_says_what_to_try_next(shown: tuple[Comparison, str]) -> None:
    _, said = shown
    assert "What to try next" in said
