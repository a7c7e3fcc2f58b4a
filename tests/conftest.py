"""Fixtures that several packages share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from forkpoint.demo import ENVIRONMENTS, WITH
from forkpoint.environments import (
    Environment,
    EnvironmentCache,
    EnvironmentSpec,
    build,
    parse_spec,
    with_requirements,
)

pytest_plugins = ("tests.diagnose.faulty",)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tests in robustness/."""
    group = parser.getgroup("robustness")
    group.addoption(
        "--fuzz-inputs",
        type=int,
        metavar="N",
        help="How many changed inputs tests/robustness reads.",
    )
    group.addoption(
        "--fuzz-seed", type=int, default=0, metavar="N", help="The first seed of these inputs."
    )


TorchEnv = Callable[[str], Environment]


@pytest.fixture(scope="session")
def torch_env() -> Iterator[TorchEnv]:
    """Environments with a torch release and numpy, built once in the real cache.

    >>> environment = torch_env("2.10.0")
    """
    with _built(lambda version: parse_spec(f"torch-{version}=torch=={version} numpy")) as get:
        yield get


@pytest.fixture(scope="session")
def demo_env() -> Iterator[TorchEnv]:
    """The demo's environments, ``old`` and ``new``, with transformers and MiniLM."""
    with _built(
        lambda name: with_requirements(parse_spec(f"{name}={ENVIRONMENTS[name]}"), WITH)
    ) as get:
        yield get


@contextmanager
def _built(spec: Callable[[str], EnvironmentSpec]) -> Iterator[TorchEnv]:
    with EnvironmentCache() as cache:
        built: dict[str, Environment] = {}

        def get(name: str) -> Environment:
            if name not in built:
                built[name] = build(spec(name), cache=cache)
            return built[name]

        yield get


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let programs that tests start be interrupted.

    A shell starts background jobs with SIGINT ignored, and all that they start inherits it: a
    suite run as such a job would wait for ever for its Ctrl-C to arrive.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
