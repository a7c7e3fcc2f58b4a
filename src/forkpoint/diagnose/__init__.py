"""Why two runs differ: which op calls are the cause, proven by experiments."""

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.experiments import (
    Dimension,
    argument_names,
    dimensions,
    failed_swap,
    find_stages,
    judge_swap,
    parse_crop,
    untried_swap,
)
from forkpoint.diagnose.procedure import EXPERIMENTS, SEARCH, diagnose, examine
from forkpoint.diagnose.words import explain

__all__ = [
    "EXPERIMENTS",
    "SEARCH",
    "Bench",
    "Case",
    "Dimension",
    "argument_names",
    "diagnose",
    "dimensions",
    "examine",
    "explain",
    "failed_swap",
    "find_stages",
    "judge_swap",
    "parse_crop",
    "untried_swap",
]
