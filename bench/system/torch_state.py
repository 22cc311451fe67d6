"""The process-wide settings of torch: set before every measurement and checked after it."""

from __future__ import annotations

import torch

from bench.spec import Cell


class GlobalState(Exception):
    """An operator changed a process-wide setting that its measurement depends on."""


def fix_precision() -> None:
    """Disable TF32 and enable the autotuning of cuDNN."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # convolutions as precise as the transforms that they are compared with
    torch.backends.cudnn.benchmark = True


def settle(cell: Cell) -> None:
    """Set all settings that a previous operator may have changed, and the seed."""
    fix_precision()
    torch.set_num_threads(cell.threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(False)
    seed(cell)


def seed(cell: Cell) -> None:
    """Seed the generators of the CPU and of the cell's device.

    `torch.manual_seed` would also queue a call for each absent type of device.
    """
    torch.default_generator.manual_seed(cell.seed)
    if torch.device(cell.device).type == "cuda":
        torch.cuda.manual_seed(cell.seed)


def check_unchanged(cell: Cell) -> None:
    """Raise `GlobalState` if the operator changed the number of threads or the default dtype."""
    if torch.get_num_threads() != cell.threads:
        raise GlobalState(f"the operator set torch to {torch.get_num_threads()} threads; the cell has {cell.threads}")
    if torch.get_default_dtype() != torch.float32:
        raise GlobalState(f"the operator set torch's default dtype to {torch.get_default_dtype()}")
