"""Real runs of a model with planted faults: the exact set of origins, every time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from forkpoint import api
from forkpoint.environments import EnvironmentSpec, parse_spec
from forkpoint.host import Workload
from forkpoint.model import Comparison, Outcome, Verdict
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).with_name("planted.py")

NORM, TANH, SOFTMAX = (f"aten.{name}.default" for name in ("native_layer_norm", "tanh", "_softmax"))


Compared = Callable[[str], Comparison]


@pytest.fixture(scope="module")
def compared(torch_env: TorchEnv, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The comparison of a healthy run with one that has a fault; each is made once."""

    @cache
    def compare(fault: str) -> Comparison:
        folder = tmp_path_factory.mktemp("planted")
        python = torch_env("2.10.0").python
        specs: list[EnvironmentSpec] = [
            parse_spec(f"search=python={python}"),
            parse_spec(f"bad=python={python} FORKPOINT_FAULT={fault}"),
        ]
        options = api.Options(out=folder / "out", experiments=("origins",), jobs=2)
        finished = api.run_comparison(Workload(script=SCRIPT, cwd=folder), specs, options=options)
        assert not finished.failures
        kept = {path.name for path in (folder / "out" / "recordings").iterdir()}
        assert {"search", "bad"} <= kept  # whatever an environment is called
        return finished.comparison

    return compare


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("always", {NORM}),
        ("rows", {NORM}),
        ("length", {SOFTMAX}),
        ("two", {NORM, TANH}),
        ("second", {TANH}),
    ],
)
def test_the_origins_are_exactly_what_was_planted(
    compared: Compared, fault: str, expected: set[str]
) -> None:
    found = compared(fault)
    assert {origin.op for origin in found.origins} == expected
    sufficiency = next(one for one in found.experiments if one.name == "sufficiency")
    assert sufficiency.outcome is Outcome.SUPPORTED, sufficiency.evidence
    assert found.explanation[0].startswith("Only ")
    assert found.explanation[-1].startswith("Substituting ")


def test_a_fault_that_the_script_plants_itself_is_shown_in_place(compared: Compared) -> None:
    found = compared("always")
    (origin,) = found.origins
    assert origin.confirmed == "in_place"  # replay has no such override, and says so
    replayed = next(one for one in found.experiments if one.name == "replay")
    assert replayed.outcome is Outcome.INCONCLUSIVE
    assert "does not give the bits that it gave in the script" in replayed.evidence


def test_steps_that_agree_are_no_steps_of_an_origin(compared: Compared) -> None:
    found = compared("rows")
    (origin,) = found.origins
    assert origin.steps == (0, 2)
    assert [step.verdict is Verdict.IDENTICAL for step in found.steps] == [
        False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["unused", "repaired"])
def test_what_changes_no_output_is_no_divergence(compared: Compared, fault: str) -> None:
    found = compared(fault)
    assert found.verdict is Verdict.IDENTICAL
    assert found.origins == ()
