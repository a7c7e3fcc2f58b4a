"""The experiments that follow once origins are known; one file each."""

from forkpoint.diagnose.experiments.crop import crop, parse_crop
from forkpoint.diagnose.experiments.dimensions import Dimension, dimensions
from forkpoint.diagnose.experiments.findings import Findings
from forkpoint.diagnose.experiments.interventions import interventions
from forkpoint.diagnose.experiments.kernels import kernels
from forkpoint.diagnose.experiments.naming import argument_names
from forkpoint.diagnose.experiments.necessity import necessity
from forkpoint.diagnose.experiments.oracle import oracle
from forkpoint.diagnose.experiments.repeatability import repeatability
from forkpoint.diagnose.experiments.stages import find_stages
from forkpoint.diagnose.experiments.swap import failed_swap, judge_swap, untried_swap
from forkpoint.diagnose.experiments.sweep import sweep

__all__ = [
    "Dimension",
    "Findings",
    "argument_names",
    "crop",
    "dimensions",
    "failed_swap",
    "find_stages",
    "interventions",
    "judge_swap",
    "kernels",
    "necessity",
    "oracle",
    "parse_crop",
    "repeatability",
    "sweep",
    "untried_swap",
]
