"""Each test in ``inside/`` under each environment; see ``inside/runner.py``."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from tests.worker.conftest import ENVIRONMENTS, INSIDE, MODULES, InsideRun

pytestmark = pytest.mark.integration


def _tests() -> list[str]:
    found = []
    for module in MODULES:
        tree = ast.parse((INSIDE / f"{module}.py").read_text())
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        found += [f"{module}:{name}" for name in names if name.startswith("test_")]
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("test", _tests())
def test_inside(environment: str, test: str, inside: Callable[[str], InsideRun]) -> None:
    inside(environment).check(test)
