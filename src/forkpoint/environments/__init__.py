"""Environments: what a user asks for, built by uv, kept in a cache, or found as they are.

`parse_spec` and `load_config` read what is asked for, `build` turns it into an `Environment`
with an interpreter to start, and `EnvironmentCache` holds what was built.
"""

from forkpoint.environments.builder import build
from forkpoint.environments.cache import CacheEntry, EnvironmentCache
from forkpoint.environments.config import Config, load_config, parse_size
from forkpoint.environments.environment import Environment
from forkpoint.environments.interpreters import Interpreter, find_interpreters
from forkpoint.environments.spec import EnvironmentSpec, parse_spec, with_requirements

__all__ = [
    "CacheEntry",
    "Config",
    "Environment",
    "EnvironmentCache",
    "EnvironmentSpec",
    "Interpreter",
    "build",
    "find_interpreters",
    "load_config",
    "parse_size",
    "parse_spec",
    "with_requirements",
]
