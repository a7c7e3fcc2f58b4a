"""Digests: 64 bits over a tensor's exact bits, dtype and shape.

Method. The bytes, in logical order and filled up with zeros, are little-endian 64-bit words x.
All arithmetic is modulo 2**64. Each word is joined with the bytes that begin 5 bytes later:

    s[k] = x[k] ^ (x[k] >> 40 | x[k + 1] << 24)               (logical shifts; 0 behind the end)

The words s lie in rows of 1024, the rows in blocks of 128. With fixed random odd weights w, each
column of a block is summed up, and the sums, in their order, are mixed and added:

    c[b, j] = sum_i  w[i] * s[(128 * b + i) * 1024 + j]
    d       = sum_bj mix(c[b, j] + (1024 * b + j + 1) * GOLDEN)

Columns that hold no word are left out. The digest is BLAKE2b of (d, dtype, shape), cut to 64 bits.
A column is a multilinear hash (Carter and Wegman 1979; Lemire and Kaser 2014, "Strongly universal
string hashing is fast"); `mix` is SplitMix64's finalizer (Steele, Lea and Flood 2014) and ties a
column to its place. Integer sums do not depend on the order of summation, so neither threads nor
the device change a digest.

Why words are joined: a product with a change in the highest bits of a word keeps the lowest bits
of the weight only, and two changes of a sign in one column would cancel. Joined, a change reaches
a bit so low that 25 bits of the weight count at least, 41 where it is a sign. Nothing is lost by
that: read from the end, s gives x back. Columns are summed, not rows, as that is what torch does
fastest: it adds row after row to sums that stay in the first-level cache.

It is meant to tell tensors of two honest runs apart, not to withstand forgery.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import struct
from typing import Iterator, Sequence

import torch

from . import memory

ROW = 1024
BLOCK = 128
AHEAD = 5
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB

_MASK = (1 << 64) - 1
_ROW_BYTES = ROW * 8
_LOW = 8 * AHEAD  # bits of a word before those that are joined with it
_PIECE = 64  # rows joined at once on one thread: 512 KiB, what a small second-level cache holds
_CHUNK = 128  # blocks that are mixed at once: 1 MiB of sums for 128 MiB of words
_TINY_WORDS = 24  # up to here Python's integers beat two dozen torch calls


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


def weights() -> list[int]:
    """The 128 odd weights, as unsigned integers."""
    stream = _splitmix(0x666F726B706F696E)
    return [next(stream) | 1 for _ in range(BLOCK)]


def finish(raw: int, dtype: str, shape: Sequence[int]) -> int:
    """The digest (signed, 64 bits) from the sum over columns, a dtype name and a shape."""
    data = struct.pack("<Q", raw & _MASK) + _layout(dtype, tuple(shape))
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


@functools.lru_cache(maxsize=4096)
def _layout(dtype: str, shape: tuple[int, ...]) -> bytes:
    return ("%s:%s" % (dtype, ",".join(map(str, shape)))).encode()


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


@functools.lru_cache(maxsize=None)
def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).rpartition(".")[2]


class Digester:
    """Digests of CPU tensors; scratch memory is allocated once (4 MiB).

    Make it before the script starts: what is allocated here must not be inference tensors.
    """

    def __init__(self) -> None:
        self._weights = weights()
        with torch.inference_mode(False):
            self.w = torch.tensor([signed(n) for n in self._weights], device="cpu")
            self._columns = _Columns(self.w)
            self._end = _End()
            self._sums = _empty(_CHUNK, ROW)
            self._spare = _empty(_CHUNK * ROW)
            self._base = torch.arange(1, _CHUNK * ROW + 1, device="cpu") * signed(GOLDEN)

    def digest(self, tensor: torch.Tensor) -> int:
        """The digest of a tensor on the CPU, as a signed 64-bit integer."""
        return finish(self.raw(tensor), dtype_name(tensor.dtype), tensor.shape)

    def raw(self, tensor: torch.Tensor) -> int:
        """The sum d over columns (see the module's text), an unsigned 64-bit integer."""
        flat = memory.plain(tensor)
        count = flat.numel() * flat.element_size()
        if count <= 8 * _TINY_WORDS:
            return self._tiny(bytes(memory.view_bytes(flat)))
        if flat.data_ptr() % 8:
            flat = flat.clone(memory_format=torch.contiguous_format)
        return self._large(flat.data_ptr(), count) & _MASK

    def _tiny(self, data: bytes) -> int:
        """The sum over columns of at most one row."""
        words = struct.unpack("<%dQ" % -(-len(data) // 8), data + bytes(-len(data) % 8))
        total = 0
        for j, (x, after) in enumerate(zip(words, (*words[1:], 0)), 1):
            joined = x ^ (x >> _LOW | after << (64 - _LOW) & _MASK)
            total += mix((self._weights[0] * joined + j * GOLDEN) & _MASK)
        return total & _MASK

    def _large(self, address: int, count: int) -> int:
        """The sum over columns of ``count`` bytes, more than a few."""
        rows, words = -(-count // _ROW_BYTES), -(-count // 8)
        if rows == 1:
            end = self._end.load(address, count)
            return self._mixed(torch.mul(end[0, :words], signed(self._weights[0])), 0)
        inner = (count - AHEAD) // _ROW_BYTES  # rows with enough bytes behind them
        x, ahead = (_words(address + skip, inner * ROW).view(-1, ROW) for skip in (0, AHEAD))
        end = self._end.load(address + inner * _ROW_BYTES, count - inner * _ROW_BYTES)
        total = 0
        for start in range(0, rows, _CHUNK * BLOCK):
            stop = min(start + _CHUNK * BLOCK, rows)
            sums = self._sums[: -(-(stop - start) // BLOCK)]
            self._columns.add(x[start:stop], ahead[start:stop], sums)
            for row in range(max(start, inner), stop):
                self._add_row(end[row - inner], row - start, sums)
            last = start + (sums.shape[0] - 1) * BLOCK  # a block of one row may lack columns
            used = (sums.shape[0] - 1) * ROW + min(ROW, words - last * ROW)
            total += self._mixed(sums.view(-1)[:used], start // BLOCK * ROW)
        return total

    def _add_row(self, joined: torch.Tensor, row: int, sums: torch.Tensor) -> None:
        """Add one of the last rows, whose words are joined already."""
        block, at = divmod(row, BLOCK)
        if at:
            sums[block].add_(joined, alpha=signed(self._weights[at]))
        else:
            torch.mul(joined, signed(self._weights[0]), out=sums[block])

    def _mixed(self, sums: torch.Tensor, start: int) -> int:
        """The mixed sums, added up; ``sums`` is used up, ``start`` columns came before."""
        sums.add_(self._base[: sums.numel()])
        if start:
            sums.add_(signed(start * GOLDEN))
        _mix(sums, self._spare[: sums.numel()])
        return int(sums.sum())


class _Columns:
    """Sums of columns of many rows; scratch memory, and views of it that are the same each time."""

    def __init__(self, w: torch.Tensor) -> None:
        self._w = w.view(-1, 1)
        self._pieces = w.split(_PIECE)
        self._joined = _empty(BLOCK, ROW)
        self._piece = self._joined[:_PIECE]
        self._turned = self._piece.t()

    def add(self, x: torch.Tensor, ahead: torch.Tensor, sums: torch.Tensor) -> None:
        """Put the sums of rows [n, 1024] of words, joined with those ahead, into [blocks, 1024]."""
        (self._in_turn if torch.get_num_threads() == 1 else self._shared)(x, ahead, sums)

    def _shared(self, x: torch.Tensor, ahead: torch.Tensor, sums: torch.Tensor) -> None:
        """On several threads: torch shares these three ops among them, but no integer product.

        (Threads of our own were slower than one: each of their many small ops waits for the
        interpreter's lock.)
        """
        joined, w = self._joined, self._w
        for out, *pair in zip(sums.unbind(), x.split(BLOCK), ahead.split(BLOCK)):
            rows = pair[0].shape[0]
            if rows < BLOCK:
                joined, w = self._joined[:rows], self._w[:rows]
            torch.bitwise_xor(*pair, out=joined)
            torch.mul(joined, w, out=joined)
            torch.sum(joined, 0, out=out)

    def _in_turn(self, x: torch.Tensor, ahead: torch.Tensor, sums: torch.Tensor) -> None:
        """On one thread: a product of a matrix with a vector reads what was joined once."""
        blocks = sums.unbind()
        for number, pair in enumerate(zip(x.split(_PIECE), ahead.split(_PIECE))):
            rows = pair[0].shape[0]
            block, at = divmod(number, len(self._pieces))
            joined, turned, w = self._piece, self._turned, self._pieces[at]
            if rows < _PIECE:
                joined, turned, w = joined[:rows], turned[:, :rows], w[:rows]
            torch.bitwise_xor(*pair, out=joined)
            if at:
                torch.addmv(blocks[block], turned, w, out=blocks[block])
            else:
                torch.mv(turned, w, out=blocks[block])


class _End:
    """The last row, or one and less than a word: there are no bytes behind to join them with."""

    def __init__(self) -> None:
        self._words = _empty(2 * ROW + 1)
        self._joined = _empty(2, ROW)
        self._address = self._words.data_ptr()
        self._whole = self._words[:-1].view(2, ROW)
        self._ahead = _words(self._address + AHEAD, 2 * ROW).view(2, ROW)

    def load(self, address: int, count: int) -> torch.Tensor:
        """The joined words [2, 1024] of ``count`` bytes, 1 to 8196, filled up with zeros."""
        ctypes.memmove(self._address, address, count)
        ctypes.memset(self._address + count, 0, (2 * ROW + 1) * 8 - count)
        return torch.bitwise_xor(self._whole, self._ahead, out=self._joined)


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, dtype=torch.int64, device="cpu")


def _words(address: int, count: int) -> torch.Tensor:
    """64-bit words at any address, aligned or not; the memory must outlive the tensor."""
    if not count:
        return _empty(0)
    return torch.frombuffer(_Memory.from_address(address), dtype=torch.int64, count=count)


# one type for all lengths: ctypes would make a class for each, and leave it to the collector
_Memory = ctypes.c_char * (1 << 46)


def _mix(z: torch.Tensor, spare: torch.Tensor) -> None:
    """`mix` in place; ``spare`` is as large as ``z``."""
    _xor_shifted(z, 32, spare)
    z.mul_(signed(MIX_1))
    _xor_shifted(z, 29, spare)
    z.mul_(signed(MIX_2))
    _xor_shifted(z, 32, spare)


def _xor_shifted(z: torch.Tensor, bits: int, spare: torch.Tensor) -> None:
    z.bitwise_xor_(shift(z, bits, out=spare))


def shift(z: torch.Tensor, bits: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Logical right shift of an int64 tensor."""
    shifted = torch.bitwise_right_shift(z, bits, out=out)  # an arithmetic one
    # no method in place: under a dispatch mode, torch 2.0 takes no number there
    return torch.bitwise_and(shifted, (1 << (64 - bits)) - 1, out=shifted)


def generic_raw(tensor: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The sum over columns as a 0-d int64 tensor on the tensor's own device, by torch operations.

    For devices that have no kernel of their own here; ``w`` lies on that device.
    """
    flat = memory.plain(tensor).view(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).view(-1)
    data = flat.view(torch.uint8)
    words = -(-data.numel() // 8)
    rows = -(-words // ROW)
    padded = torch.nn.functional.pad(data, (0, (rows * ROW + 1) * 8 - data.numel()))
    ahead = padded[AHEAD : AHEAD + rows * _ROW_BYTES].clone()  # aligned
    joined = (padded[:-8].view(torch.int64) ^ ahead.view(torch.int64)).view(rows, ROW)
    joined *= w.repeat(-(-rows // BLOCK))[:rows, None]
    filled = torch.nn.functional.pad(joined, (0, 0, 0, -rows % BLOCK))
    sums = filled.view(-1, BLOCK, ROW).sum(1).view(-1)
    last = sums.numel() - ROW
    sums = sums[: last + min(ROW, words - last * BLOCK)]
    sums += torch.arange(1, sums.numel() + 1, device=sums.device) * signed(GOLDEN)
    _mix(sums, torch.empty_like(sums))
    return sums.sum()
