"""Tests of the last map of a network, whose gradient is measured, and of the batch norms of untrained networks."""

import numpy as np
import pytest
import torch
from torch import nn

from bench.analysis.receptive_field.gradient import calibrate_batch_norms, mean_abs_gradient
from methods import Unsupported

IMAGES = torch.randn(5, 3, 15, 15, generator=torch.Generator().manual_seed(0))


def test_last_map_is_the_input_of_the_norm_in_either_layout():
    class Last(nn.Module):
        def forward(self, x):
            return x.movedim(1, 3)

    body = nn.Sequential(nn.Conv2d(3, 6, 3, 2), Last())
    network = nn.Sequential(body, nn.LayerNorm(6), nn.Flatten(1, 2), nn.AdaptiveAvgPool2d((1, 6)), nn.Flatten())
    with pytest.raises(Unsupported, match="tokens, not maps"):
        mean_abs_gradient(network, IMAGES)
    network = nn.Sequential(body, nn.LayerNorm(6), nn.Flatten(), nn.Linear(7 * 7 * 6, 2))
    scores, pixel = mean_abs_gradient(network, IMAGES)
    assert (pixel.layer, pixel.size, pixel.centre) == ("0", (7, 7), (7, 7))
    assert scores[6:9, 6:9].all() and np.count_nonzero(scores) == 9


@pytest.mark.parametrize("norm", [nn.LayerNorm(6), nn.LayerNorm(6, elementwise_affine=False)])
def test_view_of_a_norm_output_is_not_the_last_map(norm):
    """The sum over the channels of a layer norm's output is constant, so its gradient is rounding."""

    class Permute(nn.Module):
        def __init__(self, *axes):
            super().__init__()
            self.axes = axes

        def forward(self, x):
            return x.permute(self.axes)

    conv = nn.Conv2d(3, 6, 3, padding=1)
    body = nn.Sequential(conv, Permute(0, 2, 3, 1))
    network = nn.Sequential(body, nn.Sequential(norm, Permute(0, 3, 1, 2)), nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scores, pixel = mean_abs_gradient(network, IMAGES)
    assert pixel.layer == "0"
    np.testing.assert_allclose(scores[6:9, 6:9], conv.weight.detach().sum(0).abs().mean(0).numpy(), rtol=1e-4)


def test_norm_output_modified_in_place_is_a_map():
    network = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(1, 6), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
    assert mean_abs_gradient(network, IMAGES)[1].layer == "2"
    network = nn.Sequential(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)), nn.AdaptiveAvgPool2d(1))
    assert mean_abs_gradient(network.eval(), IMAGES)[1].layer == "0", "a batch norm only scales"


def test_network_without_a_map_is_unsupported():
    with pytest.raises(Unsupported, match="no module returns a map"):
        mean_abs_gradient(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGES)


def test_batch_norms_of_an_untrained_network_get_the_statistics_of_the_images():
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5)).eval()
    images = torch.cat([IMAGES * 2 + 3] * 4)  # more than one batch
    calibrate_batch_norms(network, images)
    torch.testing.assert_close(network[0].running_mean, images.mean((0, 2, 3)), rtol=0.02, atol=0.02)
    torch.testing.assert_close(network[0].running_var, images.var((0, 2, 3)), rtol=0.05, atol=0.05)
    assert not any(module.training for module in network.modules()) and network[0].momentum == 0.3


def test_all_images_have_nearly_the_same_weight_in_the_statistics():
    """The last of 17 images is 17, the others are 0: with batches of 9 and 8 the mean over batches is 17 / 16, over images 1."""
    network = nn.Sequential(nn.BatchNorm2d(1)).eval()
    images = torch.zeros(17, 1, 2, 2)
    images[-1] = 17
    assert calibrate_batch_norms(network, images)[0].running_mean.item() == pytest.approx(17 / 16)
