"""Reproducers: a capsule as one short script that needs torch only, with the smallest input."""

from forkpoint.repro.folder import Told, write_folder
from forkpoint.repro.issue import render_issue, shapes_text
from forkpoint.repro.model import Reproducer, Shown
from forkpoint.repro.reduce import Reduced, Trial, reduce_call
from forkpoint.repro.script import render_script

__all__ = [
    "Reduced",
    "Reproducer",
    "Shown",
    "Told",
    "Trial",
    "reduce_call",
    "render_issue",
    "render_script",
    "shapes_text",
    "write_folder",
]
