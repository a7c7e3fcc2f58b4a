"""Reproducers of real capsules, really run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from forkpoint import UsageError, api
from forkpoint.cli import forkpoint
from forkpoint.environments import EnvironmentSpec, parse_spec
from tests.conftest import TorchEnv
from tests.diagnose.faulty import Faulty

pytestmark = pytest.mark.integration


def _capsule(faulty: Faulty, root: Path, fault: str) -> Path:
    (origin,) = faulty(fault).origins
    assert origin.capsule
    return root / fault / origin.capsule


def _sides(torch_env: TorchEnv, root: Path, fault: str) -> list[EnvironmentSpec]:
    return [
        parse_spec(f"good=python={torch_env('2.10.0').python}"),
        parse_spec(f"bad=python={root / 'venv'} FORKPOINT_FAULT={fault}"),
    ]


def test_a_fault_by_rows_keeps_its_rows(
    faulty: Faulty, faulty_root: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    capsule = _capsule(faulty, faulty_root, "rows")
    sides = _sides(torch_env, faulty_root, "rows")
    made = api.repro(capsule, sides, out=tmp_path / "out")
    assert made.verified, made.shown
    assert made.shapes[0] == (3, 1)  # multiples of three rows differ, however short they are
    assert "other bits" in made.shown[1].output
    issue = (tmp_path / "out" / "ISSUE.md").read_text()
    assert "the script shows the difference" in issue
    assert "FORKPOINT_FAULT=rows python repro.py" in issue


def test_environments_that_agree_make_no_reproducer(
    faulty: Faulty, faulty_root: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    capsule = _capsule(faulty, faulty_root, "rows")
    python = torch_env("2.10.0").python
    sides = [parse_spec(f"{name}=python={python}") for name in ("one", "two")]
    with pytest.raises(UsageError, match="give the same bits"):
        api.repro(capsule, sides, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_environments_the_recorded_results_are_expected(
    faulty: Faulty, faulty_root: Path, tmp_path: Path
) -> None:
    capsule = _capsule(faulty, faulty_root, "rows")
    out = tmp_path / "out"
    ran = CliRunner().invoke(
        forkpoint, ["repro", str(capsule), "--out", str(out), "--format", "json"]
    )
    assert ran.exit_code == 0, ran.output
    made = json.loads(ran.stdout)
    assert made["verified"] is None
    assert made["shapes"] == made["recorded"]
    names = {path.name for path in out.iterdir()}
    assert names == {"repro.py", "inputs.bin", "expected.bin", "ISSUE.md"}
