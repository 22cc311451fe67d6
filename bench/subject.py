"""What a metric is given: the operator of a cell, its inputs and the call that is measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import methods
from bench.spec import Cell


class WrongResult(Exception):
    """The operator's output has the wrong shape or is not finite."""


class Outcome(NamedTuple):
    """What a metric returns: its columns, and the raw samples behind them."""

    values: dict[str, float | str | None]
    samples: dict[str, Any]


@dataclass
class Subject:
    """One cell, made real when asked: the metric decides whether on the cell's device or on meta."""

    cell: Cell

    @property
    def method(self) -> methods.Method:
        return methods.get(self.cell.method)

    def build(self, device: str) -> Any:
        """The operator on `device` under the cell's seed, in the cell's mode: frozen where it can be for inference."""
        torch.manual_seed(self.cell.seed)
        with torch.device(device):
            module = self.operator(self.cell.channels, (self.cell.height, self.cell.width))
        return prepare(module, self.cell.mode)

    def operator(self, channels: int, resolution: tuple[int, int]) -> nn.Module:
        """The cell's method at any size, as the host network asks for it."""
        return self.method.build(channels, resolution, self.cell.kernel, **dict(self.cell.params))

    @cached_property
    def module(self) -> Any:
        return self.build(self.cell.device)

    def shape(self) -> tuple[int, int, int, int]:
        return self.cell.batch, self.cell.channels, self.cell.height, self.cell.width

    def inputs(self, seed: int = 0) -> Tensor:
        """Standard normal images (B, C, H, W): never zeros, whose products are cheaper."""
        generator = torch.Generator(self.cell.device).manual_seed(self.cell.seed * 1000 + seed)
        return torch.randn(self.shape(), generator=generator, device=self.cell.device)

    def step(self, module: Any, x: Tensor, cotangent: Tensor) -> Callable[[], Tensor]:
        """The call that is measured: a forward without gradient, or a forward and a backward with a fixed cotangent."""
        cast = autocast(self.cell)
        if self.cell.mode == "infer":

            def infer() -> Tensor:
                with torch.inference_mode(), cast():
                    return module(x)

            return infer
        x.requires_grad_()
        wanted = [x, *(p for p in module.parameters() if p.requires_grad)]

        def train() -> Tensor:
            with cast():
                y = module(x)
            if not isinstance(y, Tensor) or y.shape != cotangent.shape:
                return y  # refused by the check
            torch.autograd.grad(y, wanted, cotangent.to(y.dtype), allow_unused=True)
            return y.detach()

        return train

    def checked_step(self, seed: int = 0) -> Callable[[], Tensor]:
        """`step` on new inputs, after one call whose output was looked at; raises `WrongResult`."""
        x = self.inputs(seed)
        step = self.step(self.module, x, self.inputs(seed + 500))
        y = step()
        wanted = torch.bfloat16 if self.cell.dtype == "bf16" else torch.float32
        if not isinstance(y, Tensor) or y.dtype not in (wanted, torch.float32):
            raise WrongResult(f"output is {y.dtype if isinstance(y, Tensor) else type(y).__name__}, not {wanted}")
        if y.shape != x.shape:
            raise WrongResult(f"output has shape {tuple(y.shape)}, input {tuple(x.shape)}")
        if not torch.isfinite(y).all():
            raise WrongResult("output is not finite")
        return step


def prepare(module: Any, mode: str) -> Any:
    """Training mode, or inference with the kernel frozen where the method has a `freeze()`."""
    if mode == "train":
        return module.train()
    module.eval()
    return module.freeze() if hasattr(module, "freeze") else module


def autocast(cell: Cell) -> Callable[[], AbstractContextManager[Any]]:
    """The cell's precision: nothing for fp32, bfloat16 autocast for bf16."""
    if cell.dtype == "bf16":
        return lambda: torch.autocast(torch.device(cell.device).type, dtype=torch.bfloat16)
    return nullcontext
