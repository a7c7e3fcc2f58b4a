"""Saying why two environments part ways: origins, and experiments that prove or refute."""

from forkpoint.diagnose._case import Bench, Case, Experimenter, Finding
from forkpoint.diagnose.crop import crop

__all__ = ["Bench", "Case", "Experimenter", "Finding", "crop"]
