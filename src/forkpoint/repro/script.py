"""The reproducer's script: one op call, its inputs from a file of plain bytes, torch only."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forkpoint_worker.libraries import OWN, parts_of

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_DTYPE = re.compile(r"bool|bfloat16|q?u?int\d{1,3}(x\d)?|(float|complex|bits)\d[a-z0-9_]{0,20}")
_LAYOUT = re.compile(r"strided|sparse_(coo|csr|csc|bsr|bsc)|_mkldnn|jagged")
_MEMORY_FORMAT = re.compile(r"(contiguous|preserve)_format|channels_last(_3d)?")
_TAKEN = frozenset(dir(builtins)) | frozenset(
    ("torch", "sys", "importlib", "Path", "HERE", "DATA", "tensor", "result", "outputs", "found")
)


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor: where its bytes lie in ``inputs.bin``, or the one number it is made of."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    device: str
    start: int = 0
    count: int = 0
    constant: float | None = None


def render_script(
    document: Mapping[str, Any],
    inputs: Sequence[Input],
    *,
    title: str,
    slots: Sequence[int],
    lines: Mapping[str, Sequence[str]],
) -> str:
    """The text of ``repro.py``.

    ``slots`` are the outputs to compare; ``lines`` are statements that put an environment's
    torch settings in force, by the word that asks for them on the command line ("": always).
    Raises `ValueError` where the document holds what no script can be made of.
    """
    op = document["op"]
    parts = parts_of(op)
    if parts is None:
        raise ValueError(f"{op[:80]!r} is not the name of an op")
    names = [one.name for one in inputs]
    arguments = [_value(value, names) for value in document["args"]]
    arguments += [
        f"{_checked(name)}={_value(value, names)}" for name, value in document["kwargs"].items()
    ]
    made = "\n".join(f"{one.name} = {_made(one)}" for one in inputs)
    settings = "\n".join(_settings(lines))
    return _TEMPLATE.format(
        title=title.replace("\\", "/").replace('"""', "'''"),
        settings=settings + "\n" if settings else "",
        inputs=made,
        needed="" if parts[0] in OWN else _PACKAGE.format(name=parts[0]),
        op=".".join(parts),
        arguments=", ".join(arguments),
        slots=list(slots),
    )


def _settings(lines: Mapping[str, Sequence[str]]) -> list[str]:
    found = list(lines.get("", ()))
    for word, statements in lines.items():
        if word and statements:
            found.append(f"if {word!r} in sys.argv:")
            found += [f"    {statement}" for statement in statements]
    return found


def _made(one: Input) -> str:
    device = "" if one.device == "cpu" else f', device="{_device(one.device)}"'
    if one.constant is not None:
        dtype = _named(one.dtype, _DTYPE)
        return f"torch.full({one.shape}, {one.constant!r}, dtype=torch.{dtype}{device})"
    to = "" if one.device == "cpu" else f'.to("{_device(one.device)}")'
    return (
        f"tensor(torch.{_named(one.dtype, _DTYPE)}, {one.shape}, {one.stride}, {one.start}, "
        f"{one.count})"
        f"{to}"
    )


def _value(value: Mapping[str, Any], names: Sequence[str], depth: int = 0) -> str:
    if depth > _DEEPEST:
        raise ValueError("lists are nested too deeply")
    ((kind, content),) = value.items()
    if kind == "tensor":
        return str(names[_whole(content)])
    if kind == "list":
        return "[" + ", ".join(_value(one, names, depth + 1) for one in content) + "]"
    if kind not in _WRITTEN:
        raise ValueError(f"a script cannot hold an argument of kind {kind!r}")
    return _WRITTEN[kind](content)


def _float(content: str) -> str:
    number = float.fromhex(content)
    return repr(number) if math.isfinite(number) else f'float("{number}")'


def _whole(content: object) -> int:
    if type(content) is not int or not -(2**63) <= content < 2**64:
        raise ValueError(f"{str(content)[:40]!r} is not a whole number")
    return content


def _named(name: str, pattern: re.Pattern[str]) -> str:
    """The name of one of torch's constants: not every attribute of torch is one."""
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise ValueError(f"torch has no constant {str(name)[:40]!r} of that kind")
    return name


def _checked(name: str) -> str:
    """A name that goes into the script's text; capsules come from anybody."""
    if not _WORD.fullmatch(name) or keyword.iskeyword(name):
        raise ValueError(f"{name[:40]!r} cannot be written into a script")
    return name


def _device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise ValueError(f"{name[:40]!r} is no device for a script")
    return name


def input_names(given: Sequence[str]) -> list[str]:
    """Names for variables: those of the op's arguments where they can be, all different."""
    found: list[str] = []
    for number, name in enumerate(given):
        word = name if _WORD.fullmatch(name) and not keyword.iskeyword(name) else f"t{number}"
        if word in _TAKEN or word in found:
            word = f"{word}_{number}"
        found.append(word)
    return found


_WRITTEN: Mapping[str, Callable[[Any], str]] = {
    "none": lambda _: "None",
    "bool": lambda content: repr(bool(content)),
    "int": lambda content: repr(_whole(content)),
    "str": lambda content: ascii(str(content)),
    "float": _float,
    "device": lambda content: f'torch.device("{_device(content)}")',
    "dtype": lambda content: f"torch.{_named(content, _DTYPE)}",
    "layout": lambda content: f"torch.{_named(content, _LAYOUT)}",
    "memory_format": lambda content: f"torch.{_named(content, _MEMORY_FORMAT)}",
}

_DEEPEST = 8
_PACKAGE = """\
try:  # the package that brings the op, where it is called as the op's library is
    importlib.import_module("{name}")
except ImportError:
    pass

"""

_TEMPLATE = '''\
"""{title}

    python repro.py --save     where the results are as wanted: writes expected.bin
    python repro.py            anywhere else: compares with it, bit for bit

Needs torch only. Exit status: 0 the same bits, 1 other bits, 2 nothing was compared.
"""

import importlib
import sys
from pathlib import Path

import torch

{needed}HERE = Path(__file__).parent
DATA = bytearray((HERE / "inputs.bin").read_bytes() or b"\\0")


def tensor(dtype, shape, stride, start, count):
    """A tensor with these strides over ``count`` elements of the file, from byte ``start``."""
    flat = torch.frombuffer(DATA, dtype=dtype, count=count, offset=start).clone()
    return flat.as_strided(shape, stride)


{settings}{inputs}

with torch.no_grad():
    result = torch.ops.{op}({arguments})
result = result if isinstance(result, (tuple, list)) else [result]
found = {{}}
for place, one in enumerate(result):
    for inner, tensor_ in enumerate(one if isinstance(one, (tuple, list)) else [one]):
        if isinstance(tensor_, torch.Tensor):
            slot = place * 65536 + inner if isinstance(one, (tuple, list)) else place
            found[slot] = tensor_.detach().cpu().contiguous()
outputs = [found[slot] for slot in {slots} if slot in found]
if not outputs:
    print("the op gave none of the outputs that were recorded: nothing was compared")
    sys.exit(2)

print("torch", torch.__version__, "on", torch.cuda.get_device_name() if "cuda" in sys.argv
      else torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "a CPU",
      "with", torch.get_num_threads(), "threads")
raw = [bytes(one.reshape(-1).view(torch.uint8).tolist()) for one in outputs]
if "--save" in sys.argv:
    (HERE / "expected.bin").write_bytes(b"".join(raw))
    print("saved", len(raw), "outputs to expected.bin")
    sys.exit(0)

stored, start, same = (HERE / "expected.bin").read_bytes(), 0, True
for number, (one, data) in enumerate(zip(outputs, raw)):
    other = stored[start : start + len(data)]
    start += len(data)
    if data == other:
        print("output", number, tuple(one.shape), "has the same bits")
        continue
    same = False
    wanted = torch.frombuffer(bytearray(other), dtype=one.dtype).reshape(one.shape)
    apart = (wanted.double() - one.double()).abs()
    print("output", number, tuple(one.shape), "has other bits:", int((wanted != one).sum()), "of",
          one.numel(), "values, max abs", float(apart.max()))
sys.exit(0 if same else 1)
'''
