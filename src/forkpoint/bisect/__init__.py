"""Which release changed a result: releases, the planner, the matrix, the catalogue."""

from forkpoint.bisect.bench import Bench, Constraint, parse_constraint
from forkpoint.bisect.capsules import capsule_subject
from forkpoint.bisect.catalogue import CatalogueCall, catalogue
from forkpoint.bisect.history import Looker, Survey, run_history
from forkpoint.bisect.matrix import Column, matrix
from forkpoint.bisect.model import (
    Answer,
    Bisection,
    Change,
    History,
    Row,
    RowChange,
    Size,
    Step,
    Tried,
)
from forkpoint.bisect.planner import find_change
from forkpoint.bisect.releases import Release, list_releases, select
from forkpoint.bisect.results import Results, machine
from forkpoint.bisect.script import Script
from forkpoint.bisect.search import ASSUMPTION, Found, bisect
from forkpoint.bisect.subjects import Calls, RowKey, Subject, catalogue_subject

__all__ = [
    "ASSUMPTION",
    "Answer",
    "Bench",
    "Bisection",
    "Calls",
    "CatalogueCall",
    "Change",
    "Column",
    "Constraint",
    "Found",
    "History",
    "Looker",
    "Release",
    "Results",
    "Row",
    "RowChange",
    "RowKey",
    "Script",
    "Size",
    "Step",
    "Subject",
    "Survey",
    "Tried",
    "bisect",
    "capsule_subject",
    "catalogue",
    "catalogue_subject",
    "find_change",
    "list_releases",
    "machine",
    "matrix",
    "parse_constraint",
    "run_history",
    "select",
]
