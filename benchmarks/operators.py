"""Our operators against the literal form of their papers' equations: same weights, equal outputs, timed interleaved.

    python -m benchmarks.operators [FAMILY ...] [--markdown FILE]

Both forms run in this process, one thread, tuned allocator; every round times both on new inputs in shuffled order. A ratio is the
literal form's time over ours: the median over rounds of the ratio of their median processor times, with a 95% t-interval.
*frozen* keeps what depends on the weights alone, as inference may; *generated* makes it in every call; *train* adds the backward.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.executors.worker import QUIET, TUNED

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    family: str  # module of benchmarks/literal
    method: str
    channels: int
    res: int
    batch: int = 1


CASES = (
    *(Case("conv", "dwconv31", 64, res) for res in (56, 112)),
    *(Case("niff", name, 64, res) for name in ("niff", "niff_big") for res in (56, 112, 224)),
    Case("niff", "niff_split", 64, 56),
    Case("niff", "niff_full", 64, 28),
    *(Case("flexconv", "flexconv", 32, res) for res in (56, 112)),
    *(Case("flexconv", "flexconv_dw", 64, res) for res in (56, 112)),
    *(Case("dynamic_filter", "dynamic_filter", 64, res) for res in (56, 112, 224)),
    *(Case("global_filter", "global_filter", 64, res) for res in (56, 112, 224)),
    *(Case("afno", "afno", 64, res) for res in (56, 112)),
    Case("shared_basis", "shared_basis", 64, 56),
)


def compare(case: Case, mode: str) -> dict[str, str]:
    """One row of the table: both forms in one mode."""
    import torch

    import methods

    torch.manual_seed(0)
    literal = importlib.import_module(f"benchmarks.literal.{case.family}").literal
    module = methods.get(case.method).build(case.channels, case.res).eval()
    x = torch.randn(case.batch, case.channels, case.res, case.res)
    with torch.no_grad():
        exact = copy.deepcopy(module).double()
        expected = literal(exact, x.double())
        error = float((exact(x.double()) - expected).abs().max() / expected.abs().max())
    ours: Callable[[torch.Tensor], torch.Tensor] = module
    if mode == "frozen":
        module.freeze()
    low, mid, high = ratios(_step(lambda x: literal(module, x), module, mode), _step(ours, module, mode), x)
    return {
        "operator": case.method, "C": str(case.channels), "px": str(case.res), "mode": mode,
        "ratio": f"{mid:.2f}", "95% interval": f"{low:.2f} to {high:.2f}", "float64 error": f"{error:.0e}",
    }  # fmt: skip


def _step(forward: Callable, module: object, mode: str) -> Callable:
    """The timed call on an input: forward alone without gradient, or forward and backward to every parameter."""
    import torch

    def infer(x: torch.Tensor) -> None:
        with torch.inference_mode():
            forward(x)

    def train(x: torch.Tensor) -> None:
        x = x.detach().requires_grad_()
        y = forward(x)
        torch.autograd.grad(y, [x, *module.parameters()], torch.ones_like(y), allow_unused=True)

    return train if mode == "train" else infer


def ratios(first: Callable, second: Callable, x: object) -> tuple[float, float, float]:
    """95% interval and geometric mean over rounds of first's median processor time over second's."""
    import torch

    from bench.spec import Timing
    from bench.stats.rounds import log_interval
    from bench.timers.cpu import cpu_round

    timing = Timing(round_seconds=0.15, min_calls=3, max_calls=30)
    found = []
    for number in range(ROUNDS):
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(number))
        order = random.Random(number).sample([0, 1], 2)
        times = {which: cpu_round(partial((first, second)[which], fresh), timing).cpu for which in order}
        found.append(float(np.median(times[0]) / np.median(times[1])))
    mid, low, high = log_interval(found)
    return low, mid, high


def rows(families: list[str]) -> Iterator[dict[str, str]]:
    import methods

    for case in CASES:
        if families and case.family not in families:
            continue
        freezable = hasattr(methods.get(case.method).cls, "freeze")
        for mode in ("frozen", "generated", "train") if freezable else ("generated", "train"):
            row = compare(case, mode)
            print(" ".join(f"{value:>14}" for value in row.values()), flush=True)
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    if os.environ.get("MALLOC_MMAP_MAX_") != TUNED["MALLOC_MMAP_MAX_"]:  # read once, before the first allocation
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.operators", *sys.argv[1:]], {**os.environ, **QUIET, **TUNED})
    import torch

    from bench.system import environment as env

    torch.set_num_threads(1)
    table = pd.DataFrame(list(rows(given.families)))
    facts = env.collect()
    if given.markdown:
        head = f"# Operators against the literal form of their equations\n\n{__doc__.split(chr(10) * 2, 2)[2].strip()}\n"
        where = f"{facts['cpu']}, {facts['cpu_capability']}, torch {facts['torch']}, commit {facts['commit']}"
        given.markdown.write_text(f"{head}\nMeasured on: {where}.\n\n{table.to_markdown(index=False)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
