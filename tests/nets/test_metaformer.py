"""DFFormer, CDFFormer and GFFormer against the official networks and published sizes, and on images of any size."""

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench import nets
from bench.counters.flops import count
from bench.nets import published
from bench.nets.layers import ChannelNorm, drop_paths, load
from bench.nets.metaformer import Block, MetaFormer, Stage
from bench.nets.resolution import adapt, ways
from bench.nets.token_mixers import ExpandedMixer, depthwise, mixers
from bench.workload.build import prepare
from methods.afno import AFNO
from methods.contract import relative_error
from methods.dynamic_filter import OFFICIAL, DynamicFilter
from methods.global_filter import GlobalFilter
from tests.literal import afno, dynamic_filter, global_filter
from tests.reference.channels_last import errors, maps, state

PUBLISHED = nets.FAMILIES["metaformer"]
KINDS = ["dfformer", "dfformer_k2", "dfformer_d8", "dfformer_afno", "cdfformer", "gfformer"]
WIDTHS, DEPTHS = (8, 16, 24, 32), (1, 1, 2, 1)


def meta(name, res=224):
    with torch.device("meta"):
        return nets.build(name, None, 1000, 3, (res, res)).eval()


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def small(kind="dfformer", size=(64, 96), resize="native", drop_path=0.0, widths=WIDTHS):
    torch.manual_seed(0)
    return MetaFormer(list(map(Stage, mixers(kind, resize), widths, DEPTHS)), 10, 3, size, drop_path)


def image(size, batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def error(ours, reference):
    """Return the relative error in the 2-norm."""
    reference = torch.from_numpy(reference)
    return float((ours - reference).norm() / reference.norm())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name, monkeypatch):
    """Multiply-adds are counted in the published order of the filter; ours applies W_2 to the spectrum, which is larger."""
    for module, form in ((DynamicFilter, dynamic_filter), (GlobalFilter, global_filter), (AFNO, afno)):
        monkeypatch.setattr(module, "forward", form.literal)
    network = meta(name)
    with torch.inference_mode():
        macs = count(lambda: network(torch.empty(1, 3, 224, 224, device="meta"))).macs
    entry = published.NETWORKS[name]
    assert published.matches(entry.params, parameters(network))
    assert published.matches(entry.gmacs, macs / 1e9)


@pytest.mark.parametrize(("res", "millions"), [(448, 30.49), (672, 30.77), (1024, 31.42)])
def test_filters_grow_with_the_resolution(res, millions):
    assert round(parameters(meta("dfformer_s18", res)) / 1e6, 2) == millions


def filled(names):
    """Return weights by the rule of the reference logits."""
    weights = {}
    for i, (name, shape) in enumerate(names):
        v = np.random.RandomState(1000 + i).standard_normal(int(np.prod(shape))).reshape(shape)
        if len(shape) == 1:
            v = 1 + 0.1 * v if name.endswith(("weight", "scale")) else 0.05 * v
        else:
            v = 0.5 * v if name.endswith("complex_weights") else v * np.sqrt(1 / np.prod(shape[1:]))
        weights[name] = torch.from_numpy(v.astype(np.float32))
    return weights


@pytest.mark.parametrize("name", ["dfformer_s18", "cdfformer_s18", "gfformer_s18"])
def test_official_logits(vectors, name):
    """Two images of 224 x 224. Conjugating one filter of the last stage would change the logits by 1.8e-2."""
    data = vectors("dynamic_fft/s18_rsfill_224.npz")
    names = json.loads((Path(os.environ["LKB_REFERENCE"]) / f"dynamic_fft/{name}_keys.json").read_text())
    network = meta(name).to_empty(device="cpu")
    network.load_official(filled(names))
    pixels = np.random.RandomState(7).standard_normal(2 * 3 * 224 * 224).astype(np.float32)
    with torch.inference_mode():
        features = network.features(torch.from_numpy(pixels).view(2, 3, 224, 224))
        logits = network.head(features)
    assert error(features, data[f"{name}.features"]) < 1e-5
    assert error(logits, data[f"{name}.logits"]) < 1e-5


def test_official_small_network(vectors):
    data = vectors("dynamic_fft/tiny_dfformer_64x96.npz")
    network = small()
    network.load_official(state(data))
    x = torch.from_numpy(data["n.x"])
    assert relative_error(network(x), torch.from_numpy(data["n.y"])) < 1e-5
    for i, (down, stage) in enumerate(zip(network.downsample_layers, network.stages)):
        x = down(x)
        assert relative_error(x, maps(data[f"down{i}"], x.shape[2:])) < 1e-5
        x = stage(x)
        assert relative_error(x, maps(data[f"stage{i}"], x.shape[2:])) < 1e-5


def official(module, renamed):
    """Map official names to parameters and the permutation of a spectrum (N, H, W//2+1, 2) to the official order."""
    named = {own: official for official, own in renamed.items()}
    spectra = {name: (1, 2, 0, 3) for name, p in module.named_parameters() if p.ndim == 4 and p.shape[-1] == 2}
    return {named.get(name, name): (p, spectra.get(name)) for name, p in module.named_parameters()}


@pytest.mark.parametrize(
    ("name", "operator", "tags", "renamed"),
    [
        ("sepconv7", depthwise, {"n14": (14, 14), "n9x13": (9, 13)}, {"dwconv.weight": "operator.weight"}),
        ("gfformer_globalfilter_14x14", GlobalFilter, {"native": (14, 14)}, {"complex_weights": "operator.weight"}),
        (
            "afno2d_dfformer_14x14",
            partial(AFNO, blocks=4),
            {"native": (14, 14)},
            {name: f"operator.{name}" for name in ("w1", "b1", "w2", "b2")},
        ),
    ],
)
def test_official_mixers(vectors, name, operator, tags, renamed):
    data = vectors(f"dynamic_fft/{name}.npz")
    for tag, size in tags.items():
        module = ExpandedMixer(operator, 8, (14, 14))
        module.load_official(state(data))
        assert max(errors(module, official(module, renamed), data, tag, size).values()) < 1e-5


def test_official_block(vectors):
    data = vectors("dynamic_fft/metaformer_block_df_7x7.npz")
    block = Block(16, DynamicFilter(16, 7), True, torch.nn.Identity())
    load(block, state(data))
    renamed = {f"token_mixer.{key}": f"token_mixer.{ours}" for key, ours in OFFICIAL.items()}
    assert max(errors(block, official(block, renamed), data, "native", (7, 7)).values()) < 1e-5


def test_official_norm(vectors):
    data = vectors("dynamic_fft/layernorm_general.npz")
    norm = ChannelNorm(8, bias=False)
    norm.load_state_dict(state(data))
    assert max(errors(norm, {"weight": (norm.weight, None)}, data, "n", (5, 5)).values()) < 1e-5


@pytest.mark.parametrize("name", ["head.fc1.bias", "stages.2.1.mlp.act.scale", "stages.2.1.token_mixer.act1.scale"])
def test_official_names_are_checked(vectors, name):
    weights = state(vectors("dynamic_fft/tiny_dfformer_64x96.npz"))
    with pytest.raises(KeyError, match=name.split(".")[-1]):
        small().load_official({key: value for key, value in weights.items() if key != name})
    with pytest.raises(KeyError, match="other"):
        small().load_official({**weights, f"{name}.other": weights[name]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(75, 130), (33, 16)], ids=str)
def test_images_of_any_size(kind, size):
    """Every parameter receives a finite, non-zero gradient in one step."""
    network = small(kind, size, widths=(32, 40, 48, 64))
    logits = network(image(size))
    assert logits.shape == (2, 10)
    F.cross_entropy(logits, torch.tensor([3, 7])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_images_that_are_too_small():
    with pytest.raises(ValueError, match="2x2 are too small"):
        small(size=(2, 2))


def test_inference_with_cached_spectra_is_the_same():
    network, x = small().eval(), image((64, 96))
    with torch.inference_mode():
        expected = network(x)
        assert relative_error(prepare(network, "infer")(x), expected) < 1e-6


def test_another_resolution():
    """Another size raises ValueError unless a resize mode is selected, at construction or afterwards."""
    native, x = small().eval(), image((80, 60))
    with pytest.raises(ValueError, match="16x24 do not fit a map of 20x15"):
        native(x)
    assert set(ways(native)) == {"bicubic", "pad_kernel", "pad_spectrum"}
    for way in ways(native):
        chosen = small(resize=way).eval()
        assert relative_error(adapt(native, way)(x), chosen(x)) < 1e-6
        assert ways(chosen) == (way,)


def test_stochastic_depth_rises_to_its_rate():
    network = small("dfformer_afno", drop_path=0.4)
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in network.stages for block in stage]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    x = image((64, 96))
    assert relative_error(network.train()(x), network.eval()(x)) > 1e-4
    assert relative_error(network.eval()(x), small("dfformer_afno").eval()(x)) < 1e-6
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"not {rate}"):
            drop_paths(rate, 3)
