"""Peak rates of a machine: the best rates of large regular workloads in torch, measured with the timers of the cells.

    copy      bytes per second of a copy, half of them read and half written, by working set: a map of 1 MB fits into a cache and is
              copied several times faster than from memory. On a GPU with cold and with warm caches, as cells are timed
    linear    FLOP/s by dtype: the best of matrix products and dense convolutions, since a library may be much slower at one of them
    fft       FLOP/s of batched `rfft2` in the convention of `methods.parts.cost`, best over sizes
    launch_s  seconds of one operation on a single element

The rates describe what the machine can achieve, so the best of all rounds counts. They are neither the peak rates of a data sheet,
which no operator reaches, nor the rates under background load.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from bench.spec import Cell, Timing
from bench.stats.rounds import Round, headline
from bench.system.torch_state import settle
from bench.timers.cpu import Step, cpu_round
from methods.parts.cost import rfft2_flops

ROUNDS = 7
SECONDS = 12.0  # after this time no probe is repeated
ROUND_SECONDS = 0.02
CHAIN = 100  # consecutive operations, so that the overhead of the clock and of the synchronisation is negligible
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Sizes(NamedTuple):
    """The sizes of the workloads on a device."""

    copies: tuple[int, ...]  # bytes read and written
    matrices: tuple[int, ...]  # side lengths
    images: tuple[tuple[int, int, int, int], ...]  # images, channels, side, kernel
    transforms: tuple[tuple[int, int], ...]  # maps, side


SIZES = {
    "cpu": Sizes(
        copies=tuple(2**k for k in range(16, 29)),
        matrices=(256, 1024),
        images=((1, 128, 56, 3), (1, 256, 28, 3), (1, 64, 56, 7)),
        transforms=((64, 32), (64, 64), (64, 128), (16, 256)),
    ),
    "cuda": Sizes(
        copies=tuple(2**k for k in range(16, 31)),
        matrices=(4096, 8192),
        images=((64, 256, 56, 3), (64, 512, 28, 3), (64, 64, 56, 7)),
        transforms=((4096, 64), (2048, 128), (1024, 256)),
    ),
}


class Probe(NamedTuple):
    """A workload. `work` is the bytes, FLOPs or operations of a call; `make` allocates the data and returns the call."""

    name: str
    kind: str  # the rate that it measures: "copy hot", "linear bf16", "fft", ...
    size: int
    work: float
    timer: str
    make: Callable[[], Step]


def measure(device: str, threads: int) -> dict[str, Any]:
    """Return the peak rates of a device as JSON-serialisable numbers.

    Run it in a worker process, which has the allocator and the settings of the cells. Probes are repeated in shuffled rounds. A
    probe that raises is listed in `failed` with its reason. Rates that no probe measured are None.
    """
    settle(Cell("", 1, 1, device=device, threads=threads))
    started, begin = time.time(), time.perf_counter()
    open_probes, failed = list(probes(device, threads)), {}
    best: dict[Probe, float] = {}
    for number in range(ROUNDS):
        for probe in random.Random(number).sample(open_probes, len(open_probes)):
            if probe in best and time.perf_counter() - begin > SECONDS:
                continue
            try:
                best[probe] = max(best.get(probe, 0.0), rate(probe, device, threads))
            except (RuntimeError, MemoryError) as error:
                failed[probe.name] = " ".join(str(error).split())[:200]
                open_probes.remove(probe)
    return summary(best) | {"failed": failed, "started": started, "seconds": time.perf_counter() - begin}


def rate(probe: Probe, device: str, threads: int) -> float:
    """Return the work per second in one round on new data, by the clock that a cell with this number of threads uses."""
    timing = Timing(timer=probe.timer, round_seconds=ROUND_SECONDS)
    with torch.inference_mode():
        return probe.work / headline([_round(probe.make(), timing, device)], threads).mid


def _round(step: Step, timing: Timing, device: str) -> Round:
    if torch.device(device).type == "cpu":
        return cpu_round(step, timing)
    from bench.timers.cuda import cuda_round

    return cuda_round(step, timing, device)


def summary(best: dict[Probe, float]) -> dict[str, Any]:
    """Return the rates of all probes in the format of the cache."""

    def top(kind: str) -> float | None:
        return max((rate for probe, rate in best.items() if probe.kind == kind), default=None)

    def table(kind: str) -> list[list[float]]:
        return sorted([probe.size, rate] for probe, rate in best.items() if probe.kind == kind)

    launches = top("launch")
    return {
        "copy": {state: rates for state in ("hot", "cold") if (rates := table(f"copy {state}"))},
        "linear": {dtype: top(f"linear {dtype}") for dtype in DTYPES},
        "fft": top("fft"),
        "launch_s": 1 / launches if launches else None,
    }


def probes(device: str, threads: int) -> Iterator[Probe]:
    """Yield all probes of a device. On a CPU the work is proportional to the number of threads, so that all are busy."""
    kind = torch.device(device).type
    timers = {"hot": "wall"} if kind == "cpu" else {"hot": "hot", "cold": "cold"}
    times, warm = threads if kind == "cpu" else 1, timers["hot"]
    for (state, timer), size in product(timers.items(), SIZES[kind].copies):
        yield Probe(f"copy {state} {size}", f"copy {state}", size, size, timer, partial(_copy, size, device))
    for dtype, side in product(DTYPES, SIZES[kind].matrices):
        make = partial(_product, side * times, side, dtype, device)
        yield Probe(f"product {dtype} {side}", f"linear {dtype}", side, 2 * times * side**3, warm, make)
    for dtype, (images, channels, side, kernel) in product(DTYPES, SIZES[kind].images):
        make = partial(_convolution, images * times, channels, side, kernel, dtype, device)
        work = 2 * images * times * (channels * kernel * (side - kernel + 1)) ** 2
        yield Probe(f"convolution {dtype} {channels}x{side} {kernel}x{kernel}", f"linear {dtype}", side, work, warm, make)
    for maps, side in SIZES[kind].transforms:
        make, work = partial(_transform, maps * times, side, device), maps * times * rfft2_flops(side, side)
        yield Probe(f"transform {side}", "fft", side, work, warm, make)
    yield Probe("launch", "launch", 1, CHAIN, "wall", partial(_launches, device))


def _copy(size: int, device: str) -> Step:
    source = torch.ones(size // 8, device=device)
    target = torch.ones_like(source)
    return lambda: target.copy_(source)


def _product(rows: int, side: int, dtype: str, device: str) -> Step:
    left, right = (torch.randn(n, side, device=device).to(DTYPES[dtype]) for n in (rows, side))
    return lambda: left @ right


def _convolution(images: int, channels: int, side: int, kernel: int, dtype: str, device: str) -> Step:
    """Return a convolution without padding, so that all counted operations are executed."""
    x = torch.randn(images, channels, side, side, device=device).to(DTYPES[dtype])
    weight = torch.randn(channels, channels, kernel, kernel, device=device).to(DTYPES[dtype])
    return lambda: F.conv2d(x, weight)


def _transform(maps: int, side: int, device: str) -> Step:
    x = torch.randn(maps, side, side, device=device)
    return lambda: torch.fft.rfft2(x)


def _launches(device: str) -> Step:
    x = torch.ones(1, device=device)

    def chain() -> None:
        for _ in range(CHAIN):
            torch.add(x, x)

    return chain
