"""Functions watched from outside, in whole comparisons of real environments."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

import forkpoint
from forkpoint.report import render_comparison
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration

HELPERS = """
import torch

def make(n):
    return torch.arange(float(n)), n

def normed(x):
    size = x.shape[-1:]
    return torch.nn.functional.layer_norm(x * 3, size, torch.full(size, 1.1), torch.full(size, 0.1))

def release():
    return torch.__version__

def sometimes():
    return 1

def silent():
    pass
"""
SCRIPT = """
import torch
import helpers

helpers.make(3)
torch.manual_seed(0)
net = torch.nn.Linear(96, 96)
with torch.no_grad():
    net(torch.zeros(1, 96))
    helpers.normed(torch.randn(64, 384))
helpers.release()
if torch.__version__.startswith("2.9"):
    helpers.sometimes()
"""
NAMES = ("make", "normed", "release", "sometimes", "silent", "misspelt")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "run.py").write_text(SCRIPT)
    return tmp_path / "run.py"


@pytest.fixture
def options(tmp_path: Path) -> forkpoint.Options:
    watch = tuple(f"helpers:{name}" for name in NAMES)
    return forkpoint.Options(out=tmp_path / "out", watch=watch, tolerance="bitwise")


def environments(torch_env: TorchEnv, *versions: str) -> list[object]:
    from dataclasses import replace

    return [
        replace(torch_env(version), name=name)
        for name, version in zip(("old", "new"), versions, strict=True)
    ]


def test_what_differs_between_steps_is_found_and_measured(
    script: Path, options: forkpoint.Options, torch_env: TorchEnv
) -> None:
    found = forkpoint.compare(script, environments(torch_env, "2.9.1", "2.10.0"), options=options)
    calls = {call.function.partition(":")[2]: call for call in found.watched}
    assert list(calls) == ["make", "normed", "release", "sometimes"]
    assert (calls["make"].step, calls["make"].inside) == (-1, False)
    assert (calls["make"].arguments_equal, calls["make"].results_equal) == (True, True)
    assert (calls["normed"].arguments_equal, calls["normed"].results_equal) == (True, False)
    argument, result = calls["normed"].values
    assert (argument.role, argument.name, argument.equal, argument.metrics) == (
        "argument",
        "x",
        True,
        None,
    )
    assert (result.shape, result.dtype, result.equal) == ((64, 384), "float32", False)
    assert result.metrics is not None
    assert 0.5 < result.metrics.equal_fraction < 1
    assert calls["release"].results_equal is False
    assert calls["release"].baseline.startswith(" -> result='2.9.1")
    assert calls["sometimes"].side == "baseline"
    unseen = {(one.side, one.kind, one.detail) for one in found.coverage.uncovered}
    for side in ("baseline", "candidate"):
        assert (side, "watched function never called", "helpers:silent") in unseen
        detail = "helpers:misspelt: there is no misspelt"
        assert (side, "watched function not found", detail) in unseen
    console = Console(width=100, record=True, file=(script.parent / "shown").open("w"))
    render_comparison(found, console)
    shown = " ".join(console.export_text().split())
    assert "Of 4 calls of watched functions, 2 gave other results, first helpers:normed" in shown
    assert "1 call of watched functions happened on one side only." in shown


def test_one_environment_twice_gives_equal_results(
    script: Path, options: forkpoint.Options, torch_env: TorchEnv
) -> None:
    found = forkpoint.compare(script, environments(torch_env, "2.10.0", "2.10.0"), options=options)
    assert found.verdict is forkpoint.Verdict.IDENTICAL
    assert [(c.arguments_equal, c.results_equal) for c in found.watched] == [(True, True)] * 3


@pytest.mark.parametrize("name", ["helpers", "helpers:", ":f", "a b:f", "a:f()", "__main__:f"])
def test_what_names_no_function_is_refused(name: str) -> None:
    with pytest.raises(forkpoint.UsageError, match="watch"):
        forkpoint.Options(watch=(name,))
