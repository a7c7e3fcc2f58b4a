"""Why two runs differ: which op calls are the cause, proven by experiments."""

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.procedure import diagnose
from forkpoint.diagnose.words import explain

__all__ = ["Bench", "Case", "diagnose", "explain"]
