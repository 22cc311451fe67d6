"""Requirements that every registered method must satisfy. The tests and `bench check` run them.

A check is a function of a `Method` that raises AssertionError with the reason. The hooks `inert` and `not_exportable` declare
exceptions (see `hooks`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from methods import Method
from methods.hook_types import mistakes
from methods.hooks import can_freeze, inert_of, kernel_of, not_exportable_of

CHANNELS = 16
SIZES = [(12, 12), (9, 9), (10, 7), (7, 16)]  # even, odd, non-square with odd width, non-square with odd height
KERNEL = 5  # for methods that require a kernel size


def make(method: Method, size: tuple[int, int] = (12, 12), seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return method.build(CHANNELS, size, KERNEL if method.entry.needs_kernel else None)


def image(size: tuple[int, int], batch: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, CHANNELS, *size, generator=generator, dtype=torch.float64).to(dtype)


def relative_error(a: Tensor, b: Tensor) -> float:
    """Return max |a - b| / max |b|."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))


def shape(method: Method) -> None:
    """Check that the output has the shape of the input and finite values, for even, odd and non-square maps."""
    for size in SIZES:
        x = image(size)
        y = make(method, size)(x)
        assert y.shape == x.shape, f"input of shape {tuple(x.shape)}, output of shape {tuple(y.shape)}"
        assert y.isfinite().all(), f"non-finite output at {size}"


def other_sizes(method: Method) -> None:
    """Check that a map of another size than built for is processed or raises ValueError."""
    module = make(method)
    for size in SIZES[1:]:
        try:
            assert module(image(size)).shape == image(size).shape
        except ValueError:
            continue


def gradients(method: Method) -> None:
    """Check that the input and every parameter receive a finite, non-zero gradient in training mode."""
    module = make(method).train()
    x = image((12, 12)).requires_grad_()
    y = module(x)
    y.backward(image((12, 12)).flip(0) + 0.1)
    inert = inert_of(module)
    for name, tensor in [("the input", x), *module.named_parameters()]:
        assert tensor.grad is not None, f"no gradient reaches {name}"
        assert tensor.grad.isfinite().all(), f"non-finite gradient of {name}"
        assert name in inert or tensor.grad.abs().sum() > 0, f"the gradient of {name} is zero"


def deterministic(method: Method) -> None:
    """Check that two builds with one seed, and two calls of one module, give the same output."""
    x = image((12, 12))
    first, second = make(method, seed=3).eval(), make(method, seed=3).eval()
    assert torch.equal(first(x), second(x)), "two builds with the same seed give different outputs"
    assert torch.equal(first(x), first(x)), "two calls of the same module give different outputs"


def batch_independent(method: Method) -> None:
    """Check that in inference the output of an image does not depend on the rest of the batch."""
    module, x = make(method).eval(), image((12, 12), batch=3)
    assert relative_error(module(x)[1:2], module(x[1:2])) < 1e-5


def float64(method: Method) -> None:
    """Check that `.double()` computes in float64 and agrees with float32."""
    module, x = make(method).eval(), image((12, 12), dtype=torch.float64)
    single = module(x.float())
    double = module.double()(x)
    assert double.dtype == torch.float64, f"the output of the float64 module is {double.dtype}"
    assert relative_error(single, double) < 1e-4, f"the relative error of float32 is {relative_error(single, double):.1e}"


def autocast(method: Method) -> None:
    """Check that bfloat16 autocast gives bfloat16 outputs close to float32, and float32 gradients."""
    module, x = make(method).eval(), image((12, 12)).requires_grad_()
    reference = module(x).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16, f"the output under autocast is {y.dtype}"
    assert relative_error(y, reference) < 0.05, f"the relative error of bfloat16 is {relative_error(y, reference):.1e}"
    y.float().sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in module.parameters())


def copies(method: Method) -> None:
    """Check that deepcopy and a state-dict round trip reproduce the module after a training step."""
    module, x = make(method), image((12, 12))
    module(x).sum().backward()
    module.eval()
    twin = copy.deepcopy(module)
    fresh = make(method, seed=9).eval()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(twin(x), module(x)), "the output of a deepcopy differs"
    assert torch.equal(fresh(x), module(x)), "the output after loading the state dict differs"


def meta(method: Method) -> None:
    """Check that the module can be built and called on the meta device, where FLOPs are counted."""
    with torch.device("meta"):
        module = method.build(CHANNELS, (12, 12), KERNEL if method.entry.needs_kernel else None)
        y = module(torch.empty(2, CHANNELS, 12, 12))
    assert y.shape == (2, CHANNELS, 12, 12)
    assert y.is_meta and all(p.is_meta for p in module.parameters())


def frozen(method: Method) -> None:
    """Check that `freeze()` preserves the output, follows changed weights, and is undone by `train()`."""
    module, x = make(method).eval(), image((12, 12))
    if not can_freeze(module):
        return
    with torch.no_grad():
        expected = module(x)
        module.freeze()
        assert relative_error(module(x), expected) < 1e-5 and relative_error(module(x), expected) < 1e-5
        parameter = next(p for p in module.parameters() if p.numel() > 1)
        parameter.add_(torch.linspace(0.5, 1.5, parameter.numel()).view_as(parameter))
        changed = module(x)
        assert relative_error(changed, expected) > 1e-4, "the output of a frozen module does not follow a changed weight"
        assert relative_error(changed, module.train().eval()(x)) < 1e-5, "train() does not drop the frozen kernel"


def export(method: Method) -> None:
    """Check that `torch.export` reproduces the output, unless the class declares `not_exportable`."""
    module, x = make(method).eval(), image((12, 12))
    if not_exportable_of(module):
        return
    program = torch.export.export(module, (x,))
    assert relative_error(program.module()(x), module(x)) < 1e-5


def declared_size(method: Method) -> None:
    """Check that `kernel()`, if defined, is real and of shape (C, Kh, Kw) or (C, C, Kh, Kw)."""
    module = make(method)
    kernel = kernel_of(module)
    if kernel is not None:
        assert kernel.ndim in (3, 4) and kernel.shape[0] == CHANNELS, f"kernel() has shape {tuple(kernel.shape)}"
        assert not kernel.is_complex()


def hooks(method: Method) -> None:
    """Check that every hook has its type, that none is misspelt, and that `ways` and `at_resolution` are defined together."""
    wrong = mistakes(make(method))
    assert not wrong, "; ".join(wrong)


def cuda_untouched(method: Method) -> None:
    """Check that building and running on the CPU does not initialise CUDA."""
    with patch("torch.cuda._lazy_init", side_effect=AssertionError("CUDA was initialised")):
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
    hooks,
    cuda_untouched,
)


def check(method: Method) -> Iterator[tuple[str, str]]:
    """Run every check. Yield its name and the reason of a failure, empty if it passes."""
    for requirement in CHECKS:
        try:
            requirement(method)
            yield requirement.__name__, ""
        except Exception as error:  # any exception is a failure of the check
            yield requirement.__name__, f"{type(error).__name__}: {error}"
