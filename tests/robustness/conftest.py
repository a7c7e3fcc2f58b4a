"""How many inputs fuzzers try: few in every run, as many as you like with an option.

pytest tests/robustness --fuzz-inputs 1000000
FORKPOINT_FUZZ_INPUTS=1000000 pytest tests/robustness
"""

from __future__ import annotations

import os

import pytest

QUICK = 1200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-inputs", type=int, help="inputs that each fuzzer tries")


@pytest.fixture
def fuzz_inputs(request: pytest.FixtureRequest) -> int:
    """Inputs that a fuzzer tries."""
    asked = request.config.getoption("--fuzz-inputs", default=None)
    return int(asked or os.environ.get("FORKPOINT_FUZZ_INPUTS") or QUICK)
