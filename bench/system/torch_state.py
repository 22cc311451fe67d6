"""Torch's settings for the whole process: the same at the start of every measurement, and looked at after it."""

from __future__ import annotations

import torch

from bench.spec import Cell


class GlobalState(Exception):
    """An operator changed a setting of the whole process that its figure depends on."""


def fix_precision() -> None:
    """Single precision where torch offers less, and cuDNN's search for its fastest algorithm."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # a convolution as exact as the transforms it is compared with
    torch.backends.cudnn.benchmark = True


def settle(cell: Cell) -> None:
    """Put torch to what every measurement starts from, whatever an operator before has left."""
    fix_precision()
    torch.set_num_threads(cell.threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(False)
    seed(cell)


def seed(cell: Cell) -> None:
    """The cell's seed on the processor and on the cell's device alone: `torch.manual_seed` queues a call for each absent kind."""
    torch.default_generator.manual_seed(cell.seed)
    if torch.device(cell.device).type == "cuda":
        torch.cuda.manual_seed(cell.seed)


def unchanged(cell: Cell) -> None:
    """Raises `GlobalState` where the operator took other threads or another type than its row says."""
    if torch.get_num_threads() != cell.threads:
        raise GlobalState(f"the operator set torch to {torch.get_num_threads()} threads, the cell has {cell.threads}")
    if torch.get_default_dtype() != torch.float32:
        raise GlobalState(f"the operator set torch's default type to {torch.get_default_dtype()}")
