"""Provenance: the machine, software and settings of a measurement."""

from __future__ import annotations

import ctypes
import platform
import resource
from importlib import metadata
from typing import Any

import torch

from bench.spec import digest
from bench.system.machine import hardware
from bench.system.torch_state import fix_precision
from bench.system.version import commit, output

PROBE = 64 << 20  # bytes
PACKAGES = ("torch", "torchvision", "timm", "fvcore", "numpy", "pandas")


def collect() -> dict[str, Any]:
    """Return the environment as a JSON-serialisable dict.

    `id` is a digest of all other entries except the commit, so equal environments have the same `id`.
    """
    fix_precision()
    facts = {
        **hardware(),
        "os": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "malloc": allocator(),
        **_gpus(),
    }
    return {"id": digest(facts), **facts, "commit": commit()}


def allocator() -> str:
    """Return how the C allocator treats freed large blocks, as measured by page faults.

    "tuned" retains their pages. "default" returns them to the system, so that the next allocation causes page faults.
    """
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        ctypes.memset(block := _libc().malloc(PROBE), 1, PROBE)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        _libc().free(block)
    return "tuned" if faults < PROBE // resource.getpagesize() // 2 else "default"


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    return libc


def _gpus() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"gpus": []}
    return {
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32": {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32},
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
