"""What a metric is given: the operator of a cell, its inputs and the call that is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import methods
from bench import nets
from bench.spec import ORIGINAL, Cell
from bench.system.torch_state import seed

CLASSES = 1000  # of a network whose cost is measured: ImageNet's, as in the papers
DRIFT = {"fp32": 1e-3, "bf16": 3e-2}  # difference of two calls on the same input, of the largest value: room for atomic sums


class WrongResult(Exception):
    """The operator's output has the wrong shape, is not finite, or changes from call to call."""


class Measurement(NamedTuple):
    """What a metric returns: its columns, the figures of its rounds where it has rounds, and the raw samples behind them."""

    values: dict[str, float | str | None]
    rounds: Mapping[str, list[float | None]] = {}
    samples: Mapping[str, Any] = {}
    evals: Mapping[str, float | str] = {}


class CallResult(NamedTuple):
    """What a call gives: the output, and in training the gradients of the input and of every parameter."""

    output: Any
    gradients: tuple[Tensor | None, ...] = ()


@dataclass
class Workload:
    """One cell, made real when asked: the metric decides whether on the cell's device or on meta."""

    cell: Cell
    checkpoint: Path | None = None  # where a training may keep its state
    save_every: float = 60.0  # seconds between two such states
    weights: Path | None = None  # folder where the weights of a training stay
    each_epoch: bool = False  # those of every epoch

    @property
    def method(self) -> methods.Method:
        return methods.get(self.cell.method)

    def build(self, device: str) -> Any:
        """The operator or network on `device` under the cell's seed, in the cell's mode: frozen where it can be for inference."""
        seed(self.cell)
        size = (self.cell.height, self.cell.width)
        with torch.device(device):
            model = self.cell.level == "model"
            module = self.network(CLASSES, self.cell.channels, size) if model else self.operator(self.cell.channels, size)
        return prepare(module, self.cell.mode)

    def network(self, classes: int, in_channels: int, resolution: tuple[int, int]) -> nn.Module:
        """The cell's network for images of `resolution`, with the cell's operator inside unless it is the published one."""
        operator = None if self.cell.method == ORIGINAL else self.operator
        return nets.build(self.cell.network, operator, classes, in_channels, resolution)

    def operator(self, channels: int, resolution: tuple[int, int], **options: Any) -> nn.Module:
        """The cell's method at any size, as the host network asks for it, with options of the host's besides the cell's."""
        return self.method.build(channels, resolution, self.cell.kernel, **dict(self.cell.params) | options)

    @cached_property
    def module(self) -> Any:
        return self.build(self.cell.device)

    def shape(self) -> tuple[int, int, int, int]:
        return self.cell.batch, self.cell.channels, self.cell.height, self.cell.width

    def output_shape(self) -> tuple[int, ...]:
        return (self.cell.batch, CLASSES) if self.cell.level == "model" else self.shape()

    def inputs(self, seed: int = 0) -> Tensor:
        """Standard normal images (B, C, H, W): never zeros, whose products are cheaper."""
        return self._noise(self.shape(), seed)

    def _noise(self, shape: tuple[int, ...], seed: int) -> Tensor:
        generator = torch.Generator(self.cell.device).manual_seed(self.cell.seed * 1000 + seed)
        return torch.randn(shape, generator=generator, device=self.cell.device)

    def step(self, module: Any, x: Tensor, cotangent: Tensor) -> Callable[[], CallResult]:
        """The call that is measured: a forward without gradient, or a forward and a backward with a fixed cotangent."""
        cast = autocast(self.cell)
        if self.cell.mode == "infer":

            def infer() -> CallResult:
                with torch.inference_mode(), cast():
                    return CallResult(module(x))

            return infer
        x.requires_grad_()
        wanted = [x, *(p for p in module.parameters() if p.requires_grad)]

        def train() -> CallResult:
            with cast():
                y = module(x)
            if not isinstance(y, Tensor) or y.shape != cotangent.shape:
                return CallResult(y)  # refused by the check
            gradients = torch.autograd.grad(y, wanted, cotangent.to(y.dtype), allow_unused=True)
            return CallResult(y.detach(), gradients)

        return train

    def step_on_new_input(self, seed: int = 0) -> Callable[[], CallResult]:
        """`step` of the cell's own module on new inputs."""
        x = self.inputs(seed)
        return self.step(self.module, x, self._noise(self.output_shape(), seed + 500) if self.cell.mode == "train" else x)

    def checked_step(self, seed: int = 0) -> Callable[[], CallResult]:
        """`step` on new inputs, after one call whose result was looked at; raises `WrongResult`."""
        return self._checked(seed)[0]

    def _checked(self, seed: int) -> tuple[Callable[[], CallResult], CallResult]:
        step = self.step_on_new_input(seed)
        return step, self.validated_call(step)

    @contextmanager
    def checked_for_drift(self, seed: int = 0) -> Iterator[Callable[[], CallResult]]:
        """`checked_step`, and once it has been used the same call again; raises `WrongResult` where it gives something else."""
        step, first = self._checked(seed)
        before = first.output.clone()  # an operator may hand out the same buffer every time
        del first
        yield step
        after = self.validated_call(step)
        drift = float((after.output - before).abs().max() / before.abs().max().clamp_min(1e-30))
        if drift > DRIFT[self.cell.dtype]:
            raise WrongResult(f"output drifts: after timing it differs from that before by {drift:.1e} of its largest value")

    def validated_call(self, step: Callable[[], CallResult]) -> CallResult:
        """One call, the same random numbers in each; raises `WrongResult` for another type or shape, and for what is not finite."""
        seed(self.cell)
        result = step()
        y, wanted = result.output, torch.bfloat16 if self.cell.dtype == "bf16" else torch.float32
        if not isinstance(y, Tensor) or y.dtype not in (wanted, torch.float32):
            raise WrongResult(f"output is {y.dtype if isinstance(y, Tensor) else type(y).__name__}, not {wanted}")
        if y.shape != self.output_shape():
            raise WrongResult(f"output has shape {tuple(y.shape)}, not {self.output_shape()} (input {self.shape()})")
        if not is_finite(y):
            raise WrongResult("output is not finite")
        if not all(is_finite(gradient) for gradient in result.gradients if gradient is not None):
            raise WrongResult("a gradient is not finite")
        return result


def is_finite(values: Tensor) -> bool:
    """Whether there is no NaN and no infinity, in one pass."""
    real = torch.view_as_real(values) if values.is_complex() else values
    return not real.numel() or all(math.isfinite(end) for end in torch.stack(real.aminmax()).tolist())


def prepare(module: Any, mode: str) -> Any:
    """Training mode, or inference with the kernel frozen where the method has a `freeze()`."""
    if mode == "train":
        return module.train()
    module.eval()
    if hasattr(module, "freeze"):
        return module.freeze()
    for name, child in list(module.named_children()):
        setattr(module, name, prepare(child, mode))
    return module


def autocast(cell: Cell) -> Callable[[], AbstractContextManager[Any]]:
    """The cell's precision: nothing for fp32, bfloat16 autocast for bf16."""
    if cell.dtype == "bf16":
        return lambda: torch.autocast(torch.device(cell.device).type, dtype=torch.bfloat16)
    return nullcontext


def operator(workload: Workload, backend: str | None = None) -> Any:
    """The operator on the meta device with its choices made as on the cell's device, and its convolution by `backend`."""
    module = workload.build("meta")
    for part in module.modules():
        if hasattr(part, "target"):
            part.target = torch.device(workload.cell.device).type
        if backend and hasattr(part, "backend"):
            part.backend = backend
    return module


def shapes(workload: Workload) -> tuple[Tensor, Tensor]:
    """An input and a cotangent of the output that have nothing but their shape."""
    return torch.empty(workload.shape(), device="meta"), torch.empty(workload.output_shape(), device="meta")
