"""Reading late-interaction indexes (`indexes`) from their files.

Nothing here reads pickles: `read_index` takes arrays in ``.npy``, as fast-plaid and PyLate write
them; colbert-ai's ``.pt`` files are turned into arrays first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from forkpoint.artifacts.arrays import Stored
from forkpoint.artifacts.comparer import Refused
from forkpoint.artifacts.indexes import HINT, Array, Index, Integers, Rows, require
from forkpoint.artifacts.npy import stored_array
from forkpoint.artifacts.walk import file_at
from forkpoint.errors import ForkpointError

FILES = {
    "centroids": "centroids.npy",
    "cutoffs": "bucket_cutoffs.npy",
    "weights": "bucket_weights.npy",
    "avg_residual": "avg_residual.npy",
    "ivf": "ivf.npy",
    "ivf_lengths": "ivf_lengths.npy",
}
"""The file of each part of an index that does not come in chunks, in ``.npy``."""

_MAX_JSON = 1 << 28


def read_index(folder: Path, *, documents: Sequence[str] | None = None) -> Index:
    """Read an index in ``.npy`` files: fast-plaid's and PyLate's own, or one that was unpacked.

    ``documents`` are ids by position; PyLate keeps them in a database that holds pickles, which
    is not opened. Raises `ForkpointError` for files that are missing or do not fit together.
    """
    folder = folder.resolve()  # links on the way there are the user's own
    numbers = chunk_numbers([path.name for path in folder.glob("*.codes.npy")])
    require(bool(numbers), f"{folder} has no N.codes.npy")
    return assemble(
        numbers,
        part=lambda name: read_array(folder / FILES[name]),
        chunk=lambda name: read_array(folder / f"{name}.npy"),
        doclens=lambda name: folder / name,
        documents=documents,
    )


def assemble(
    numbers: Sequence[str],
    *,
    part: Callable[[str], Array],
    chunk: Callable[[str], Array],
    doclens: Callable[[str], Path],
    documents: Sequence[str] | None = None,
) -> Index:
    """The index of the chunks of these numbers, wherever its files are and however they are read.

    ``part`` gives one of `FILES` by its name here, ``chunk`` an array such as ``3.codes``, and
    ``doclens`` the path of a file such as ``doclens.3.json``. Raises `ForkpointError` where they
    do not fit together.
    """
    rows = {
        what: Rows([partial(chunk, f"{number}.{what}") for number in numbers])
        for what in ("codes", "residuals")
    }
    return Index(
        centroids=part("centroids"),
        codes=rows["codes"],
        residuals=rows["residuals"],
        cutoffs=part("cutoffs"),
        weights=part("weights"),
        avg_residual=part("avg_residual"),
        doclens=read_doclens([doclens(f"doclens.{number}.json") for number in numbers]),
        ivf=part("ivf"),
        ivf_lengths=part("ivf_lengths").astype(np.int64),
        documents=None if documents is None else tuple(documents),
    )


def chunk_numbers(names: Sequence[str]) -> list[str]:
    """The numbers of chunks, in order, out of names like ``12.codes.npy``."""
    found = (name.split(".")[0] for name in names)
    return sorted((number for number in found if number.isascii() and number.isdecimal()), key=int)


def read_doclens(paths: Sequence[Path]) -> Integers:
    """The lengths of all documents, from the ``doclens.N.json`` of each chunk."""
    return np.concatenate([_doclens(path) for path in paths])


def read_array(path: Path) -> Array:
    """The array in a ``.npy`` file, mapped; raises `ForkpointError` for any other file."""
    try:
        file = file_at(path.name, path)
        stored = stored_array(file.open, file.size)
        return mapped(stored)
    except (OSError, ValueError, OverflowError) as error:
        raise ForkpointError(f"{path} cannot be read: {error}.", hint=HINT) from error
    except Refused as refused:
        raise ForkpointError(f"{path} cannot be read: {refused.message}", hint=HINT) from refused


def mapped(stored: Stored) -> Array:
    """An array of a file of its own, mapped into memory."""
    with stored.open() as stream:
        if not all(stored.shape):
            return np.empty(stored.shape, dtype=stored.dtype)
        found: Array = np.memmap(
            stream,
            dtype=stored.dtype,
            mode="r",
            offset=stream.tell(),
            shape=stored.shape,
            order="F" if stored.fortran else "C",
        )
    return found


def _doclens(path: Path) -> Integers:
    try:
        file = file_at(path.name, path)
        require(file.size < _MAX_JSON, f"{path} is too large")
        return np.array(msgspec.json.decode(file.read(), type=list[int]), dtype=np.int64)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError, Refused) as error:
        raise ForkpointError(f"{path} is no list of lengths: {error}.", hint=HINT) from error
