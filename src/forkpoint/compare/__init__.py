"""Comparing two recordings: alignment, metrics, forks, verdicts."""

from forkpoint.compare.calls import (
    DifferingCall,
    OriginKey,
    Unlike,
    differing_calls,
    equal_steps,
)
from forkpoint.compare.conclusion import concluded, verdict_of
from forkpoint.compare.diff import Context, diff
from forkpoint.compare.elements import bits
from forkpoint.compare.environment import environment_differences
from forkpoint.compare.metrics import compare_arrays, compare_stream
from forkpoint.compare.moves import Work, moves_values, work_of
from forkpoint.compare.neutral import changed_by_recording, check_neutral, unrepeatable_steps
from forkpoint.compare.plan import Pick, Plan, second_pass
from forkpoint.compare.results import Shown, is_main, largest, output_name
from forkpoint.compare.tables import shape_rows
from forkpoint.compare.tolerances import PRESETS, limits_for, parse_tolerance
from forkpoint.compare.verdicts import DIFFERING, JUDGED, SEVERITY, worst

__all__ = [
    "DIFFERING",
    "JUDGED",
    "PRESETS",
    "SEVERITY",
    "Context",
    "DifferingCall",
    "OriginKey",
    "Pick",
    "Plan",
    "Shown",
    "Unlike",
    "Work",
    "bits",
    "changed_by_recording",
    "check_neutral",
    "compare_arrays",
    "compare_stream",
    "concluded",
    "diff",
    "differing_calls",
    "environment_differences",
    "equal_steps",
    "is_main",
    "largest",
    "limits_for",
    "moves_values",
    "output_name",
    "parse_tolerance",
    "second_pass",
    "shape_rows",
    "unrepeatable_steps",
    "verdict_of",
    "work_of",
    "worst",
]
