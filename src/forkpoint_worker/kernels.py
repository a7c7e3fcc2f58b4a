"""The digest's sum over columns as one CUDA kernel, compiled at run time.

NVRTC and the driver are called through ctypes: both come with every CUDA build of torch, need
no compiler on the machine, and one launch reads a tensor once. Where they cannot be loaded,
`digest.generic_raw` does the same arithmetic with torch operations.
"""

from __future__ import annotations

import ctypes
import glob
import os
import sys
from typing import TYPE_CHECKING, Callable, Sequence

import torch

from . import digest

# A thread block sums up 32 columns of one block of rows: a warp takes every eighth row, its lanes
# neighbouring words, whose own neighbour on the right the next lane holds.
_SOURCE = r"""
typedef unsigned long long u64;
#define ROW 1024
#define BLOCK 128
#define WARPS 8
__device__ __forceinline__ u64 word(
    const u64* __restrict__ x, u64 at, u64 words, const unsigned char* __restrict__ tail, int rest)
{
    if (at < words) return x[at];
    u64 a = 0;
    if (at == words) for (int k = 0; k < rest; ++k) a |= (u64)tail[k] << (8 * k);
    return a;
}
extern "C" __global__ void __launch_bounds__(32 * WARPS) forkpoint_digest(
    const u64* __restrict__ x, u64 words, const unsigned char* __restrict__ tail, int rest,
    const u64* __restrict__ w, u64* __restrict__ out)
{
    __shared__ u64 sums[WARPS][32];
    const u64 total = words + (rest ? 1 : 0);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const u64 groups = (total + (u64)ROW * BLOCK - 1) / ((u64)ROW * BLOCK) * (ROW / 32);
    u64 mine = 0;
    for (u64 group = blockIdx.x; group < groups; group += gridDim.x) {
        const u64 block = group / (ROW / 32), column = group % (ROW / 32) * 32 + lane;
        const u64 first = block * BLOCK * ROW + column;
        u64 sum = 0;
        const long long left = (long long)(words ? (words - 1) / ROW : 0) - block * BLOCK;
        const int whole = left < 0 ? 0 : left < BLOCK ? left : BLOCK;  // a word follows them
        #pragma unroll 8
        for (int i = warp; i < whole; i += WARPS) {
            const u64 at = first + (u64)i * ROW, a = x[at];
            u64 next = __shfl_down_sync(0xffffffffu, a, 1);
            if (lane == 31) next = x[at + 1];
            sum += w[i] * (a ^ (a >> 40 | next << 24));
        }
        for (int i = whole + warp; i < BLOCK && first + (u64)i * ROW < total; i += WARPS) {
            const u64 at = first + (u64)i * ROW, a = word(x, at, words, tail, rest);
            sum += w[i] * (a ^ (a >> 40 | word(x, at + 1, words, tail, rest) << 24));
        }
        sums[warp][lane] = sum;
        __syncthreads();
        if (warp == 0 && first < total) {
            for (int k = 1; k < WARPS; ++k) sum += sums[k][lane];
            u64 z = sum + (block * ROW + column + 1) * 0x9E3779B97F4A7C15ull;
            z = (z ^ (z >> 32)) * 0xBF58476D1CE4E5B9ull;
            z = (z ^ (z >> 29)) * 0x94D049BB133111EBull;
            mine += z ^ (z >> 32);
        }
        __syncthreads();
    }
    if (warp) return;
    for (int step = 16; step; step >>= 1) mine += __shfl_down_sync(0xffffffffu, mine, step);
    if (lane == 0 && mine) atomicAdd(out, mine);
}
"""
_THREADS = 256
_COLUMNS = 32  # of a thread block
_BLOCK_BYTES = digest.BLOCK * digest.ROW * 8


if TYPE_CHECKING:
    Image = ctypes.Array[ctypes.c_char]  # machine code or PTX


class KernelUnavailable(Exception):
    """NVRTC or the driver cannot be used; the text says why."""


class CudaKernel:
    """The kernel, loaded for one device; raises `KernelUnavailable` where that fails."""

    def __init__(self, device: torch.device) -> None:
        with torch.cuda.device(device), torch.inference_mode(False):
            torch.zeros(1, device=device)  # makes torch's context current in this thread
            self._blocks = torch.cuda.get_device_properties(device).multi_processor_count * 8
            self.w = torch.tensor([digest.signed(n) for n in digest.weights()], device=device)
            self._driver = _library(["libcuda.so.1"])
            self._launch = self._driver.cuLaunchKernel
            word, pointer = ctypes.c_uint, ctypes.c_void_p
            self._launch.argtypes = [pointer] + [word] * 7 + [pointer] * 3
            self._stream = _current_stream(device)
            self._function = self._load(_compile(torch.cuda.get_device_capability(device)))
        self._args = (
            ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_int(),
            ctypes.c_void_p(self.w.data_ptr()), ctypes.c_void_p(),
        )  # fmt: skip
        pointers = [ctypes.cast(ctypes.pointer(arg), ctypes.c_void_p) for arg in self._args]
        self._packed = (ctypes.c_void_p * len(pointers))(*pointers)

    def _load(self, image: Image) -> ctypes.c_void_p:
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._check(self._driver.cuModuleLoadData(ctypes.byref(module), image))
        name = b"forkpoint_digest"
        self._check(self._driver.cuModuleGetFunction(ctypes.byref(function), module, name))
        return function

    def _check(self, status: int) -> None:
        if status:
            raise KernelUnavailable("the CUDA driver answered with error %d" % status)

    def launch(self, pointer: int, count: int, out: int) -> None:
        """Add the sum over columns of ``count`` bytes at ``pointer`` to the word at ``out``.

        Asynchronous, on torch's current stream; addresses are device addresses, ``pointer``
        a multiple of 8. The caller's thread must have the device's context.
        """
        words, rest = divmod(count, 8)
        x, n, tail, tail_count, _, target = self._args
        x.value, n.value, tail.value = pointer, words, pointer + words * 8
        tail_count.value, target.value = rest, out
        grid = min(self._blocks, -(-count // _BLOCK_BYTES) * (digest.ROW // _COLUMNS))
        status = self._launch(
            self._function, grid, 1, 1, _THREADS, 1, 1, 0, self._stream(), self._packed, None
        )
        if status:
            self._check(status)


def _current_stream(device: torch.device) -> Callable[[], int]:
    """A function that returns torch's current stream on the device, as an address.

    `torch.cuda.current_stream` builds an object each time, which costs more than a launch.
    """
    raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    if raw is None:
        return lambda: torch.cuda.current_stream(device).cuda_stream
    return lambda: raw(device.index)


def _compile(capability: tuple[int, int]) -> Image:
    """The kernel as machine code for a compute capability (or as PTX for a newer one)."""
    nvrtc = _library(_nvrtc_candidates())
    program = ctypes.c_void_p()
    source = _SOURCE.encode()
    _nvrtc(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"digest.cu", 0, None, None))
    arch = "%d%d" % capability
    for option, read in (("sm_", "CUBIN"), ("compute_", "PTX")):
        options = (ctypes.c_char_p * 1)(("--gpu-architecture=" + option + arch).encode())
        if nvrtc.nvrtcCompileProgram(program, 1, options) == 0:
            return _image(nvrtc, program, read)
    raise KernelUnavailable("NVRTC cannot compile for compute capability %d.%d" % capability)


def _image(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, kind: str) -> Image:
    size = ctypes.c_size_t()
    _nvrtc(getattr(nvrtc, "nvrtcGet%sSize" % kind)(program, ctypes.byref(size)))
    image = ctypes.create_string_buffer(size.value)
    _nvrtc(getattr(nvrtc, "nvrtcGet%s" % kind)(program, image))
    return image


def _nvrtc(status: int) -> None:
    if status:
        raise KernelUnavailable("NVRTC answered with error %d" % status)


def _nvrtc_candidates() -> list[str]:
    """Paths and names of NVRTC, the one that torch itself ships or depends on first."""
    base = os.path.dirname(torch.__file__)
    found = glob.glob(os.path.join(base, "lib", "libnvrtc*.so*"))
    for folder in sys.path:
        found += glob.glob(os.path.join(folder, "nvidia", "*", "lib", "libnvrtc.so*"))
    names = ["libnvrtc.so"] + ["libnvrtc.so.%d" % n for n in (14, 13, 12)] + ["libnvrtc.so.11.2"]
    return [path for path in found if "builtins" not in path and "alt" not in path] + names


def _library(candidates: Sequence[str]) -> ctypes.CDLL:
    for candidate in candidates:
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise KernelUnavailable("cannot load %s" % candidates[-1])
