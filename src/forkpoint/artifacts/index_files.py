"""Reading late-interaction indexes (`indexes`) from their files.

Nothing here reads pickles: `read_index` takes arrays in ``.npy``, as fast-plaid and PyLate write
them; colbert-ai's ``.pt`` files are turned into arrays first.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from forkpoint.artifacts.indexes import HINT, Array, Index, Integers, Rows, require
from forkpoint.artifacts.npy import NO_HEADER
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
    return sorted((number for number in found if number.isdecimal()), key=int)


def read_doclens(paths: Sequence[Path]) -> Integers:
    """The lengths of all documents, from the ``doclens.N.json`` of each chunk."""
    return np.concatenate([_doclens(path) for path in paths])


def read_array(path: Path) -> Array:
    """The array in a ``.npy`` file, mapped; raises `ForkpointError` for any other file."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, zipfile.BadZipFile, *NO_HEADER) as error:
        raise ForkpointError(f"{path} cannot be read: {error}.", hint=HINT) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise ForkpointError(f"{path} cannot be read: it is an archive.", hint=HINT)
    return found


def _doclens(path: Path) -> Integers:
    try:
        require(path.stat().st_size < _MAX_JSON, f"{path} is too large")
        return np.array(json.loads(path.read_text()), dtype=np.int64).reshape(-1)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ForkpointError(f"{path} is no list of lengths: {error}.", hint=HINT) from error
