"""A limit on a process's memory, for readers that allocate what a file tells them to.

The host uses it, too: nothing but the standard library is needed.
"""

from __future__ import annotations

import contextlib
import re
from typing import Iterator

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]


@contextlib.contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """Let the process allocate at most ``more`` bytes beyond what it has, within the block.

    Where the system cannot tell (it is not Linux), nothing is limited. Other threads are
    limited, too, so ``more`` should leave them room.
    """
    have = allocated()
    if resource is None or have is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([have + more, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def allocated() -> int | None:
    """Bytes of private memory that the process has mapped, as RLIMIT_DATA counts them."""
    try:
        with open("/proc/self/status") as stream:
            found = re.search(r"^VmData:\s*(\d+) kB", stream.read(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
