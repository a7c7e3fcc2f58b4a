"""Reading files of ``torch.save`` for a host that never opens a pickle.

Only torch's weights-only reader is used, and only where no hole in it is known. Before it sees
a file, sizes are checked against those of the file; while it works, the memory of the process
is limited, so that a file cannot make more of itself than `GROWTH` allows.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from typing import Any, Mapping

from .limits import memory_limit

TENSORS = "tensors.safetensors"
CONTENT = "content.json"

GROWTH = 4
"""Tensors may take this many times the size of the file: they may share or repeat memory."""

MAX_VALUES = 1000000
MAX_DEPTH = 100
MAX_MEMBERS = 100000
_ROOM = 1 << 30  # bytes of memory for the reader itself
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"

_SAFE_SINCE = (2, 10)
# The reader of torch < 2.6 can be made to run code (CVE-2025-32434), that of torch < 2.10 to
# write outside its memory (CVE-2026-24747). A hole cannot be felt for from outside, which is
# why a version is compared here, and nowhere else.


class Refused(ValueError):
    """A file that is not read; the text says why."""


class Unpack:
    """Reads the files of one job, one after the other, and writes an answer for each."""

    def __init__(self, job: Mapping[str, Any], control: str, status: Any) -> None:
        self._files = job["calls"]
        self._answers = os.path.join(control, "unpacked.jsonl")
        self._status = status

    def go(self) -> None:
        """Answer for every file; each answer is on disk before the next file is opened."""
        missing = no_reader()
        with open(self._files) as files, open(self._answers, "w") as answers:
            for line in files:
                file = json.loads(line)
                self._status.write(-1, "", str(file["id"]))
                status, reason = ("no_reader", missing) if missing else _read(file)
                answer = {"id": file["id"], "status": status, "reason": reason}
                answers.write(json.dumps(answer) + "\n")
                answers.flush()


def no_reader() -> str | None:
    """Why this environment cannot read pickles safely, or None where it can."""
    try:
        import torch  # noqa: PLC0415 - an environment without it gets an answer, not an error
    except ImportError as error:
        return "torch cannot be imported (%s)" % error
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found is None or (int(found[1]), int(found[2])) < _SAFE_SINCE:
        return "the weights-only reader of torch %s has known holes" % torch.__version__
    return None


def _read(file: Mapping[str, Any]) -> tuple[str, str | None]:
    try:
        unpack(file["path"], file["out"])
    except Refused as refused:
        return "refused", str(refused)
    except OSError as error:
        return "refused", "it cannot be read: %s" % (error.strerror or error)
    except pickle.UnpicklingError as error:
        return "refused", "it holds more than tensors and plain values%s" % _which(error)
    except Exception as error:  # noqa: BLE001 - whatever the reader makes of a file is the answer
        first = (str(error).splitlines() or [""])[0][:500]
        return "refused", "%s: %s" % (type(error).__name__, first)
    return "read", None


def _which(error: pickle.UnpicklingError) -> str:
    """The name that the reader stumbled over; the rest of its text advises to read unsafely."""
    found = re.search(r"(?:GLOBAL|global|class|operand)[: ]+([\w.]*[\w]\.[\w.]*\w)", str(error))
    return " (%s)" % found[1] if found else ""


def unpack(path: str, out: str) -> None:
    """Write the tensors and plain values of one file to the new folder ``out``.

    Raises `Refused` where the file is none of ``torch.save``, or claims more than it holds.
    """
    import torch  # noqa: PLC0415 - see `no_reader`

    from .contents import Contents  # noqa: PLC0415 - it needs torch
    from .shards import write_tensors  # noqa: PLC0415

    size = os.path.getsize(path)
    archive = _is_archive(path, size)
    with memory_limit(GROWTH * size + _ROOM):
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
        contents = Contents(value, limit=GROWTH * size + (1 << 20))
        os.makedirs(out)
        write_tensors(os.path.join(out, TENSORS), contents.tensors)
    with open(os.path.join(out, CONTENT), "w") as stream:
        json.dump(contents.document(), stream)


def _is_archive(path: str, size: int) -> bool:
    """Whether it is a zip archive, checked by its directory; else it must begin as a pickle."""
    with open(path, "rb") as stream:
        head = stream.read(4)
    if not head.startswith(_ZIP):
        if not head.startswith(_PICKLE):
            raise Refused("it is no file of torch.save")
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Refused("its archive is damaged: %s" % error) from error
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise Refused("it is a TorchScript archive, which holds code")
    claimed = sum(member.file_size for member in members)
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or claimed > size or len(members) > MAX_MEMBERS:
        raise Refused(
            "its archive claims %d members and %d bytes out of %d, or is compressed, as torch.save "
            "never writes it: it looks like a zip bomb" % (len(members), claimed, size)
        )
    return True
