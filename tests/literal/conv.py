"""Convolutions as large-kernel networks call them: those of torch, in NCHW."""

from __future__ import annotations

from torch import Tensor, nn

from methods.conv import Conv, DepthwiseConv


def literal(module: Conv | DepthwiseConv, x: Tensor) -> Tensor:
    """Call `nn.functional.conv2d` once, for all kernel sizes.

    Differences from ours: always the direct sum over all K * K taps; ours uses FFTs for large depthwise kernels on a CPU.
    """
    weight, bias = (module.conv.weight, module.conv.bias) if isinstance(module, Conv) else (module.weight, module.bias)
    kh, kw = weight.shape[-2:]
    return nn.functional.conv2d(x.contiguous(), weight, bias, padding=(kh // 2, kw // 2), groups=x.shape[1] // weight.shape[1])
