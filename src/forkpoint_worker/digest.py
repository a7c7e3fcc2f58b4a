"""Digests: 64 bits over a tensor's exact bits, dtype and shape.

Method. The bytes, in logical order, are little-endian 64-bit words x, in rows of 1024. With
fixed random odd 64-bit weights w and v, all arithmetic modulo 2**64:

    row i:   r = sum_j  w[j] * x[i, j]  +  v[j] * (x[i, j] >> 32)     (arithmetic shift)
    all:     d = sum_i  mix(r[i] + (i + 1) * GOLDEN)

and the digest is BLAKE2b of (d, dtype, shape), cut to 64 bits. A row is a multilinear hash
(Carter and Wegman 1979; Lemire and Kaser 2014, "Strongly universal string hashing is fast").
The second term is there because a product with a change in the highest bits of a word keeps
only the lowest bits of the weight: without it, two sign flips in one row could cancel. `mix` is
SplitMix64's finalizer (Steele, Lea and Flood 2014) and ties a row to its position. Integer sums
do not depend on the order of summation, so neither threads nor the device change a digest.

It is meant to tell tensors of two honest runs apart, not to withstand forgery.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, Sequence

import torch

from . import memory

NAME = "multilinear-1024/1"
ROW = 1024
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB

_MASK = (1 << 64) - 1
_BLOCK_ROWS = 128  # 1 MiB: the shifted copy stays in the second-level cache
_CHUNK_ROWS = 8192  # rows mixed at once: one 64 KiB vector
_SPLIT_BYTES = 4 << 20  # tensors from here on are shared among threads
_MAX_THREADS = 4
_TINY_WORDS = 24  # up to here Python's integers beat three torch calls
_FEW_ROWS = 64  # up to here they beat the dozen calls that mix a vector


def signed(value: int) -> int:
    """An unsigned 64-bit integer as the signed one with the same bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def _splitmix(state: int) -> Iterator[int]:
    while True:
        state = (state + GOLDEN) & _MASK
        yield mix(state)


def mix(z: int) -> int:
    """SplitMix64's finalizer on an unsigned 64-bit integer."""
    z = ((z ^ (z >> 32)) * MIX_1) & _MASK
    z = ((z ^ (z >> 29)) * MIX_2) & _MASK
    return z ^ (z >> 32)


def weights() -> tuple[list[int], list[int]]:
    """The two lists of 1024 odd weights, as unsigned integers."""
    stream = _splitmix(0x666F726B706F696E)
    return [next(stream) | 1 for _ in range(ROW)], [next(stream) | 1 for _ in range(ROW)]


def finish(raw: int, dtype: str, shape: Sequence[int]) -> int:
    """The digest (signed, 64 bits) from the sum over rows, a dtype name and a shape."""
    text = "%s:%s" % (dtype, ",".join(map(str, shape)))
    data = struct.pack("<Q", raw & _MASK) + text.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


def combine(digests: Sequence[int]) -> int:
    """One digest for several, in order; a single one stands for itself."""
    if len(digests) == 1:
        return digests[0]
    data = struct.pack("<%dq" % len(digests), *digests)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


def digest_text(digest: int) -> str:
    """A digest as it is written in JSON, whose numbers are not exact beyond 53 bits."""
    return "%016x" % (digest & _MASK)


def of_text(text: str) -> int:
    """A digest of plain values, by their text."""
    data = hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(data, "little", signed=True)


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).rpartition(".")[2]


class Digester:
    """Digests of CPU tensors; scratch memory is allocated once (about 1 MiB a thread).

    Make it before the script starts: what is allocated here must not be inference tensors.
    """

    def __init__(self) -> None:
        self._w, self._v = weights()
        with torch.inference_mode(False):
            self.w = torch.tensor([signed(n) for n in self._w], device="cpu")
            self.v = torch.tensor([signed(n) for n in self._v], device="cpu")
            self._lanes = [_Lane() for _ in range(_MAX_THREADS)]
            self._base = torch.arange(1, _CHUNK_ROWS + 1, device="cpu") * signed(GOLDEN)
        self._pool: ThreadPoolExecutor | None = None

    def digest(self, tensor: torch.Tensor) -> int:
        """The digest of a tensor on the CPU, as a signed 64-bit integer."""
        return finish(self.raw(tensor), dtype_name(tensor.dtype), tensor.shape)

    def raw(self, tensor: torch.Tensor) -> int:
        """The sum over rows (see the module's text), an unsigned 64-bit integer."""
        flat = memory.plain(tensor)
        count = flat.numel() * flat.element_size()
        words, rest = divmod(count, 8)
        if words <= _TINY_WORDS:
            return self._tiny(memory.view_bytes(flat)) if count else 0
        if flat.data_ptr() % 8:
            flat = flat.clone(memory_format=torch.contiguous_format)
        whole = _as_words(flat, words)
        tail = _tail(flat, words, rest)
        return self._rows(whole, tail) & _MASK

    def _tiny(self, memory_of: memoryview) -> int:
        data = bytes(memory_of)
        data += b"\0" * (-len(data) % 8)
        row = 0
        for j, (x,) in enumerate(struct.iter_unpack("<q", data)):
            row += self._w[j] * x + self._v[j] * (x >> 32)
        return mix((row + GOLDEN) & _MASK)

    def _rows(self, words: torch.Tensor, tail: int | None) -> int:
        """All rows of a vector of words; ``tail`` is one more word, or None."""
        full = words.numel() // ROW
        total = 0
        if full:
            grid = words[: full * ROW].view(full, ROW)
            for start in range(0, full, _CHUNK_ROWS):
                total += self._chunk(grid[start : start + _CHUNK_ROWS], start)
        rest = words[full * ROW :]
        count = rest.numel()
        if count or tail is not None:
            row = 0
            if count:
                row = int(torch.dot(rest, self.w[:count]))
                row += int(torch.dot(rest >> 32, self.v[:count]))
            if tail is not None:
                row += self._w[count] * tail + self._v[count] * (tail >> 32)
            total += mix((row + (full + 1) * GOLDEN) & _MASK)
        return total

    def _chunk(self, grid: torch.Tensor, start: int) -> int:
        rows = grid.shape[0]
        threads = min(_MAX_THREADS, torch.get_num_threads(), rows * ROW * 8 // _SPLIT_BYTES + 1)
        if threads == 1:
            sums = self._lanes[0].rows(grid, self.w, self.v)
        else:
            sums = self._split(grid, threads)
        if rows <= _FEW_ROWS:
            numbered = enumerate(sums.tolist(), start + 1)
            return sum(mix((row + i * GOLDEN) & _MASK) for i, row in numbered)
        return int(_mixed(sums + self._base[:rows] + signed(start * GOLDEN)).sum())

    def _split(self, grid: torch.Tensor, threads: int) -> torch.Tensor:
        """The rows' sums, a slice a thread: integer dot products use one core in torch."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_MAX_THREADS - 1, "forkpoint-digest")
        size = -(-grid.shape[0] // threads)
        parts = grid.split(size)
        jobs = [
            self._pool.submit(lane.rows, part, self.w, self.v)
            for lane, part in zip(self._lanes[1:], parts[1:])
        ]
        first = self._lanes[0].rows(parts[0], self.w, self.v)
        return torch.cat([first] + [job.result() for job in jobs])


class _Lane:
    """Scratch memory of one thread."""

    def __init__(self) -> None:
        self._shifted = torch.empty(_BLOCK_ROWS, ROW, dtype=torch.int64, device="cpu")
        self._low = torch.empty(_CHUNK_ROWS, dtype=torch.int64, device="cpu")
        self._high = torch.empty(_CHUNK_ROWS, dtype=torch.int64, device="cpu")

    def rows(self, grid: torch.Tensor, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Sums of the rows of ``grid`` [n <= 8192, 1024]; valid until the next call."""
        count = grid.shape[0]
        low, high = self._low[:count], self._high[:count]
        blocks = zip(grid.split(_BLOCK_ROWS), low.split(_BLOCK_ROWS), high.split(_BLOCK_ROWS))
        for block, out, out_high in blocks:
            shifted = self._shifted[: block.shape[0]]
            torch.bitwise_right_shift(block, 32, out=shifted)
            torch.mv(shifted, v, out=out_high)
            torch.mv(block, w, out=out)
        return low.add_(high)


def shift(z: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical right shift of an int64 tensor."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(z: torch.Tensor) -> torch.Tensor:
    z = (z ^ shift(z, 32)) * signed(MIX_1)
    z = (z ^ shift(z, 29)) * signed(MIX_2)
    return z ^ shift(z, 32)


def _as_words(flat: torch.Tensor, words: int) -> torch.Tensor:
    """The first ``words`` 64-bit words of a contiguous tensor, without copying it."""
    flat = flat.view(-1)
    if flat.element_size() > 8:  # complex128: two words an element
        flat = torch.view_as_real(flat).view(-1)
    if flat.element_size() == 8:
        return flat.view(torch.int64)
    return flat[: words * 8 // flat.element_size()].view(torch.int64)


def _tail(flat: torch.Tensor, words: int, rest: int) -> int | None:
    if not rest:
        return None
    data = ctypes.string_at(flat.data_ptr() + words * 8, rest)
    return int.from_bytes(data, "little")


def generic_raw(tensor: torch.Tensor, w: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The sum over rows as a 0-d int64 tensor on the tensor's own device, by torch operations.

    For devices that have no kernel of their own here; ``w`` and ``v`` lie on that device.
    """
    flat = memory.plain(tensor).view(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).view(-1)
    data = flat.view(torch.uint8)
    padded = torch.nn.functional.pad(data, (0, -data.numel() % (ROW * 8)))
    grid = padded.view(torch.int64).view(-1, ROW)
    sums = (grid * w).sum(1) + ((grid >> 32) * v).sum(1)
    base = torch.arange(1, grid.shape[0] + 1, device=grid.device) * signed(GOLDEN)
    return _mixed(sums + base).sum()
