"""What Python itself had loaded before the worker: imported first, and imports nothing else."""

import sys

AT_START = frozenset(sys.modules)
"""Names of the modules that a script finds loaded under plain ``python``, too."""
