"""The farpair data set: its geometry, its balance, and that small receptive fields cannot learn it."""

import hashlib
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench import data
from bench.data import DataSpec, farpair

EQUAL = np.array([[1, -1], [-1, 1]])  # label of a pair of signs, as +-1


def drawn(count=2000, res=32, distance=12, seed=0):
    return farpair.generate(count, res, distance, np.random.default_rng(seed))


@pytest.mark.parametrize(("res", "distance"), [(32, 6), (32, 28), (16, 12), (8, 2)])
def test_blobs_are_inside_at_their_distance(res, distance):
    first, second = farpair.corners(3000, res, distance, np.random.default_rng(1))
    both = np.stack([first, second])
    assert both.min() == 0 and both.max() == res - farpair.BLOB, "every place is used, none is outside"
    gaps = np.abs(first - second)
    assert set(gaps.max(1)) == {distance, distance + 1, distance + 2}
    assert gaps.min() == 0
    assert (gaps[:, 0] > gaps[:, 1]).mean() == pytest.approx((gaps[:, 0] < gaps[:, 1]).mean(), abs=0.05), "both axes"


def test_no_small_window_contains_both_blobs():
    images, labels = drawn()
    bright = np.abs(images) > farpair.GRID
    assert set(bright.sum((1, 2))) == {2 * farpair.BLOB**2}
    assert (images[~bright] / farpair.GRID).std() == pytest.approx(farpair.NOISE, rel=0.01)
    signs = np.sign(images * bright).sum((1, 2))
    assert np.array_equal(np.abs(signs) == 2 * farpair.BLOB**2, labels == 1)
    raised, lowered = (torch.from_numpy(sign * images[labels == 0] > farpair.GRID).float() for sign in (1, -1))
    for window, joined in ((11, False), (12, True)):  # pixels per side; the distance is 12
        both = F.max_pool2d(raised, window, 1) * F.max_pool2d(lowered, window, 1)
        assert bool(both.any()) == joined


def test_labels_and_signs_are_balanced():
    images, labels = drawn(8000, 16, 6)
    total = np.rint(images.sum((1, 2)) / (2 * farpair.GRID * farpair.BLOB**2)).astype(int)  # sum of the signs; noise adds 0.2
    shares = [(total == value).mean() for value in (-2, 0, 2)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert labels.mean() == 0.5
    assert drawn(7, 16, 6)[1].sum() == 3


def test_images_are_bit_identical():
    images, labels = drawn(50, 16, 6)
    assert hashlib.sha256(images.astype("<i8").tobytes() + labels.astype("<i8").tobytes()).hexdigest()[:16] == "e06a8d98851cdc81"


def test_default_data_set():
    splits = data.DataSet("farpair[distance=6,train=300]").load(DataSpec(16))
    assert [len(part) for part in splits[:3]] == [300, 1000, 1000]
    images, labels = splits.train.tensors
    assert images.shape == (300, 1, 16, 16) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert images.mean().abs() < 1e-5 and float(images.std()) == pytest.approx(1, abs=1e-4)
    assert (splits.classes, splits.channels, splits.trivial_accuracy, splits.trivial_predictor) == (2, 1, 50, "chance")
    assert data.DataSet("farpair[distance=6,train=30,test=7]").load(DataSpec(16)).trivial_accuracy == pytest.approx(100 * 4 / 7)
    again = data.DataSet("farpair[distance=6,train=300]").load(DataSpec(16))
    assert all(torch.equal(a, b) for part, twin in zip(splits[:3], again[:3]) for a, b in zip(part.tensors, twin.tensors))


def test_splits_share_no_image():
    splits = data.DataSet("farpair[distance=6,train=1000]").load(DataSpec(16))
    images = torch.cat([part.tensors[0] for part in splits[:3]]).flatten(1)
    assert len({image.numpy().tobytes() for image in images}) == len(images)


@pytest.mark.parametrize(
    ("text", "spec", "reason"),
    [
        ("farpair[distance=29]", DataSpec(32), "from 2 to 28"),
        ("farpair[distance=1]", DataSpec(32), "from 2 to 28"),
        ("farpair[distance=6.5]", DataSpec(32), "not an integer"),
        ("farpair[distance=6,train=0]", DataSpec(32), "not positive integers"),
        ("farpair", DataSpec(32, "flip"), "does not support augmentation"),
        ("farpair[reach=3]", DataSpec(32), "reach"),
    ],
)
def test_invalid_options_are_rejected(text, spec, reason):
    with pytest.raises(ValueError, match=reason):
        data.DataSet(text).load(spec)


def test_sum_of_terms_has_no_loss_below_log_2_and_at_most_three_pairs():
    """Check the bound of the docstring on random sums. A product of the signs has no such bound."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        term, other = draw.normal(0, draw.uniform(0.01, 3), (2, 2))
        logits = term[:, None] + other[None]
        assert np.log1p(np.exp(-EQUAL * logits)).mean() >= math.log(2)
        assert (EQUAL * logits > 0).mean() <= 0.75
    assert np.log1p(np.exp(-EQUAL * 3.0 * EQUAL)).mean() < 0.1


def test_linear_probe_on_pooled_local_features_stays_at_chance():
    from sklearn.linear_model import LogisticRegression

    splits = data.DataSet("farpair[distance=6,train=3000]").load(DataSpec(16))
    filters = torch.randn(24, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    local = [F.relu(F.conv2d(part.tensors[0], filters)).mean((2, 3)).numpy() for part in splits[:3]]
    labels = [part.tensors[1].numpy() for part in splits[:3]]
    probe = LogisticRegression(max_iter=1000).fit(local[0], labels[0])
    chances = probe.predict_proba(local[2])[np.arange(1000), labels[2]]
    assert -np.log(chances).mean() > 0.99 * math.log(2)
    assert np.abs(probe.coef_).max() > 0.01, "it did try"
    joint = [np.concatenate([part, part**2], 1) for part in local]  # the square of a mean depends on both blobs
    assert LogisticRegression(C=100, max_iter=5000).fit(joint[0], labels[0]).score(joint[2], labels[2]) > 0.9


def trained(kernel, splits, epochs=12):
    """Return the train loss and the test accuracy in percent of a convolution, a pointwise hidden layer and a mean."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 16, kernel, padding=kernel // 2), nn.BatchNorm2d(16), nn.GELU(), nn.Conv2d(16, 32, 1), nn.GELU()
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(32), nn.Linear(32, 2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * 20)
    images, labels = splits.train.tensors
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(len(images) // 20):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        test, truth = splits.test.tensors
        return float(F.cross_entropy(network(images), labels)), 100 * float((network(test).argmax(1) == truth).float().mean())


def test_short_receptive_field_stays_at_chance_and_large_one_learns():
    splits = data.DataSet("farpair[distance=5,train=1000]").load(DataSpec(12))
    loss, accuracy = trained(3, splits)
    assert loss > 0.95 * math.log(2)
    assert 40 < accuracy < 60
    loss, accuracy = trained(15, splits)
    assert loss < 0.2
    assert accuracy > 90
