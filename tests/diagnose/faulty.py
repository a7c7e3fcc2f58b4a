"""Environments whose torch has a fault from its start on, replays included."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from forkpoint import api
from forkpoint.environments import Environment, parse_spec
from forkpoint.host import Workload
from forkpoint.model import Comparison

HERE = Path(__file__).parent
Faulty = Callable[..., Comparison]
"""Compares with a fault, or several, in a script of this folder; swept, if nothing else is said."""


@pytest.fixture(scope="session")
def faulty_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the faulty environment (``venv``) and of results, one for each fault."""
    return tmp_path_factory.mktemp("faulty")


@pytest.fixture(scope="session")
def faulty(torch_env: Callable[[str], Environment], faulty_root: Path) -> Faulty:
    """The diagnosed comparison of torch with torch that has a fault; each is made once.

    A ``.pth`` file imports the fault when the interpreter starts, so that replays have it, too.
    """
    healthy = torch_env("2.10.0").python
    folder = faulty_root
    shutil.copy(HERE / "faults.py", folder / "faults.py")
    venv = folder / "venv"
    subprocess.run([healthy, "-m", "venv", "--without-pip", venv], check=True)
    site = venv / Path(sysconfig.get_path("purelib", "venv", {"base": "."})).relative_to(".")
    site = next((venv / "lib").glob("python*/site-packages"), site)
    packages = next((healthy.parent.parent / "lib").glob("python*/site-packages"))
    (site / "faulty.pth").write_text(f"{packages}\n{folder}\nimport faults\n")

    @cache
    def compare(fault: str, script: str = "healthy.py") -> Comparison:
        specs = [
            parse_spec(f"good=python={healthy}"),
            parse_spec(f"bad=python={venv} FORKPOINT_FAULT={fault}"),
        ]
        # the other experiments take processes of their own, and are looked at for two faults
        names = {"always": None, "two": ("necessity",), "fused": ("origins",)}.get(
            fault, ("sweep",)
        )
        options = api.Options(out=folder / fault, experiments=names)
        workload = Workload(script=HERE / script, cwd=folder)
        finished = api.run_comparison(workload, specs, options=options)
        assert not finished.failures
        return finished.comparison

    return compare
