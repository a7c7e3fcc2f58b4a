"""What the worker measures with torch is what `forkpoint.compare` defines with numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forkpoint.compare.metrics import compare_arrays
from forkpoint.store import DTYPES
from tests.worker.conftest import ENVIRONMENTS, InsideRun

pytestmark = pytest.mark.integration

SUMMED = "mean_abs"  # the order of a sum is free, and so are its last digits


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_host_and_worker_agree(environment: str, inside: Callable[[str], InsideRun]) -> None:
    run = inside(environment)
    run.check("measures:test_export_pairs")
    folder = run.artifacts / "pairs"
    rows = json.loads((folder / "pairs.json").read_text())
    assert len(rows) > 500
    assert {row["dtype"] for row in rows} >= {"bfloat16", "float16", "complex128", "bool", "int64"}
    for row in rows:
        limits = None if row["limits"] is None else tuple(row["limits"])
        baseline, candidate = (_load(folder, row, side) for side in "bc")
        expected = asdict(compare_arrays(baseline, candidate, limits=limits))
        _same(row["metrics"], json.loads(json.dumps(expected)), row)


def _load(folder: Path, row: dict[str, Any], side: str) -> np.ndarray:
    data = (folder / f"{row['name']}.{side}").read_bytes()
    return np.frombuffer(data, dtype=DTYPES[row["dtype"]]).reshape(row["shape"])


def _same(measured: dict[str, Any], expected: dict[str, Any], row: dict[str, Any]) -> None:
    about = {key: row[key] for key in ("name", "dtype", "shape", "limits")}
    assert math.isclose(measured.pop(SUMMED), expected.pop(SUMMED), rel_tol=1e-12), about
    assert measured == expected, about
