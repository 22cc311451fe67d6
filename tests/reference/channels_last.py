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

    `parameters` maps official names to a tensor and the axes that bring it, and so its gradient, into the official order (or None).
    """
    x = maps(vectors[f"{tag}.x"], size).requires_grad_()
    y = forward(x)
    found = {"y": relative_error(y, maps(vectors[f"{tag}.y"], size))}
    if f"{tag}.gy" not in vectors:
        return found
    y.backward(maps(vectors[f"{tag}.gy"], size))
    found["gx"] = relative_error(x.grad, maps(vectors[f"{tag}.gx"], size))
    stored = state(vectors, f"{tag}.grad.")
    assert stored.keys() == parameters.keys()
    for name, (tensor, axes) in parameters.items():
        grad = tensor.grad if axes is None else tensor.grad.permute(axes)
        found[name] = relative_error(grad, stored[name])
    return found


def norm(x, weight):
    """Apply the layer norm of these networks: no bias, eps 1e-6."""
    return F.layer_norm(x, weight.shape, weight, None, 1e-6)


def metaformer_block(x, mixer, p):
    """Apply MetaFormer's block to (B, H, W, C). The last two stages have residual scales."""
    one, two = p.get("res_scale1.scale", 1.0), p.get("res_scale2.scale", 1.0)
    x = one * x + mixer(norm(x, p["norm1.weight"]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    hidden = F.linear(norm(x, p["norm2.weight"]), p["mlp.fc1.weight"])
    hidden = p["mlp.act.scale"] * F.relu(hidden).square() + p["mlp.act.bias"]
    return two * x + F.linear(hidden, p["mlp.fc2.weight"])
