"""Build the operator of a cell, its inputs and the measured call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import methods
from bench import nets
from bench.axes import IMAGENET_CLASSES
from bench.spec import ORIGINAL, Cell, Evaluation
from bench.system.torch_state import seed
from methods import hooks

DRIFT = {
    "fp32": 1e-3,
    "bf16": 3e-2,
}  # maximum difference of two calls on one input, relative to the largest value: allows for atomic sums


class WrongResult(Exception):
    """The output of the operator has the wrong type or shape, is not finite, or changes between calls."""


class Measurement(NamedTuple):
    """The result of a metric: its columns, the values per round, the raw samples, and the evaluations at other resolutions."""

    values: dict[str, float | str | None]
    rounds: Mapping[str, list[float | None]] = {}
    samples: Mapping[str, Any] = {}
    evals: Sequence[Evaluation] = ()


class CallResult(NamedTuple):
    """The result of a call: the output, and in training the gradients of the input and of every parameter."""

    output: Any
    gradients: tuple[Tensor | None, ...] = ()


@dataclass
class Workload:
    """A cell, its module and its inputs. They are built on request, on the device of the cell or on the meta device."""

    cell: Cell
    checkpoint: Path | None = None  # file for the state of a training
    save_every: float = 60.0  # seconds between two checkpoints
    weights: Path | None = None  # folder for the weights of a training
    each_epoch: bool = False  # save the weights of every epoch

    @property
    def method(self) -> methods.Method:
        return methods.get(self.cell.method)

    def build(self, device: str) -> Any:
        """Build the operator or network on `device` with the seed and mode of the cell. For inference it is frozen if possible."""
        seed(self.cell)
        size = (self.cell.height, self.cell.width)
        with torch.device(device):
            model = self.cell.level == "model"
            module = self.network(IMAGENET_CLASSES, self.cell.channels, size) if model else self.operator(self.cell.channels, size)
        return prepare(module, self.cell.mode)

    def network(self, classes: int, in_channels: int, resolution: tuple[int, int]) -> nn.Module:
        """Build the network of the cell for images of `resolution`, with the operator of the cell unless it is the original one."""
        operator = None if self.cell.method == ORIGINAL else self.operator
        return nets.build(self.cell.network, operator, classes, in_channels, resolution)

    def operator(self, channels: int, resolution: tuple[int, int], **options: Any) -> nn.Module:
        """Build the method of the cell at any size. `options` of the host network override those of the cell."""
        return self.method.build(channels, resolution, self.cell.kernel, **dict(self.cell.params) | options)

    @cached_property
    def module(self) -> Any:
        return self.build(self.cell.device)

    def shape(self) -> tuple[int, int, int, int]:
        return self.cell.batch, self.cell.channels, self.cell.height, self.cell.width

    def output_shape(self) -> tuple[int, ...]:
        return (self.cell.batch, IMAGENET_CLASSES) if self.cell.level == "model" else self.shape()

    def inputs(self, seed: int = 0) -> Tensor:
        """Return standard normal images (B, C, H, W). Zeros would be cheaper to multiply."""
        return self._noise(self.shape(), seed)

    def _noise(self, shape: tuple[int, ...], seed: int) -> Tensor:
        generator = torch.Generator(self.cell.device).manual_seed(self.cell.seed * 1000 + seed)
        return torch.randn(shape, generator=generator, device=self.cell.device)

    def step(self, module: Any, x: Tensor, cotangent: Tensor) -> Callable[[], CallResult]:
        """Return the measured call: a forward without gradient, or a forward and a backward with a fixed cotangent."""
        cast = autocast(self.cell)
        if self.cell.mode == "infer":

            def infer() -> CallResult:
                with torch.inference_mode(), cast():
                    return CallResult(module(x))

            return infer
        x.requires_grad_()
        inputs = [x, *(p for p in module.parameters() if p.requires_grad)]

        def train() -> CallResult:
            with cast():
                y = module(x)
            if not isinstance(y, Tensor) or y.shape != cotangent.shape:
                return CallResult(y)  # rejected by the validation
            gradients = torch.autograd.grad(y, inputs, cotangent.to(y.dtype), allow_unused=True)
            return CallResult(y.detach(), gradients)

        return train

    def step_on_new_input(self, seed: int = 0) -> Callable[[], CallResult]:
        """Return `step` of the module of the cell on new inputs."""
        x = self.inputs(seed)
        return self.step(self.module, x, self._noise(self.output_shape(), seed + 500) if self.cell.mode == "train" else x)

    def checked_step(self, seed: int = 0) -> Callable[[], CallResult]:
        """Return `step` on new inputs after one validated call. Raises `WrongResult` if the result is invalid."""
        return self._checked(seed)[0]

    def _checked(self, seed: int) -> tuple[Callable[[], CallResult], CallResult]:
        step = self.step_on_new_input(seed)
        return step, self.validated_call(step)

    @contextmanager
    def checked_for_drift(self, seed: int = 0) -> Iterator[Callable[[], CallResult]]:
        """Yield `checked_step`, and repeat its call at the end of the context.

        Raises `WrongResult` if the two outputs differ.
        """
        step, first = self._checked(seed)
        before = first.output.clone()  # an operator may return the same buffer in every call
        del first
        yield step
        after = self.validated_call(step)
        drift = float((after.output - before).abs().max() / before.abs().max().clamp_min(1e-30))
        if drift > DRIFT[self.cell.dtype]:
            raise WrongResult(f"output drifts: after timing it differs from the output before by {drift:.1e} of its largest value")

    def validated_call(self, step: Callable[[], CallResult]) -> CallResult:
        """Call once, with the same random numbers in each call, and return the result.

        Raises `WrongResult` if the type or shape is wrong or a value is not finite.
        """
        seed(self.cell)
        result = step()
        y, dtype = result.output, torch.bfloat16 if self.cell.dtype == "bf16" else torch.float32
        if not isinstance(y, Tensor) or y.dtype not in (dtype, torch.float32):
            raise WrongResult(f"output is {y.dtype if isinstance(y, Tensor) else type(y).__name__}, not {dtype}")
        if y.shape != self.output_shape():
            raise WrongResult(f"output has shape {tuple(y.shape)}, not {self.output_shape()} (input {self.shape()})")
        if not is_finite(y):
            raise WrongResult("output is not finite")
        if not all(is_finite(gradient) for gradient in result.gradients if gradient is not None):
            raise WrongResult("a gradient is not finite")
        return result


def is_finite(values: Tensor) -> bool:
    """Return whether all values are finite, in one pass."""
    real = torch.view_as_real(values) if values.is_complex() else values
    return not real.numel() or all(math.isfinite(extreme) for extreme in torch.stack(real.aminmax()).tolist())


def prepare(module: Any, mode: str) -> Any:
    """Set training mode, or inference mode with the kernels frozen if the method has a `freeze()`."""
    if mode == "train":
        return module.train()
    return hooks.freeze(module.eval())


def autocast(cell: Cell) -> Callable[[], AbstractContextManager[Any]]:
    """Return the context of the cell's precision: none for fp32, bfloat16 autocast for bf16."""
    if cell.dtype == "bf16":
        return lambda: torch.autocast(torch.device(cell.device).type, dtype=torch.bfloat16)
    return nullcontext


def operator(workload: Workload, backend: str | None = None) -> Any:
    """Build the operator on the meta device. It selects its code path as on the device of the cell, and convolves by `backend`."""
    module = workload.build("meta")
    hooks.set_target(module, torch.device(workload.cell.device).type)
    if backend:
        hooks.set_backend(module, backend)
    return module


def shapes(workload: Workload) -> tuple[Tensor, Tensor]:
    """Return an input and a cotangent of the output on the meta device."""
    return torch.empty(workload.shape(), device="meta"), torch.empty(workload.output_shape(), device="meta")
