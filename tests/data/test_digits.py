"""The bundled digits, and the list of data sets."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from bench import data
from bench.data import DataSpec, Splits, digits


def test_splits_are_disjoint_stratified_and_fixed():
    from sklearn.datasets import load_digits

    labels = load_digits().target
    parts = digits.split(labels, data.SEED)
    assert sorted(index for part in parts for index in part) == list(range(1797))
    assert [len(part) for part in parts] == [1149, 288, 360]
    for part, share in zip(parts, (0.64, 0.16, 0.2)):
        shares = np.bincount(labels[part]) / np.bincount(labels)
        assert abs(shares - share).max() < 0.01
    assert sorted(parts[2].tolist())[:8] == [21, 24, 28, 34, 35, 37, 39, 42]
    assert not np.array_equal(parts[2], digits.split(labels, data.SEED + 1)[2])


@pytest.mark.parametrize("res", [8, 13])
def test_digits_are_standardised_images(res):
    splits = data.DataSet("digits").load(DataSpec(res))
    assert isinstance(splits, Splits) and (splits.classes, splits.channels) == (10, 1)
    images, labels = splits.train.tensors
    assert images.shape == (1149, 1, res, res) and images.dtype == torch.float32
    assert splits.validation.tensors[0].shape == (288, 1, res, res)
    assert splits.test.tensors[0].shape == (360, 1, res, res)
    assert labels.dtype == torch.int64 and labels.unique().tolist() == list(range(splits.classes))
    assert images.mean().abs() < 1e-4 and (images.std() - 1).abs() < 1e-4
    assert splits.trivial_accuracy == pytest.approx(100 * 37 / 360)


def test_data_sets_are_listed_without_torch():
    assert "digits" in data.names()
    code = "import sys; from bench import data; data.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_data_set_or_option_is_an_error():
    with pytest.raises(ValueError, match=r"unknown data set 'digit' \(known: .*digits"):
        data.DataSet("digit").load(DataSpec(8))
    with pytest.raises(ValueError, match=r"data set 'digits.*' has no option 'size'"):
        data.DataSet("digits[size=3]").load(DataSpec(8))
    with pytest.raises(ValueError, match="digits do not support augmentation"):
        data.DataSet("digits").load(DataSpec(8, augment="flip"))
