"""How many inputs fuzzers try: few in every run, as many as you like with an option.

The option is in tests/conftest.py: pytest takes it from nowhere else in a run of all tests.

pytest tests/robustness --fuzz-inputs 1000000
FORKPOINT_FUZZ_INPUTS=1000000 pytest tests/robustness
"""

from __future__ import annotations

import os

import pytest

QUICK = 1200


@pytest.fixture
def fuzz_inputs(request: pytest.FixtureRequest) -> int:
    """Inputs that a fuzzer tries."""
    asked = request.config.getoption("--fuzz-inputs", default=None)
    return int(asked or os.environ.get("FORKPOINT_FUZZ_INPUTS") or QUICK)
