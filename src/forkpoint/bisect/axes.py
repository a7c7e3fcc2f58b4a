"""Axes: what of an environment is varied besides the release, and how it is put in force.

An axis value is a mapping: ``python`` chooses the Python of an environment, lower-case names are
torch settings (`forkpoint_worker.settings`), upper-case ones are environment variables.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence

from forkpoint.environments import Environment, parse_spec
from forkpoint.errors import UsageError
from forkpoint_worker.settings import CHOICES

Axis = Mapping[str, str]

PYTHON = "python"


def read_axes(texts: Sequence[str]) -> tuple[dict[str, str], ...]:
    """All combinations of the values: ``threads=1,2`` are two, with ``python=3.10,3.11`` four.

    Raises `UsageError` for a name that cannot be varied, or a value that it does not take.
    """
    axes: dict[str, list[tuple[str, str]]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        known = name in CHOICES or name == PYTHON or name.isupper()
        if not equals or not known or not all(values.split(",")):
            raise UsageError(
                f"--axis {text!r} cannot be read.",
                hint="Write python=3.10,3.11, or a variable as in MKL_CBWR=AVX2,COMPATIBLE, or a "
                f"setting as in threads=1,2. The settings are {', '.join(CHOICES)}.",
            )
        if name in axes:
            raise UsageError(
                f"--axis {name} is given twice.", hint=f"Write all its values at once: {name}=A,B."
            )
        axes[name] = [(name, _value(text, name, one)) for one in values.split(",")]
    return tuple(dict(one) for one in itertools.product(*axes.values()))


def axis_name(axis: Axis) -> str:
    """``threads=2``; nothing for the axis value that sets nothing."""
    return " ".join(f"{key}={value}" for key, value in axis.items())


def python_of(axis: Axis) -> str | None:
    """The Python that an axis value builds environments with; None: that of the base spec."""
    return axis.get(PYTHON)


def at_run_time(axis: Axis) -> dict[str, str]:
    """What of an axis value acts when something runs, and not when its environment is built."""
    return {name: value for name, value in axis.items() if name != PYTHON}


def applied(environment: Environment, axis: Axis) -> Environment:
    """The environment with the settings and variables of an axis value."""
    acting = at_run_time(axis).items()
    return environment.altered(
        variables={k: v for k, v in acting if k.isupper()},
        settings={k: v for k, v in acting if not k.isupper()},
    )


def _value(text: str, name: str, value: str) -> str:
    """The canonical value (``threads=01`` is 1), checked as that of an environment is."""
    try:
        spec = parse_spec("axis=" + shlex.quote(f"{name}={value}"))
    except UsageError as error:
        reason = error.message.removeprefix("environment 'axis': ")
        raise UsageError(f"--axis {text!r}: {reason}", hint=error.hint) from None
    return spec.python or spec.settings.get(name) or spec.variables[name]
