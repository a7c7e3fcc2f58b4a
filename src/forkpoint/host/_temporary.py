"""A folder for the temporary files of a run that is ended in its middle, and cannot tidy up."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from forkpoint.claims import scratch_folder
from forkpoint.environments import Environment
from forkpoint.host._job import Control, Job
from forkpoint.host._place import unwritable

_LONGEST = 60
"""Bytes: a socket's path has 107 at most, and programs put some of their own below the folder."""


@contextmanager
def temporary_files(
    environment: Environment, job: Job, control: Control
) -> Iterator[Mapping[str, str]]:
    """Variables that send temporary files into a folder, which is gone afterwards.

    None for a run that goes to its end: it tidies up by itself. Nor where the environment says
    itself where they go.
    """
    if job.stop_after is None or "TMPDIR" in environment.variables:
        yield {}
        return
    with _folder(control) as folder:
        # compiled code stays where the runs to their end put it, or each run would compile anew
        compiled = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or _compiled()
        yield {"TORCHINDUCTOR_CACHE_DIR": compiled, "TMPDIR": str(folder)}


@contextmanager
def _folder(control: Control) -> Iterator[Path]:
    """In the control folder, where the path is not too long."""
    folder = control.temporary
    if len(os.fsencode(folder)) > _LONGEST:
        with scratch_folder() as elsewhere:
            yield elsewhere
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise unwritable("The temporary files of a run", folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compiled() -> str:
    """Where torch keeps compiled code by default."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name: torch gives up on that, too
        user = str(os.getuid())
    name = "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user)
    return str(Path(tempfile.gettempdir()) / name)
