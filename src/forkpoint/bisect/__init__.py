"""Which release changed a result: releases, the planner, the matrix, the catalogue."""

from forkpoint.bisect.axes import Axis, applied, at_run_time, axis_name, python_of, read_axes
from forkpoint.bisect.bench import Bench, Constraint, parse_constraint
from forkpoint.bisect.capsules import Recorded, capsule_subject, recorded
from forkpoint.bisect.catalogue import CatalogueCall, catalogue
from forkpoint.bisect.history import run_history
from forkpoint.bisect.looker import Looker
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import (
    BISECT_SCHEMA,
    HISTORY_SCHEMA,
    Answer,
    Bisection,
    Change,
    Diagnosis,
    History,
    Row,
    RowChange,
    Size,
    Step,
    Tried,
)
from forkpoint.bisect.planner import find_change
from forkpoint.bisect.releases import (
    Release,
    list_by_python,
    list_releases,
    newest_patches,
    select,
    series,
)
from forkpoint.bisect.results import Installed, Place, Results, machine, other_machine
from forkpoint.bisect.room import Room
from forkpoint.bisect.script import Script
from forkpoint.bisect.search import ASSUMPTION, Found, bisect
from forkpoint.bisect.subjects import Calls, RowKey, Subject, catalogue_subject
from forkpoint.bisect.survey import Survey

__all__ = [
    "ASSUMPTION",
    "BISECT_SCHEMA",
    "HISTORY_SCHEMA",
    "Answer",
    "Axis",
    "Bench",
    "Bisection",
    "Calls",
    "CatalogueCall",
    "Change",
    "Column",
    "Constraint",
    "Diagnosis",
    "Found",
    "History",
    "Installed",
    "Looker",
    "Place",
    "Recorded",
    "Release",
    "Results",
    "Room",
    "Row",
    "RowChange",
    "RowKey",
    "Script",
    "Size",
    "Step",
    "Subject",
    "Survey",
    "Tried",
    "applied",
    "at_run_time",
    "axis_name",
    "bisect",
    "capsule_subject",
    "catalogue",
    "catalogue_subject",
    "find_change",
    "list_by_python",
    "list_releases",
    "machine",
    "matrix",
    "newest_patches",
    "other_machine",
    "parse_constraint",
    "python_of",
    "read_axes",
    "recorded",
    "run_history",
    "select",
    "series",
]
