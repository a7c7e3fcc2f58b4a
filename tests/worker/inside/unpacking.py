"""Files of ``torch.save`` taken apart: tensors, plain values, and what is refused."""

from __future__ import annotations

import json
import os
import struct
import unittest
import zipfile

import torch

from forkpoint_worker import limits, unpack
from support import safetensors


class Evil:
    """Unpickled by anything but a weights-only reader, it leaves a folder behind."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def need_reader():
    if unpack.no_reader():
        raise unittest.SkipTest(unpack.no_reader())


def read(tmp, value, **how):
    need_reader()
    path, out = os.path.join(tmp, "x.pt"), os.path.join(tmp, "out")
    torch.save(value, path, **how)
    unpack.unpack(path, out)
    with open(os.path.join(out, unpack.CONTENT)) as stream:
        content = json.load(stream)
    return content, safetensors(os.path.join(out, unpack.TENSORS))


def refused(path, out):
    try:
        unpack.unpack(path, out)
    except unpack.Refused as error:
        return str(error)
    raise AssertionError("it was read")


def test_old_readers_are_not_used():
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    assert (unpack.no_reader() is None) == (version >= (2, 10))


def test_tensors_keep_their_bits_and_their_places(tmp):
    nan = torch.tensor([float("nan"), -0.0, 1e-45])
    value = {"a": {"w": nan}, "b": [torch.arange(6).view(2, 3).t(), (torch.zeros(()),)], 1: nan[1:]}
    for number, zipped in enumerate((True, False)):
        folder = os.path.join(tmp, str(number))
        os.mkdir(folder)
        content, tensors = read(folder, value, _use_new_zipfile_serialization=zipped)
        assert set(content["tensors"]) == {"a.w", "b[0]", "b[1][0]", "[1]"}
        assert tensors["a.w"] == b"".join(struct.pack("<f", x) for x in nan.tolist())
        assert content["tensors"]["b[0]"] == {"dtype": "int64", "shape": [3, 2]}
        assert struct.unpack("<6q", tensors["b[0]"]) == (0, 3, 1, 4, 2, 5)
        assert content["tensors"]["b[1][0]"]["shape"] == []


def test_a_tensor_alone_has_no_name(tmp):
    content, tensors = read(tmp, torch.ones(2, dtype=torch.bfloat16))
    assert content["value"] == {"tensor": ""}
    assert tensors == {"": b"\x80\x3f\x80\x3f"}


def test_dtypes_that_the_format_lacks_are_bytes_with_a_name(tmp):
    content, tensors = read(tmp, {"c": torch.ones(2, dtype=torch.complex64)})
    assert content["tensors"]["c"] == {"dtype": "complex64", "shape": [2]}
    assert len(tensors["c"]) == 16


def test_plain_values_are_told_apart(tmp):
    value = {"1": 1, 1: "one", "[1]": 2, "t": (True, None, 2.5), "d": torch.float16, "s": {"x"}}
    content, _ = read(tmp, value)
    plain = content["value"]["dict"]
    assert plain == {
        "1": 1, "[1]": "one", "['[1]']": 2, "t": [True, None, 2.5],
        "d": {"dtype": "torch.float16"}, "s": {"set": ["'x'"]},
    }  # fmt: skip


def test_places_of_one_name_are_both_kept(tmp):
    content, _ = read(tmp, {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}})
    assert set(content["tensors"]) == {"a.b", "a.b'"}


def test_what_has_no_plain_memory_is_said(tmp):
    content, tensors = read(tmp, {"s": torch.eye(2).to_sparse(), "w": torch.ones(1)})
    assert set(tensors) == {"w"}
    assert "sparse_coo" in content["skipped"]["s"]


def test_code_is_not_run(tmp):
    need_reader()
    mark, path = os.path.join(tmp, "ran"), os.path.join(tmp, "x.pt")
    for zipped in (True, False):
        torch.save({"x": Evil(mark)}, path, _use_new_zipfile_serialization=zipped)
        out = os.path.join(tmp, "out")
        status, reason = unpack._read({"path": path, "out": out})
        assert status == "refused"
        assert "mkdir" in reason or "more than tensors" in reason
        assert "weights_only" not in reason, "no advice to read it unsafely"
        assert not os.path.exists(mark)
        assert not os.path.exists(out)
    torch.load(path, weights_only=False)
    assert os.path.exists(mark), "the test's own trap must work"


def test_archives_that_claim_too_much_are_not_opened(tmp):
    path, packed = os.path.join(tmp, "x.pt"), os.path.join(tmp, "y.pt")
    torch.save(torch.zeros(100000), path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    assert os.path.getsize(packed) < 4000
    assert "zip bomb" in refused(packed, os.path.join(tmp, "out"))
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    assert "TorchScript" in refused(path, os.path.join(tmp, "out"))
    with open(path, "wb") as stream:
        stream.write(b"PK\x03\x04 and no more")
    assert "damaged" in refused(path, os.path.join(tmp, "out"))
    with open(path, "wb") as stream:
        stream.write(b"storages\0 as in a tar archive")
    assert "no file of torch.save" in refused(path, os.path.join(tmp, "out"))


def test_values_that_grow_are_not_followed(tmp):
    need_reader()
    path = os.path.join(tmp, "x.pt")
    torch.save(torch.zeros(1).expand(1 << 40), path)
    assert "bomb" in refused(path, os.path.join(tmp, "out"))
    laughs = [1]
    for _ in range(40):
        laughs = [laughs] * 10
    torch.save(laughs, path)
    assert "values" in refused(path, os.path.join(tmp, "out"))
    itself = []
    itself.append(itself)
    torch.save(itself, path)
    assert "deep" in refused(path, os.path.join(tmp, "out"))


def test_memory_is_limited_while_a_file_is_read_and_not_after():
    if limits.resource is None or limits.allocated() is None:
        raise unittest.SkipTest("this system cannot tell")
    before = limits.resource.getrlimit(limits.resource.RLIMIT_DATA)
    with limits.memory_limit(1 << 28):
        torch.zeros(1 << 20)
        try:
            torch.zeros(1 << 30)
        except RuntimeError as error:
            assert "memory" in str(error)
        else:
            raise AssertionError("4 GiB were given")
    assert limits.resource.getrlimit(limits.resource.RLIMIT_DATA) == before
