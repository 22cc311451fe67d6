"""Official vectors with maps (B, H, W, C) or tokens (B, H * W, C): loading, comparison, and the block around a mixer."""

import torch
import torch.nn.functional as F

from methods.contract import relative_error


def state(vectors, prefix="param."):
    """Return the entries below a prefix as a state dict."""
    return {name.removeprefix(prefix): torch.from_numpy(vectors[name]) for name in vectors if name.startswith(prefix)}


def leaves(vectors, prefix="param."):
    """Return the state dict with `requires_grad` set."""
    return {name: tensor.clone().requires_grad_() for name, tensor in state(vectors, prefix).items()}


def maps(values, size):
    """Return official values as (B, C, H, W)."""
    values = torch.from_numpy(values)
    return values.reshape(values.shape[0], *size, values.shape[-1]).permute(0, 3, 1, 2)


def errors(forward, parameters, vectors, tag, size):
    """Return relative errors of output and gradients of `forward` (maps to maps), by official name.

    `parameters` maps official names to a tensor and its permutation to the official order (or None), which also applies to
    gradients.
    """
    x = maps(vectors[f"{tag}.x"], size).requires_grad_()
    y = forward(x)
    errors_by_name = {"y": relative_error(y, maps(vectors[f"{tag}.y"], size))}
    if f"{tag}.gy" not in vectors:
        return errors_by_name
    y.backward(maps(vectors[f"{tag}.gy"], size))
    errors_by_name["gx"] = relative_error(x.grad, maps(vectors[f"{tag}.gx"], size))
    stored = state(vectors, f"{tag}.grad.")
    assert stored.keys() == parameters.keys()
    for name, (tensor, axes) in parameters.items():
        grad = tensor.grad if axes is None else tensor.grad.permute(axes)
        errors_by_name[name] = relative_error(grad, stored[name])
    return errors_by_name


def norm(x, weight):
    """Apply the layer norm of these networks: no bias, eps 1e-6."""
    return F.layer_norm(x, weight.shape, weight, None, 1e-6)


def metaformer_block(x, mixer, p):
    """Apply MetaFormer's block to (B, H, W, C). The last two stages have residual scales."""
    first_scale, second_scale = p.get("res_scale1.scale", 1.0), p.get("res_scale2.scale", 1.0)
    x = first_scale * x + mixer(norm(x, p["norm1.weight"]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    hidden = F.linear(norm(x, p["norm2.weight"]), p["mlp.fc1.weight"])
    hidden = p["mlp.act.scale"] * F.relu(hidden).square() + p["mlp.act.bias"]
    return second_scale * x + F.linear(hidden, p["mlp.fc2.weight"])
