"""Costs of ATen operations: those of `formulas`, element-wise operations, reductions, normalisations, and free ones.

Real additions and multiplications count 1 each, and so do comparisons that select a value (relu, maximum). Evaluations of
transcendental functions and roots are counted in a separate column. Moving, casting, filling, random sampling and sorting are free.
The work that a normalisation does once per channel or row is ignored. A new operation is one entry in one of the tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench.counters.formulas import LINEAR_AND_FFT, Call, Count, Formula


def _is_complex(value: Any) -> bool:
    return value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)


def _first(call: Call) -> int:
    """Return the number of elements of the first argument: the input, or in a backward the gradient of the output."""
    return int(call.args[0].numel())


def _output(call: Call) -> int:
    """Return the number of elements of the first result."""
    return next(leaf.numel() for leaf in tree_leaves(call.out) if isinstance(leaf, Tensor))


def _larger(call: Call) -> int:
    """Return the larger number of elements of the first argument (in a reduction) and of the result (otherwise)."""
    return max(_first(call), _output(call))


def _mul(call: Call) -> Count:
    """Count a multiplication. A complex product of two maps is `product`; scaling by a number is element-wise."""
    factors, size = call.args[:2], call.out.numel()
    if not call.out.is_complex():
        return Count(elementwise=size)
    flops = size * (6 if all(_is_complex(factor) for factor in factors) else 2)
    maps = all(isinstance(factor, Tensor) and factor.ndim for factor in factors)
    return Count(product=flops) if maps else Count(elementwise=flops)


def _div(call: Call) -> Count:
    """Count a division. Complex by complex is 11: a product with the conjugate 6, its squared modulus 3, two divisions."""
    each = 1
    if call.out.is_complex():
        each = 11 if _is_complex(call.args[1]) else 2
    return Count(elementwise=each * call.out.numel())


_PRODUCTS: dict[float, int] = {0: 0, 1: 0, 2: 1, 3: 2, -1: 1, -2: 2}  # by exponent


def _pow(call: Call) -> Count | None:
    """Count a power. Small integer exponents are products, any other is a transcendental evaluation."""
    base, exponent = call.args[:2]
    if _is_complex(base) or _is_complex(exponent):
        return None
    products = _PRODUCTS.get(exponent) if isinstance(exponent, int | float) else None
    size = call.out.numel()
    return Count(sfu=size) if products is None else Count(elementwise=products * size)


def _per(size: Callable[[Call], int], flops: int, sfu: int = 0) -> Formula:
    """Return a formula with `flops` and `sfu` per element of `size`."""
    return lambda call: Count(elementwise=flops * size(call), sfu=sfu * size(call))


def _pool(window: int, size: Callable[[Call], int]) -> Formula:
    """Return a formula with one operation per element of `size` and pixel of the window, which is argument `window`."""

    def formula(call: Call) -> Count:
        sides = call.args[window]
        return Count(elementwise=size(call) * (sides[0] ** 2 if len(sides) == 1 else math.prod(sides)))

    return formula


def _batch_norm(call: Call) -> Count:
    """Count 5 per element with batch statistics (sum, sum of squares, scale, shift), 2 with running ones, as fvcore does."""
    return Count(elementwise=(5 if call.args[5] else 2) * _first(call))


def _batch_norm_backward(call: Call) -> Count:
    """Count 9 per element: normalised input 2, its two sums 3, gradient 4. With running statistics the gradient is 1 product."""
    return Count(elementwise=(9 if call.args[7] else 6) * _first(call))


def _accumulate(source: int, flag: int | None = None) -> Formula:
    """Return a formula with one addition per element of argument `source`, if argument `flag` is True. False may be absent."""

    def formula(call: Call) -> Count:
        adds = flag is None or (len(call.args) > flag and call.args[flag])
        values = call.args[source]
        return Count(elementwise=values.numel() * (1 + values.is_complex()) if adds else 0)

    return formula


_SAMPLE = {0: 8, 1: 0, 2: 32}  # bilinear, nearest, bicubic: 2 for each of 4, 0, 16 pixels


def _grid_sample(call: Call) -> Count:
    """Count the interpolation. The coordinates, which all channels share, are ignored."""
    return Count(elementwise=_SAMPLE[call.args[2]] * call.out.numel())


def _grid_sample_backward(call: Call) -> Count:
    """Count the cost of the forward for the input and for each of the two coordinates of the grid."""
    for_input, for_grid = call.args[6]
    return Count(elementwise=(for_input + 2 * for_grid) * _SAMPLE[call.args[3]] * _first(call))


# (real operations, transcendental evaluations) per element of a real result.
REAL: dict[str, tuple[int, int]] = {
    **dict.fromkeys(
        ("add", "sub", "rsub", "neg", "abs", "sign", "sgn", "reciprocal", "square", "maximum", "minimum", "where"), (1, 0)
    ),
    **dict.fromkeys(("fmax", "fmin", "relu", "relu6", "threshold", "hardtanh", "clamp", "clamp_min", "clamp_max"), (1, 0)),
    **dict.fromkeys(("leaky_relu", "_prelu_kernel", "round", "floor", "ceil", "trunc", "frac", "fmod", "remainder"), (1, 0)),
    **dict.fromkeys(("threshold_backward", "hardtanh_backward", "leaky_relu_backward", "nan_to_num", "floor_divide"), (1, 0)),
    **dict.fromkeys(("softshrink", "softshrink_backward", "hardshrink", "hardshrink_backward"), (1, 0)),
    **dict.fromkeys(("addcmul", "addcdiv", "native_dropout", "native_dropout_backward", "_prelu_kernel_backward"), (2, 0)),
    **dict.fromkeys(("lerp", "hardsigmoid", "sigmoid_backward", "tanh_backward", "hardsigmoid_backward"), (3, 0)),
    **dict.fromkeys(("hardswish", "hardswish_backward", "_softmax_backward_data"), (4, 0)),
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "erf", "erfc", "erfinv"), (0, 1)),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "sigmoid"), (0, 1)),
    **dict.fromkeys(("silu", "glu", "elu", "softplus", "xlogy"), (1, 1)),
    **dict.fromkeys(("sinc", "logit", "elu_backward", "softplus_backward", "log_sigmoid_forward"), (2, 1)),
    **dict.fromkeys(("hypot", "logaddexp", "glu_backward", "log_sigmoid_backward", "_log_softmax_backward_data"), (3, 1)),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax"), (4, 1)),  # maximum, difference, sum, quotient
    "silu_backward": (5, 1),  # g s (1 + x (1 - s))
    "mish": (1, 3),
    "mish_backward": (6, 3),
    "gelu": (4, 1),  # x / 2 (1 + erf(x / sqrt 2))
    "gelu_backward": (9, 2),  # distribution 3, density 3, both together 3
}

# The same per element of a complex argument or result.
COMPLEX: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("add", "sub", "rsub", "neg", "where", "sum", "mean", "cumsum"), (2, 0)),
    "linalg_vector_norm": (4, 0),
    "abs": (3, 1),
    "sgn": (5, 1),
    "angle": (0, 1),
    "exp": (2, 3),
    "polar": (2, 2),
}

# Real operations per element of the first argument.
REDUCTIONS: dict[str, int] = {
    **dict.fromkeys(("sum", "nansum", "mean", "prod", "amax", "amin", "max", "min", "median", "cumsum", "cumprod"), 1),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_max_pool2d", "col2im", "unfold_backward", "embedding_dense_backward"), 1),
    **dict.fromkeys(("max_pool2d_with_indices_backward", "adaptive_max_pool2d_backward", "upsample_nearest2d_backward"), 1),
    **dict.fromkeys(("reflection_pad2d_backward", "replication_pad2d_backward", "_upsample_nearest_exact2d_backward"), 1),
    **dict.fromkeys(("aminmax", "linalg_vector_norm", "norm"), 2),
    **dict.fromkeys(("var", "std", "var_mean", "std_mean", "_weight_norm_interface"), 3),
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), 5),
    **dict.fromkeys(("native_layer_norm_backward", "native_group_norm_backward", "_fused_rms_norm_backward"), 9),
    "_fused_rms_norm": 4,
    "_weight_norm_interface_backward": 6,
    "upsample_linear1d_backward": 4,
    "upsample_bilinear2d_backward": 8,
    "upsample_trilinear3d_backward": 16,
    "upsample_bicubic2d_backward": 32,
}

FORMULAS: dict[str, Formula] = {
    **LINEAR_AND_FFT,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "logsumexp": _per(_first, 3, 1),
    "max_pool2d_with_indices": _pool(1, _output),
    "avg_pool2d": _pool(1, _output),
    "avg_pool2d_backward": _pool(2, _first),
    "_adaptive_avg_pool2d_backward": _per(_output, 1),
    "upsample_linear1d": _per(_output, 4),  # 2 for each of 2, 4, 8 or 16 pixels
    "upsample_bilinear2d": _per(_output, 8),
    "upsample_trilinear3d": _per(_output, 16),
    "upsample_bicubic2d": _per(_output, 32),
    "grid_sampler_2d": _grid_sample,
    "grid_sampler_2d_backward": _grid_sample_backward,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _per(_first, 2),
    "native_batch_norm_backward": _batch_norm_backward,
    **dict.fromkeys(("index_put", "_unsafe_index_put", "_index_put_impl", "put"), _accumulate(2, 3)),
    **dict.fromkeys(("index_add", "scatter_add", "scatter_reduce"), _accumulate(3)),
}

FREE_NAMES = """
    alias clone copy contiguous to _to_copy lift_fresh detach resolve_conj resolve_neg conj_physical complex _unsafe_view
    slice_scatter select_scatter as_strided_scatter diagonal_scatter slice_backward select_backward diagonal_backward
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d roll flip cat stack repeat tile
    unsafe_split unsafe_split_with_sizes unsafe_chunk
    index _unsafe_index index_select index_copy index_fill gather take scatter masked_fill masked_scatter masked_select embedding
    sort topk tril triu diag_embed im2col pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d
    empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like new_zeros zero ones ones_like new_ones full
    full_like new_full fill scalar_tensor arange linspace logspace eye fft_fftfreq fft_rfftfreq
    rand rand_like randn randn_like normal uniform bernoulli exponential
"""
ALLOCATING = frozenset(("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"))
FREE = frozenset(FREE_NAMES.split())
KNOWN = FREE.union(FORMULAS, REAL, COMPLEX, REDUCTIONS)


def cost(name: str, call: Call) -> Count | None:
    """Return the cost of an operation by its `flops.operation_name`, or None if no table has it with these arguments."""
    if name in FREE:
        return Count()
    if name in FORMULAS:
        return FORMULAS[name](call)
    if any(_is_complex(leaf) for leaf in tree_leaves((call.args, call.out))):
        return _per(_larger, *COMPLEX[name])(call) if name in COMPLEX else None
    if name in REAL:
        return _per(_output, *REAL[name])(call)
    return _per(_first, REDUCTIONS[name])(call) if name in REDUCTIONS else None
