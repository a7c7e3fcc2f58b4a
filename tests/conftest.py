"""Fixtures that several packages share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from forkpoint.environments import Environment, EnvironmentCache, build, parse_spec

pytest_plugins = ("tests.diagnose.faulty",)

TorchEnv = Callable[[str], Environment]


@pytest.fixture(scope="session")
def torch_env() -> Iterator[TorchEnv]:
    """Environments with a torch release and numpy, built once in the real cache.

    >>> environment = torch_env("2.10.0")
    """
    with EnvironmentCache() as cache:
        built: dict[str, Environment] = {}

        def get(version: str) -> Environment:
            if version not in built:
                spec = parse_spec(f"torch-{version}=torch=={version} numpy")
                built[version] = build(spec, cache=cache)
            return built[version]

        yield get


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let programs that tests start be interrupted.

    A shell starts background jobs with SIGINT ignored, and all that they start inherits it: a
    suite run as such a job would wait for ever for its Ctrl-C to arrive.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
