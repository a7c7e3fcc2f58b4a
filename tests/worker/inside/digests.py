"""Digests against a slow reference, and what they must tell apart."""

from __future__ import annotations

import hashlib
import random
import struct
import unittest

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from forkpoint_worker import digest, schema

DIGESTER = digest.Digester()
MASK = (1 << 64) - 1


def mixed(z):
    z = ((z ^ (z >> 32)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 29)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 32)


def stream(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        yield mixed(state)


def reference(tensor):
    """The digest as the text of `forkpoint_worker.digest` defines it, in plain Python."""
    odd = stream(0x666F726B706F696E)
    w = [next(odd) | 1 for _ in range(128)]
    data = logical_bytes(tensor)
    data += bytes(-len(data) % 8)
    words = [x for (x,) in struct.iter_unpack("<Q", data)] + [0]
    joined = [x ^ (x >> 40 | words[k + 1] << 24 & MASK) for k, x in enumerate(words[:-1])]
    columns = {}
    for k, s in enumerate(joined):
        row, j = divmod(k, 1024)
        column = row // 128 * 1024 + j
        columns[column] = columns.get(column, 0) + w[row % 128] * s
    total = sum(mixed((c + (j + 1) * 0x9E3779B97F4A7C15) & MASK) for j, c in columns.items())
    shape = ",".join(str(size) for size in tensor.shape)
    text = "%s:%s" % (str(tensor.dtype).replace("torch.", ""), shape)
    hashed = hashlib.blake2b(struct.pack("<Q", total & MASK) + text.encode(), digest_size=8)
    return struct.unpack("<q", hashed.digest())[0]


def logical_bytes(tensor):
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    if not flat.numel():
        return b""
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return bytes(flat.clone().view(torch.uint8).tolist())


def of(tensor):
    return DIGESTER.digest(tensor)


def random_bytes(count):
    return torch.randint(0, 256, (count,), dtype=torch.uint8)


def dtypes():
    names = (
        "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128 "
        "uint16 uint32 uint64 float8_e4m3fn float8_e5m2"
    )
    return [getattr(torch, name) for name in names.split() if hasattr(torch, name)]


def of_dtype(dtype, count):
    """Random bits as elements of a dtype: NaNs, infinities and subnormals among them."""
    size = torch.empty(0, dtype=dtype).element_size()
    if dtype is torch.bool:
        return random_bytes(count) > 127
    if dtype.is_complex:
        part = torch.float32 if size == 8 else torch.float64
        return torch.view_as_complex(of_dtype(part, 2 * count).view(count, 2))
    return random_bytes(count * size).view(dtype)


def test_the_reference_at_every_length_around_the_edges():
    edges = (0, 8, 24 * 8, 25 * 8, 1024 * 8, 2 * 1024 * 8, 32 * 1024 * 8, 64 * 1024 * 8)
    edges += (128 * 1024 * 8, 129 * 1024 * 8, 192 * 1024 * 8)
    lengths = {max(0, edge + near) for edge in edges for near in (-9, -8, -7, -1, 0, 1, 7, 8, 9)}
    for length in sorted(lengths):
        data = random_bytes(length)
        assert of(data) == reference(data), length


def test_the_reference_for_every_dtype():
    for dtype in dtypes():
        for count in (1, 7, 1500):
            data = of_dtype(dtype, count)
            assert of(data) == reference(data), (dtype, count)
            square = data[:1].reshape(())
            assert of(square) == reference(square), dtype


def test_digests_are_what_they_were():
    """Recordings of different releases of forkpoint are compared: the method is a format."""
    assert schema.DIGEST == "multilinear-columns-128x1024/2"
    assert of(torch.arange(3000, dtype=torch.int32)) == -6857517798894705242
    assert of(torch.arange(150_000, dtype=torch.int64)) == 1257031609403718150
    assert of(torch.zeros(0, 3)) == -1232883949420774422
    assert of(torch.tensor(-0.0)) == 3535831341554073244


def flips(data, bits):
    """Digests of a vector of bytes with each of some single bits flipped."""
    seen = []
    for bit in bits:
        data[bit // 8] ^= 1 << (bit % 8)
        seen.append(of(data))
        data[bit // 8] ^= 1 << (bit % 8)
    return seen


def test_every_single_bit_of_small_tensors():
    for length in list(range(1, 34)) + [191, 192, 193, 200, 207]:
        data = random_bytes(length)
        seen = flips(data, range(8 * length))
        assert len({of(data), *seen}) == 1 + 8 * length, length


def test_single_bits_of_large_tensors():
    rows = 70  # more than are mixed by Python's integers
    for length in (8192 * 3 + 13, 8192 * rows, 8192 * rows + 4001):
        data = random_bytes(length)
        words = length // 8
        at = [0, 1, 1022, 1023, 1024, 1025, words - 1, *random.Random(1).sample(range(words), 5)]
        bits = {64 * word + bit for word in at for bit in range(64)}
        bits |= set(range(64 * words, 8 * length))  # the tail
        seen = flips(data, sorted(bits))
        assert len({of(data), *seen}) == 1 + len(bits), length


def test_every_bit_of_every_word_of_a_row_of_zeros_and_of_ones():
    for fill in (0, 255):
        data = torch.full((8192,), fill, dtype=torch.uint8)
        chosen = range(0, 8 * 8192, 7)
        assert len({of(data), *flips(data, chosen)}) == 1 + len(chosen)


def test_permutations():
    base = torch.arange(80 * 1024, dtype=torch.float64).reshape(80, 1024) + 1
    seen = [of(base), of(base.flip(0)), of(base.flip(1)), of(base.flip(0, 1))]
    generator = random.Random(2)
    for _ in range(100):
        changed = base.clone().view(-1)
        i, j = generator.sample(range(changed.numel()), 2)
        changed[i], changed[j] = base.view(-1)[j], base.view(-1)[i]
        seen.append(of(changed.view(80, 1024)))
    for _ in range(50):
        i, j = generator.sample(range(80), 2)
        order = list(range(80))
        order[i], order[j] = j, i
        seen += [of(base[order]), of(base.view(1024, 80)[:, order].reshape(80, 1024))]
    for _ in range(50):
        changed = base.clone()
        i, j = 2 * generator.randrange(20), 2 * generator.randrange(256)
        changed[i : i + 2, j : j + 2] = base[i + 40 : i + 42, j + 512 : j + 514]
        changed[i + 40 : i + 42, j + 512 : j + 514] = base[i : i + 2, j : j + 2]
        seen.append(of(changed))
    assert len(set(seen)) == len(seen)


def test_rotations_of_a_block_pattern():
    """[[a, b], [b, a]] and the like: an xor, a sum or a norm sees no difference."""
    a, b = torch.tensor(1.5), torch.tensor(-2.5)
    patterns = [torch.stack(p).view(2, 2) for p in ((a, b, b, a), (b, a, a, b), (a, a, b, b))]
    for repeat in (1, 50, 300):
        assert len({of(p.repeat(repeat, repeat)) for p in patterns}) == 3


def test_signs_of_zeros_do_not_cancel():
    """The sign is a word's highest bit, whose product keeps one bit of the weight."""
    generator = random.Random(3)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        row = 8192 // torch.empty(0, dtype=dtype).element_size()
        base = torch.zeros(row, dtype=dtype)
        seen = {of(base), of(-base)}
        wanted = 2
        for count in (1, 2, 3, 4, 8, 100):
            for _ in range(60):
                changed = base.clone()
                changed[generator.sample(range(row), count)] = -0.0
                seen.add(of(changed))
                wanted += 1
        assert len(seen) >= wanted - 2, dtype  # the same single element may be drawn twice


def test_the_same_change_twice_in_a_column_does_not_cancel():
    """Two words change in one bit each, or in all signs: their weights must not agree so far."""
    weights = digest.weights()
    for bits in (25, 41):
        unit = 1 << bits
        for i, one in enumerate(weights):
            assert all((one - two) % unit and (one + two) % unit for two in weights[:i])
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        base = of_dtype(dtype, 3 * (8192 // torch.empty(0, dtype=dtype).element_size())).view(3, -1)
        negated = -base
        seen = set()
        for rows in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            changed = base.clone()
            changed[list(rows)] = negated[list(rows)]
            seen.add(of(changed))
        assert len(seen) == 8, dtype
    flags = torch.zeros(4, 8192, dtype=torch.bool)
    seen = {of(flags)}
    for rows in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (0, 1, 2, 3)):
        changed = flags.clone()
        changed[list(rows)] = True
        seen.add(of(changed))
    assert len(seen) == 10


def test_nan_payloads():
    bits = torch.tensor([0x7FC00000, 0x7FC00001, 0x7F800001, -0x400000, -0x3FFFFF])
    values = bits.to(torch.int32).view(torch.float32)
    assert bool(torch.isnan(values).all())
    assert len({of(value.repeat(500)) for value in values}) == 5
    assert len({of(value.clone()) for value in values}) == 5


def test_dtype_and_shape_count():
    data = random_bytes(48)
    same_size = [data, data.view(torch.int8), data.view(6, 8), data.view(8, 6), data.view(1, 48)]
    others = [data.view(d) for d in (torch.int32, torch.float32, torch.float16, torch.bfloat16)]
    digests = {of(t) for t in same_size + others}
    assert len(digests) == 9
    assert len({of(torch.zeros(shape)) for shape in ((0,), (0, 3), (3, 0), (), (1,))}) == 5


def test_longer_zeros_are_not_shorter_zeros():
    lengths = (*range(40), 8191, 8192, 8193, 16384)
    digests = {of(torch.zeros(n, dtype=torch.uint8)) for n in lengths}
    assert len(digests) == len(lengths)


def test_views_have_the_digest_of_their_copy():
    for dtype in (torch.uint8, torch.float16, torch.float32, torch.float64):
        base = of_dtype(dtype, 97 * 64).view(97, 64)
        views = [
            base.t(), base[::3], base[:, ::2], base[5:], base[:, 1:], base[3:4].expand(50, 64),
            base.view(-1)[1:], base.view(-1)[3:40], base[0, 0], base.unfold(0, 5, 2),
            base.as_strided((40, 40), (2, 3), 7), base[:0], base.permute(1, 0)[None],
        ]  # fmt: skip
        for number, view in enumerate(views):
            copy = view.clone(memory_format=torch.contiguous_format)
            assert of(view) == of(copy) == reference(view), (dtype, number)


def test_lazy_conjugates_and_negations():
    base = of_dtype(torch.complex64, 600)
    base = torch.where(torch.isnan(base.abs()), torch.ones_like(base), base)
    assert base.conj().is_conj()
    assert base.conj().imag.is_neg()
    for view in (base.conj(), base.conj().imag, base.imag, base.real, base.conj()[::2]):
        assert of(view) == of(view.resolve_conj().resolve_neg().clone()) == reference(view)
    assert of(base) != of(base.conj())


def test_threads_do_not_matter():
    data = random_bytes((24 << 20) + 5)
    digests = set()
    for threads in (1, 2, 3, 1):
        torch.set_num_threads(threads)
        digests.add(DIGESTER.raw(data))
    assert len(digests) == 1


def test_chunks_do_not_matter():
    """Sums are mixed 128 MiB at a time; here two blocks of 1 MiB at a time."""
    usual = digest._CHUNK
    digest._CHUNK = 2
    try:
        other = digest.Digester()
        for length in (1 << 20, 5 << 20, (4 << 20) + 8, (4 << 20) + 3, (2 << 20) - 3):
            data = random_bytes(length)
            assert other.raw(data) == DIGESTER.raw(data), length
    finally:
        digest._CHUNK = usual


def test_nothing_behind_the_tensor_counts():
    """Words are joined with those behind them: at a tensor's end these belong to another."""
    for length in (8192, 8192 + 3, 8192 + 5, 3 * 8192, 128 * 8192, 128 * 8192 + 4):
        room = random_bytes(length + 64)
        wanted = of(room[:length].clone())
        for fill in (0, 255):
            room[length:] = fill
            assert of(room[:length]) == wanted, length


def test_modes_do_not_matter():
    data = of_dtype(torch.float32, 100_000).requires_grad_()
    wanted = of(data)
    with torch.no_grad():
        assert of(data) == wanted
    with torch.inference_mode():
        assert of(data) == wanted
        assert of(data.clone()) == wanted
        assert digest.Digester().digest(data) == wanted


def test_dispatch_modes_do_not_matter():
    """The recorder takes digests under its own mode, where torch 2.0 refuses some calls."""

    class Passing(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    for count in (0, 8, 500, 8192, 8195, 20_000, 129 * 8192, (5 << 20) + 3):
        data = random_bytes(count)
        wanted = of(data)
        torch.set_num_threads(2)
        with Passing():
            assert of(data) == wanted, count
            if count:
                assert int(digest.generic_raw(data, DIGESTER.w)) & MASK == DIGESTER.raw(data)


def test_the_generic_sum_is_the_same():
    for dtype in dtypes():
        if str(dtype).startswith(("torch.uint16", "torch.uint32", "torch.uint64")):
            continue  # views of them as bytes came with later releases
        for count in (1, 9, 1023, 1024, 1025, 70_001, 300_000):
            data = of_dtype(dtype, count)
            found = int(digest.generic_raw(data, DIGESTER.w)) & MASK
            assert found == DIGESTER.raw(data), (dtype, count)
    view = of_dtype(torch.float32, 6000).view(60, 100).t()
    assert int(digest.generic_raw(view, DIGESTER.w)) & MASK == DIGESTER.raw(view)


def test_the_kernel_is_the_same():
    if not torch.cuda.is_available():
        raise unittest.SkipTest("no CUDA device")
    from forkpoint_worker.hasher import Hasher, final

    hasher = Hasher()
    for dtype in dtypes():
        for count in (1, 9, 1023, 1024, 1025, 70_001, 300_000):
            data = of_dtype(dtype, count)
            pending = hasher.submit(data.cuda())
            hasher.fetch()
            name = digest.dtype_name(dtype)
            assert final(pending, name, data.shape) == of(data), (dtype, count)


def test_combining_sees_order_and_number():
    one, two = of(torch.tensor(1)), of(torch.tensor(2))
    assert digest.combine([one]) == one
    several = [digest.combine(list(c)) for c in ((one, two), (two, one), (one, one), (one,))]
    assert len(set(several)) == 4
