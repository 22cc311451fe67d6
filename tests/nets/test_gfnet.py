"""GFNet against its equations on tokens, the official blocks and published sizes, and at other resolutions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench import nets
from bench.counters.flops import count
from bench.nets import published
from bench.nets.gfnet import CONFIGS, Block, Config, GFNet
from bench.nets.layers import load
from bench.nets.resolution import adapt, ways
from bench.training.optim import parameter_groups
from bench.workload.build import prepare
from methods.contract import relative_error
from tests.reference.channels_last import errors, state

PUBLISHED = nets.FAMILIES["gfnet"]
FVCORE_NORM = 5  # operations that fvcore counts per value of a layer norm
FLAT, PYRAMID = Config((16,), (2,), 8), Config((8, 12, 16), (1, 2, 1), 4, 0.5)
CONFIGS_OF = {"flat": FLAT, "pyramid": PYRAMID}


def meta(name):
    with torch.device("meta"):
        return nets.build(name, None, 1000, 3, (224, 224)).eval()


def small(config, size=(48, 40), drop_path=0.0, resize="native"):
    torch.manual_seed(0)
    return GFNet(config, 5, 3, size, drop_path, resize)


def image(size, batch=2, dtype=torch.float32):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    network, normed = meta(name), []
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_hook(lambda _, __, y: normed.append(y.numel()))
    with torch.inference_mode():
        macs = count(lambda: network(torch.empty(1, 3, 224, 224, device="meta"))).macs
    parameters = sum(parameter.numel() for parameter in network.parameters())
    entry = published.NETWORKS[name]
    assert published.matches(entry.params, parameters)
    assert published.matches(entry.gmacs, (macs + FVCORE_NORM * sum(normed)) / 1e9)


def official_state(config, size, dtype=torch.float64):
    """Return random weights with the names and shapes of the published code, for images of `size` in 3 channels, 5 classes."""
    shapes, channels, flat = {}, 3, len(config.widths) == 1
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths)):
        patch, at = 2 if stage else config.patch, "" if flat else f"{stage}."
        size = (size[0] // patch, size[1] // patch)
        shapes |= {f"patch_embed.{at}proj.weight": (width, channels, patch, patch), f"patch_embed.{at}proj.bias": (width,)}
        shapes |= {} if stage else {"pos_embed": (1, size[0] * size[1], width)}
        for block in range(depth):
            name = f"blocks.{at}{block}."
            shapes |= {name + norm: (width,) for norm in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")}
            shapes |= {name + "filter.complex_weight": (size[0], size[1] // 2 + 1, width, 2)}
            shapes |= {name + "mlp.fc1.weight": (4 * width, width), name + "mlp.fc1.bias": (4 * width,)}
            shapes |= {name + "mlp.fc2.weight": (width, 4 * width), name + "mlp.fc2.bias": (width,)}
            shapes |= {} if flat else {name + "gamma": (width,)}
        channels = width
    shapes |= {"norm.weight": (channels,), "norm.bias": (channels,), "head.weight": (5, channels), "head.bias": (5,)}
    generator = torch.Generator().manual_seed(2)
    return {name: 0.3 * torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def norm(tokens, p, name):
    return F.layer_norm(tokens, tokens.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-6)


def oracle(p, config, x):
    """Evaluate the equations of the paper on tokens (B, H, W, C), with the official weights `p`."""
    tokens, flat = x.permute(0, 2, 3, 1), len(config.widths) == 1
    for stage, depth in enumerate(config.depths):
        at, patch = "" if flat else f"{stage}.", 2 if stage else config.patch
        weight, bias = p[f"patch_embed.{at}proj.weight"], p[f"patch_embed.{at}proj.bias"]
        patches = tokens.unfold(1, patch, patch).unfold(2, patch, patch)  # (B, H, W, C, patch, patch)
        tokens = torch.einsum("bhwcij,ocij->bhwo", patches, weight) + bias
        tokens = tokens if stage else tokens + p["pos_embed"].view(1, *tokens.shape[1:])
        for block in range(depth):
            name = f"blocks.{at}{block}."
            spectrum = torch.fft.rfft2(norm(tokens, p, name + "norm1"), dim=(1, 2), norm="ortho")
            spectrum = spectrum * torch.view_as_complex(p[name + "filter.complex_weight"])
            filtered = torch.fft.irfft2(spectrum, s=tokens.shape[1:3], dim=(1, 2), norm="ortho")
            hidden = norm(filtered, p, name + "norm2") @ p[name + "mlp.fc1.weight"].T + p[name + "mlp.fc1.bias"]
            mixed = F.gelu(hidden) @ p[name + "mlp.fc2.weight"].T + p[name + "mlp.fc2.bias"]
            tokens = tokens + p.get(name + "gamma", 1.0) * mixed
    return norm(tokens, p, "norm").mean((1, 2)) @ p["head.weight"].T + p["head.bias"]


@pytest.mark.parametrize("config", CONFIGS_OF.values(), ids=CONFIGS_OF)
@pytest.mark.parametrize("size", [(48, 40), (36, 56), (35, 43)], ids=str)
def test_oracle(config, size):
    """Compare complete networks with official weights; pixels outside full patches are ignored."""
    p, x = official_state(config, size), image(size, dtype=torch.float64)
    network = small(config, size).double()
    network.load_official(p)
    assert relative_error(network(x), oracle(p, config, x)) < 1e-10
    with torch.inference_mode():
        assert relative_error(prepare(network, "infer")(x), oracle(p, config, x)) < 1e-10


@pytest.mark.parametrize("name", ["gfnet_block_7x7", "gfnet_block_layerscale_7x7"])
def test_official_block(vectors, name):
    data = vectors(f"dynamic_fft/{name}.npz")
    block = Block(16, (7, 7), "native", 1e-5 if "layerscale" in name else None, nn.Identity())
    load(block, state(data))
    parameters = {key: (tensor, None) for key, tensor in block.named_parameters()}
    parameters["filter.complex_weight"] = (parameters.pop("filter.weight")[0], (1, 2, 0, 3))
    assert max(errors(block, parameters, data, "native", (7, 7)).values()) < 1e-5


@pytest.mark.parametrize("config", CONFIGS_OF.values(), ids=CONFIGS_OF)
def test_official_names_are_checked(config):
    p = official_state(config, (48, 40))
    for name in (
        "pos_embed",
        "head.bias",
        *(key for key in p if "complex_weight" in key),
        *(key for key in p if "proj.bias" in key),
    ):
        with pytest.raises(KeyError, match=name.split(".")[-1]):
            small(config).load_official({key: value for key, value in p.items() if key != name})
    with pytest.raises(KeyError, match="cls_token"):
        small(config).load_official({**p, "cls_token": torch.zeros(1)})


@pytest.mark.parametrize("config", CONFIGS_OF.values(), ids=CONFIGS_OF)
def test_a_training_step(config):
    """Every parameter receives a finite, non-zero gradient."""
    network, x = small(config, (35, 42), drop_path=0.1), image((35, 42), batch=8)
    F.cross_entropy(network(x), torch.arange(8) % 5).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_initial_scales_are_small():
    starts = {name: getattr(meta(name).blocks[0][0].gamma, "shape", None) for name in PUBLISHED}
    assert {name for name, shape in starts.items() if shape is None} == {"gfnet_ti", "gfnet_xs", "gfnet_s", "gfnet_b"}
    assert [CONFIGS[name].scale for name in ("gfnet_h_ti", "gfnet_h_s", "gfnet_h_b")] == [1e-3, 1e-5, 1e-6]
    torch.testing.assert_close(small(PYRAMID).blocks[1][0].gamma.detach(), torch.full((12,), 0.5))


def test_another_resolution():
    """Another size raises ValueError unless a resize mode is selected, at construction or afterwards."""
    native, x = small(FLAT).eval(), image((64, 72))
    with pytest.raises(ValueError, match="position embedding of 6x5 does not fit a map of 8x9"):
        native(x)
    assert set(ways(native)) == {"bicubic", "pad_kernel", "pad_spectrum"}
    for way in ways(native):
        assert relative_error(adapt(native, way)(x), small(FLAT, resize=way).eval()(x)) < 1e-6


def test_the_position_embedding_is_interpolated():
    """Bicubic with pixels as areas, as in the published fine-tuning. The output at the trained size is unchanged."""
    native, x = small(FLAT).eval(), torch.zeros(1, 16, 8, 9)
    adapted = adapt(native, "pad_kernel")
    expected = F.interpolate(native.pos_embed.weight, (8, 9), mode="bicubic", align_corners=False)
    torch.testing.assert_close(adapted.pos_embed(x), expected)
    assert native.pos_embed.weight.shape == (1, 16, 6, 5)
    assert relative_error(adapted(image((48, 40))), native(image((48, 40)))) < 1e-6


def test_the_position_embedding_is_not_decayed():
    network = small(FLAT)
    decayed = [p for group in parameter_groups(network, 0.05) if group["weight_decay"] for p in group["params"]]
    assert not any(p is network.pos_embed.weight for p in decayed)
    assert any(p is network.blocks[0][0].filter.weight for p in decayed)


def test_images_that_are_too_small():
    with pytest.raises(ValueError, match="12x16 are too small for patches of 16x16"):
        nets.build("gfnet_ti", None, 10, 3, (12, 16))
