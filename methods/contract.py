"""What every method must keep, as checks that run on any registered method: the tests run them, and so does `bench check`.

A check is a function of a `Method` that raises AssertionError with the reason. A class may state two exceptions of its own:
`inert` (names of parameters whose gradient is zero by construction) and `not_exportable` (why `torch.export` cannot take it).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from methods import Method

CHANNELS = 16
SIZES = [(12, 12), (9, 9), (10, 7), (7, 16)]  # even, odd, non-square with odd width, non-square with odd height
KERNEL = 5  # for methods whose kernel size is free


def make(method: Method, size: tuple[int, int] = (12, 12), seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return method.build(CHANNELS, size, KERNEL if method.entry.needs_kernel else None)


def image(size: tuple[int, int], batch: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, CHANNELS, *size, generator=generator, dtype=torch.float64).to(dtype)


def distance(a: Tensor, b: Tensor) -> float:
    """Relative error: largest difference over largest value of b."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def shape(method: Method) -> None:
    """(B, C, H, W) -> (B, C, H, W), finite, built for even, odd and non-square maps."""
    for size in SIZES:
        x = image(size)
        y = make(method, size)(x)
        assert y.shape == x.shape, f"{tuple(x.shape)} became {tuple(y.shape)}"
        assert y.isfinite().all(), f"non-finite output at {size}"


def other_sizes(method: Method) -> None:
    """A map of another size than the one built for is filtered, or refused with ValueError."""
    module = make(method)
    for size in SIZES[1:]:
        try:
            assert module(image(size)).shape == image(size).shape
        except ValueError:
            continue


def gradients(method: Method) -> None:
    """Every parameter and the input receive a finite gradient that is not zero, in training mode."""
    module = make(method).train()
    x = image((12, 12)).requires_grad_()
    y = module(x)
    y.backward(image((12, 12)).flip(0) + 0.1)
    inert = getattr(module, "inert", ())
    for name, tensor in [("the input", x), *module.named_parameters()]:
        assert tensor.grad is not None, f"no gradient reaches {name}"
        assert tensor.grad.isfinite().all(), f"non-finite gradient of {name}"
        assert name in inert or tensor.grad.abs().sum() > 0, f"the gradient of {name} is zero"


def deterministic(method: Method) -> None:
    """The same seed gives the same weights and the same output, twice."""
    x = image((12, 12))
    first, second = make(method, seed=3).eval(), make(method, seed=3).eval()
    assert torch.equal(first(x), second(x)), "two builds under one seed differ"
    assert torch.equal(first(x), first(x)), "two calls of one module differ"


def batch_independent(method: Method) -> None:
    """In inference an image's result does not depend on its neighbours in the batch."""
    module, x = make(method).eval(), image((12, 12), batch=3)
    assert distance(module(x)[1:2], module(x[1:2])) < 1e-5


def float64(method: Method) -> None:
    """`.double()` computes in float64 and agrees with float32."""
    module, x = make(method).eval(), image((12, 12), dtype=torch.float64)
    single = module(x.float())
    double = module.double()(x)
    assert double.dtype == torch.float64, f"float64 became {double.dtype}"
    assert distance(single, double) < 1e-4, f"float32 is {distance(single, double):.1e} away from float64"


def autocast(method: Method) -> None:
    """Under bfloat16 autocast: bfloat16 out, gradients in float32, near the float32 result."""
    module, x = make(method).eval(), image((12, 12)).requires_grad_()
    reference = module(x).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16, f"autocast gave {y.dtype}"
    assert distance(y, reference) < 0.05, f"bfloat16 is {distance(y, reference):.1e} away"
    y.float().sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in module.parameters())


def copies(method: Method) -> None:
    """After a training forward, deepcopy and a state-dict round trip reproduce the module."""
    module, x = make(method), image((12, 12))
    module(x).sum().backward()
    module.eval()
    twin = copy.deepcopy(module)
    fresh = make(method, seed=9).eval()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(twin(x), module(x)), "a deepcopy differs"
    assert torch.equal(fresh(x), module(x)), "the state dict does not hold everything"


def meta(method: Method) -> None:
    """Built under the meta device it holds no memory and still gives shapes (FLOPs are counted so)."""
    with torch.device("meta"):
        module = method.build(CHANNELS, (12, 12), KERNEL if method.entry.needs_kernel else None)
        y = module(torch.empty(2, CHANNELS, 12, 12))
    assert y.shape == (2, CHANNELS, 12, 12)
    assert y.is_meta and all(p.is_meta for p in module.parameters())


def frozen(method: Method) -> None:
    """`freeze()` changes nothing but speed, follows a changed weight, and ends with `train()`."""
    module, x = make(method).eval(), image((12, 12))
    if not hasattr(module, "freeze"):
        return
    with torch.no_grad():
        expected = module(x)
        module.freeze()
        assert distance(module(x), expected) < 1e-5 and distance(module(x), expected) < 1e-5
        parameter = next(p for p in module.parameters() if p.numel() > 1)
        parameter.add_(torch.linspace(0.5, 1.5, parameter.numel()).view_as(parameter))
        changed = module(x)
        assert distance(changed, expected) > 1e-4, "a frozen module ignores a changed weight"
        assert distance(changed, module.train().eval()(x)) < 1e-5, "train() does not drop the frozen kernel"


def export(method: Method) -> None:
    """`torch.export` takes the module and the program computes the same, or the class states why not."""
    module, x = make(method).eval(), image((12, 12))
    if getattr(module, "not_exportable", ""):
        return
    program = torch.export.export(module, (x,))
    assert distance(program.module()(x), module(x)) < 1e-5


def declared_size(method: Method) -> None:
    """`kernel()` gives (C, K, K) or (C, C, K, K), real and without gradient surprises."""
    module = make(method)
    if hasattr(module, "kernel"):
        kernel = module.kernel()
        assert kernel.ndim in (3, 4) and kernel.shape[0] == CHANNELS, f"kernel() has shape {tuple(kernel.shape)}"
        assert not kernel.is_complex()


def cuda_untouched(method: Method) -> None:
    """Building and running on the CPU asks for no CUDA context, whether or not there is a GPU."""
    with patch("torch.cuda._lazy_init", side_effect=AssertionError("CUDA was asked for")):
        make(method)(image((12, 12)))


CHECKS: tuple[Callable[[Method], None], ...] = (
    shape,
    other_sizes,
    gradients,
    deterministic,
    batch_independent,
    float64,
    autocast,
    copies,
    meta,
    frozen,
    export,
    declared_size,
    cuda_untouched,
)


def check(method: Method) -> Iterator[tuple[str, str]]:
    """Run every check: (name, "" or the reason it fails)."""
    for one in CHECKS:
        try:
            one(method)
            yield one.__name__, ""
        except Exception as error:  # a check that raises anything is a check that fails, with that as its reason
            yield one.__name__, f"{type(error).__name__}: {error}"
