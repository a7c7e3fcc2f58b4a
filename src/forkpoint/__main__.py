"""``python -m forkpoint``."""

from forkpoint.cli import main

main()
