"""Comparing two recordings: alignment, metrics, forks, verdicts."""

from forkpoint.compare.calls import DifferingCall, OriginKey, differing_calls, equal_steps
from forkpoint.compare.diff import Context, diff, environment_differences
from forkpoint.compare.elements import bits
from forkpoint.compare.forks import largest
from forkpoint.compare.metrics import compare_arrays, compare_stream
from forkpoint.compare.moves import Work, moves_values, work_of
from forkpoint.compare.neutral import check_neutral, unrepeatable_steps
from forkpoint.compare.plan import Pick, Plan, second_pass
from forkpoint.compare.tolerances import PRESETS, limits_for, parse_tolerance
from forkpoint.compare.verdicts import DIFFERING, SEVERITY, worst

__all__ = [
    "DIFFERING",
    "PRESETS",
    "SEVERITY",
    "Context",
    "DifferingCall",
    "OriginKey",
    "Pick",
    "Plan",
    "Work",
    "bits",
    "check_neutral",
    "compare_arrays",
    "compare_stream",
    "diff",
    "differing_calls",
    "environment_differences",
    "equal_steps",
    "largest",
    "limits_for",
    "moves_values",
    "parse_tolerance",
    "second_pass",
    "unrepeatable_steps",
    "work_of",
    "worst",
]
