"""Trained networks at another resolution."""

import pytest
import torch
from torch import nn

import methods
from bench.nets import NetworkSpec
from bench.nets.mixer import Mixer
from bench.nets.resolution import adapt, ways

METHODS = [name for name in methods.names() if not methods.get(name).entry.needs_kernel]


def network(name, res=16, **options):
    torch.manual_seed(0)
    method = methods.get(name)
    spec = NetworkSpec("mixer", lambda c, r: method.build(c, r, **options), 10, 1, (res, res))
    return Mixer(spec, 8, 1).eval()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_at_another_resolution_by_each_way(name):
    trained = network(name)
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    for way in ways(trained):
        for size in ((24, 24), (12, 20)):
            logits = adapt(trained, way)(torch.randn(2, 1, *size))
            assert logits.shape == (2, 10) and logits.isfinite().all()
    assert all(torch.equal(value, before[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_output_at_the_trained_resolution_is_unchanged(name):
    trained, x = network(name), torch.randn(2, 1, 16, 16)
    for way in ways(trained):
        torch.testing.assert_close(adapt(trained, way)(x), trained(x))


def test_the_ways_are_those_of_the_operators():
    assert ways(network("dwconv7")) == ("",)
    assert ways(network("flexconv")) == ("rescaled",)
    assert ways(network("dynamic_filter")) == ("bicubic", "pad_kernel", "pad_spectrum")
    assert ways(network("global_filter", resize="pad_kernel")) == ("pad_kernel",)


def test_only_the_copy_is_adapted():
    trained = network("global_filter")
    outputs = [adapt(trained, way)(torch.ones(1, 1, 24, 24).cumsum(-1)) for way in ways(trained)]
    assert not torch.allclose(outputs[1], outputs[2])
    with pytest.raises(ValueError, match="do not fit"):
        trained(torch.randn(1, 1, 24, 24))


@pytest.mark.parametrize(
    ("built", "horizon", "resolution", "expected"), [(16, None, 32, 33), (16, 17, 24, 25), (16, 9, 32, 17), (32, 33, 16, 17)]
)
def test_a_continuous_kernel_preserves_its_extent_relative_to_the_map(built, horizon, resolution, expected):
    layer = methods.get("flexconv").build(4, built, horizon)
    assert layer.at_resolution(resolution).horizon == expected
    assert layer.scale == (built / resolution) ** 2
    assert layer.at_resolution(built).horizon == (horizon or built + 1)
    assert layer.scale == 1


def test_flexconv_features_of_a_smooth_image_are_similar_at_twice_the_resolution():
    rows = torch.linspace(-3, 3, 64)
    fine = torch.sin(rows[:, None] + 0.5 * rows).view(1, 1, 64, 64)
    torch.manual_seed(0)
    operator = methods.get("flexconv").build(1, 32, sigma=0.2).eval()
    small = operator(nn.functional.avg_pool2d(fine, 2))[..., 8:-8, 8:-8]
    large = nn.functional.avg_pool2d(operator.at_resolution(64)(fine), 2)[..., 8:-8, 8:-8]
    assert (large - small).norm() < 0.1 * small.norm()
