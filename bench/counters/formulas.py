"""Costs of convolutions, matrix products and Fourier transforms. All other operations are in `aten`.

Convention: a real addition or multiplication is 1 and a multiply-add is 2. A complex product is 6, complex times real is 2 and a
complex addition is 2, so a complex multiply-add is 8. Transforms are counted as in `methods.parts.cost`. The taps of a convolution
in the zero padding are counted, as in other counters; `Count.inside` excludes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from methods.parts.cost import rfft2_flops


@dataclass(frozen=True)
class Count:
    """Numbers of real operations by kind, and numbers that are reported separately."""

    linear: int = 0  # convolutions and matrix products
    fft: int = 0
    product: int = 0  # complex products of two maps
    elementwise: int = 0  # everything else
    sfu: int = 0  # evaluations of transcendental functions and roots: not part of any sum
    inside: int = 0  # the share of `linear` whose taps lie inside the map
    macs: int = 0  # multiply-adds behind `linear`, a complex one counted once
    operators: int = field(default=0, compare=False)  # executed operations: see op_count in `bench.metrics.flops`

    def __add__(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(astuple(self), astuple(other))))

    @property
    def structural(self) -> int:
        """The operations that the closed forms of the methods count."""
        return self.linear + self.fft + self.product

    @property
    def flops(self) -> int:
        return self.structural + self.elementwise

    @property
    def effective(self) -> int:
        """`flops` without the taps in the zero padding."""
        return self.flops - self.linear + self.inside


class Call(NamedTuple):
    """An executed operation."""

    args: Sequence[Any]
    out: Any


Formula = Callable[[Call], Count | None]  # None: not supported for these arguments


def _linear(macs: int, inside: int, like: Tensor, adds: int = 0) -> Count:
    each = 8 if like.is_complex() else 2
    return Count(linear=each * macs, inside=each * inside, macs=macs, elementwise=adds * (2 if like.is_complex() else 1))


def _matmul(index: int) -> Formula:
    """Return the formula of a matrix product whose left factor is argument `index`. An argument before it is added."""

    def formula(call: Call) -> Count:
        left = call.args[index]
        macs = call.out.numel() * left.shape[-1]
        return _linear(macs, macs, left, call.out.numel() * index)

    return formula


def taps_inside(size: int, out: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Count the pairs (output pixel, tap) of one axis, out of `out * kernel`, that read a pixel inside the map."""
    total = 0
    for tap in range(kernel):
        shift = tap * dilation - padding  # the tap reads pixel out * stride + shift
        first, last = max(0, -(shift // stride)), min(out - 1, (size - 1 - shift) // stride)
        total += max(0, last - first + 1)
    return total


def _convolution_macs(x: Sequence[int], weight: Sequence[int], out: Sequence[int], settings: Sequence[Any]) -> tuple[int, int]:
    """Return the multiply-adds, in total and inside the map. `settings`: stride, padding, dilation, transposed, ..."""
    if settings[3]:  # a transposed convolution swaps input and output
        x, out = out, x
    axes = range(len(weight) - 2)
    stride, padding, dilation = (list(value) * len(axes) if len(value) == 1 else value for value in settings[:3])
    pairs = [out[2 + i] * weight[2 + i] for i in axes]
    inside = [taps_inside(x[2 + i], out[2 + i], weight[2 + i], stride[i], padding[i], dilation[i]) for i in axes]
    channels = out[0] * out[1] * weight[1]
    return channels * math.prod(pairs), channels * math.prod(inside)


def _convolution(call: Call) -> Count:
    x, weight, bias, *settings = call.args
    macs, inside = _convolution_macs(x.shape, weight.shape, call.out.shape, settings)
    return _linear(macs, inside, weight, 0 if bias is None else call.out.numel())


def _convolution_backward(call: Call) -> Count:
    """Count the multiply-adds of the forward once for the gradient of the input and once for that of the weight, if requested."""
    grad, x, weight, _, *settings = call.args
    for_input, for_weight, for_bias = settings[-1]
    macs, inside = _convolution_macs(x.shape, weight.shape, grad.shape, settings)
    times = for_input + for_weight
    return _linear(times * macs, times * inside, weight, grad.numel() * for_bias)


def _attention(first: int, key_products: int, value_products: int, flops: int) -> Formula:
    """Return the formula of a fused softmax(Q K^T) V, with Q, K, V from argument `first` on.

    `key_products` and `value_products` are the numbers of matrix products as wide as the keys and the values. Each score costs
    `flops` operations and an exponential. Masks are ignored.
    """

    def formula(call: Call) -> Count:
        query, key, value = call.args[first : first + 3]
        scores = query.shape[:-1].numel() * key.shape[-2]
        macs = scores * (key_products * query.shape[-1] + value_products * value.shape[-1])
        return _linear(macs, macs, query) + Count(elementwise=flops * scores, sfu=scores)

    return formula


def _real_fft(sizes: Sequence[int]) -> int:
    """Count one real transform, forward or inverse: over the last axis a real one, over the others one of the half spectrum."""
    if len(sizes) == 2:
        return rfft2_flops(sizes[0], sizes[1])
    *others, last = sizes
    half = math.prod(others) * (last // 2 + 1)
    return round(2.5 * math.prod(sizes) * math.log2(last) + sum(5 * half * math.log2(n) for n in others))


def _complex_fft(sizes: Sequence[int]) -> int:
    return round(5 * math.prod(sizes) * sum(math.log2(n) for n in sizes))


def _transforms(cost: Callable[[Sequence[int]], int], pixels: Callable[[Call], Tensor]) -> Formula:
    """Return the formula of a batch of transforms. `pixels` returns the real tensor, or either one if both are complex."""

    def formula(call: Call) -> Count:
        tensor = pixels(call)
        sizes = [tensor.shape[axis] for axis in call.args[1]]
        return Count(fft=tensor.numel() // math.prod(sizes) * cost(sizes))

    return formula


_FUSED = ("flash_attention", "flash_attention_for_cpu", "efficient_attention")

LINEAR_AND_FFT: dict[str, Formula] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot"), _matmul(0)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _matmul(1)),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    "convolution_backward": _convolution_backward,
    **{f"_scaled_dot_product_{kind}": _attention(0, 1, 1, 5) for kind in _FUSED},  # scale 1, softmax 4
    **{
        f"_scaled_dot_product_{kind}_backward": _attention(1, 3, 2, 7) for kind in _FUSED
    },  # scale 2, recomputed weights 1, softmax 4
    "_fft_r2c": _transforms(_real_fft, lambda call: call.args[0]),
    "_fft_c2r": _transforms(_real_fft, lambda call: call.out),
    "_fft_c2c": _transforms(_complex_fft, lambda call: call.out),
}
