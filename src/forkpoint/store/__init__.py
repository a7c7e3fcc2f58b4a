"""Part of forkpoint."""
