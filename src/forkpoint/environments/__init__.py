"""Environments: what a user asks for, built by uv, kept in a cache, or found as they are.

`parse_spec` and `load_config` read what is asked for, `build` turns it into an `Environment`
with an interpreter to start, and `EnvironmentCache` holds what was built.
"""

from forkpoint.environments.builder import build, clean_packages, is_built
from forkpoint.environments.cache import CacheEntry, EnvironmentCache, write_atomically
from forkpoint.environments.config import MOST_SECONDS, Config, load_config, parse_size
from forkpoint.environments.disk import total as disk_usage
from forkpoint.environments.environment import Environment, packages_of
from forkpoint.environments.interpreters import (
    Interpreter,
    choose_interpreter,
    find_interpreters,
    interpreter_at,
)
from forkpoint.environments.spec import (
    EnvironmentSpec,
    parse_requirement,
    parse_spec,
    with_requirements,
)
from forkpoint.environments.torch_backend import CPU, first_choice, has_nvidia_gpu
from forkpoint.environments.uv import index_settings

__all__ = [
    "CPU",
    "MOST_SECONDS",
    "CacheEntry",
    "Config",
    "Environment",
    "EnvironmentCache",
    "EnvironmentSpec",
    "Interpreter",
    "build",
    "choose_interpreter",
    "clean_packages",
    "disk_usage",
    "find_interpreters",
    "first_choice",
    "has_nvidia_gpu",
    "index_settings",
    "interpreter_at",
    "is_built",
    "load_config",
    "packages_of",
    "parse_requirement",
    "parse_size",
    "parse_spec",
    "with_requirements",
    "write_atomically",
]
