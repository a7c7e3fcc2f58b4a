"""Comparing the files that two runs wrote: arrays, documents, text and rankings."""

from forkpoint.artifacts.arrays import Stored, compare_named, compare_stored, measured
from forkpoint.artifacts.comparer import Comparer, Context, File, Found, Refused
from forkpoint.artifacts.quality import Relevance, read_relevance, require_measures
from forkpoint.artifacts.rankings import Ranked, compare_rankings
from forkpoint.artifacts.tree import compare_trees
from forkpoint.artifacts.unpacking import Contents, Unpack, Unpacker

__all__ = [
    "Comparer",
    "Contents",
    "Context",
    "File",
    "Found",
    "Ranked",
    "Refused",
    "Relevance",
    "Stored",
    "Unpack",
    "Unpacker",
    "compare_named",
    "compare_rankings",
    "compare_stored",
    "compare_trees",
    "measured",
    "read_relevance",
    "require_measures",
]
