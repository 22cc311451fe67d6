"""NIFF against outputs, gradients, kernels and coordinates of the official implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from methods.contract import relative_error
from methods.niff import Niff
from methods.parts.niff_mlp import coordinates

# 1x1 layers and the ConvNeXt block have separate tests below
CASES = {
    "dw_small_c6_n8_b3": "depthwise",
    "dw_small_c6_n12_b2_weights_of_n8": "depthwise",
    "dw_small_c16_n14_b2": "depthwise",
    "dw_small_c4_n28_b1_kaiming": "depthwise",
    "dw_big_c8_n14_b2": "depthwise",
    "split_small_6to5_n12_b3": "split",
    "full_tiny_4to6_n10_b2": "full",
    "full_tiny_3to5_n9_b2": "full",
}
PRECISIONS = {"float32": (torch.float32, "", 1e-5), "float64": (torch.float64, "_f64", 1e-9)}


def tensor(array: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(array).to(dtype)


def named(files, start: str, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {key.removeprefix(start): tensor(value, dtype) for key, value in files.items() if key.startswith(start)}


def loaded(files, mode: str, state: dict[str, torch.Tensor], dtype: torch.dtype) -> Niff:
    """Build a module from weights, or gradients, by official names."""
    biases = [value for key, value in state.items() if "mlp_real" in key and key.endswith("bias")]
    hidden = tuple(len(bias) for bias in biases[:-1])
    module = Niff(files["x"].shape[1], files["x"].shape[2], hidden, mode, out_channels=files["y"].shape[1]).to(dtype)
    module.load_official(state)
    return module


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", CASES)
def test_official_vectors(vectors, case, precision):
    dtype, suffix, tolerance = PRECISIONS[precision]
    files = vectors(f"niff/{case}.npz")
    module = loaded(files, CASES[case], named(files, "w.", dtype), dtype)
    x = tensor(files["x"], dtype).requires_grad_()
    y = module(x)
    y.backward(tensor(files["grad_y"], dtype))
    assert relative_error(y, tensor(files[f"y{suffix}"], dtype)) < tolerance
    assert relative_error(x.grad, tensor(files[f"grad_x{suffix}"], dtype)) < tolerance
    gradients = named(files, f"g{suffix}.", dtype)
    if not gradients:  # not stored in float64 for modules of more than 3000 parameters
        return
    reference = loaded(files, CASES[case], gradients, dtype)
    for name, parameter in module.named_parameters():
        if name in module.inert:  # zero; a rounding error in the published code
            assert not parameter.grad.any()
        else:
            assert relative_error(parameter.grad, reference.get_parameter(name)) < tolerance, name


@pytest.mark.parametrize("case", [case for case, mode in CASES.items() if mode == "depthwise"])
def test_official_kernels(vectors, case):
    files = vectors(f"niff/{case}.npz")
    module = loaded(files, "depthwise", named(files, "w."), torch.float32)
    n = files["x"].shape[-1]
    assert relative_error(module.kernel(), tensor(files["kernel_eff"]).roll((n // 2, n // 2), (-2, -1))) < 1e-5


@pytest.mark.parametrize("case", ["dw_small_c6_n8_b3", "full_tiny_3to5_n9_b2"])
def test_official_coordinates(vectors, case):
    mask = tensor(vectors(f"niff/{case}.npz")["mask"])
    n = mask.shape[-1]
    shifted = coordinates(n, n, mask)[0].roll(n // 2)
    assert torch.equal(mask[0], shifted.expand(n, n))
    assert torch.equal(mask[1], shifted[:, None].expand(n, n))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", ["pw_small_6to10_n8_b2", "pw_big_convnext_6to24_n7_b2"])
def test_official_1x1_is_a_plain_convolution(vectors, case, precision):
    """The published 1x1 layers between two transforms equal convolutions without bias."""
    dtype, suffix, tolerance = PRECISIONS[precision]
    files = vectors(f"niff/{case}.npz")
    channels_last = case.startswith("pw_big")
    x = tensor(files["x"], dtype).requires_grad_()
    weight = tensor(files["w.mlp.weight"], dtype).requires_grad_()
    y = F.linear(x, weight) if channels_last else F.conv2d(x, weight[:, :, None, None])
    y.backward(tensor(files["grad_y"], dtype))
    assert relative_error(y, tensor(files[f"y{suffix}"], dtype)) < tolerance
    assert relative_error(x.grad, tensor(files[f"grad_x{suffix}"], dtype)) < tolerance
    assert relative_error(weight.grad, tensor(files[f"g{suffix}.mlp.weight"], dtype)) < tolerance


@pytest.mark.parametrize("precision", PRECISIONS)
def test_official_convnext_block(vectors, precision):
    dtype, suffix, tolerance = PRECISIONS[precision]
    files = vectors("niff/convnext_block_d8_n14_b2.npz")
    weights = {name: value.requires_grad_() for name, value in named(files, "w.", dtype).items() if "dwconv" not in name}
    filtering = loaded(files, "depthwise", named(files, "w.dwconv.", dtype), dtype)
    x = tensor(files["x"], dtype).requires_grad_()
    last = F.layer_norm(filtering(x).permute(0, 2, 3, 1), (8,), weights["norm.weight"], weights["norm.bias"], 1e-6)
    last = F.linear(F.gelu(F.linear(last, weights["pwconv1.mlp.weight"])), weights["pwconv2.mlp.weight"])
    y = x + (weights["gamma"] * last).permute(0, 3, 1, 2)
    y.backward(tensor(files["grad_y"], dtype))
    assert relative_error(y, tensor(files[f"y{suffix}"], dtype)) < tolerance
    assert relative_error(x.grad, tensor(files[f"grad_x{suffix}"], dtype)) < tolerance
    if precision == "float32":  # parameter gradients are not stored in float64
        reference = loaded(files, "depthwise", named(files, "g.dwconv."), dtype)
        for name, parameter in filtering.named_parameters():
            assert name in filtering.inert or relative_error(parameter.grad, reference.get_parameter(name)) < tolerance, name
        for name, value in weights.items():
            assert relative_error(value.grad, tensor(files[f"g.{name}"])) < tolerance, name
