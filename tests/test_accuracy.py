"""The accuracy metric and its data: determinism, learnability, and that every method trains."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import methods
from bench import columns, data
from bench.data import digits
from bench.metrics import accuracy
from bench.plan import accuracy_cell
from bench.spec import PROTOCOLS, Cell
from bench.subject import Subject

PROTOCOL = PROTOCOLS["accuracy"]


def outcome(method, protocol, seed=0, kernel=None):
    cell = accuracy_cell(Cell(method, 56, 56, kernel=kernel, seed=seed), protocol)
    rounds, measuring = 0, accuracy.measure(Subject(cell), protocol)
    while True:
        try:
            next(measuring)
            rounds += 1
        except StopIteration as end:
            assert rounds == protocol.epochs
            return end.value


@pytest.fixture
def few(monkeypatch):
    """The first 32 training and test images of the digits."""
    whole = digits.load(8, data.SEED)
    parts = [TensorDataset(*(tensor[:32] for tensor in part.tensors)) for part in whole[:2]]
    monkeypatch.setattr(data, "get", lambda name: lambda res, seed: data.Splits(*parts, whole.classes))
    return replace(PROTOCOL, res=8, depth=1, epochs=1, batch=16)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_trains(name, few):
    kernel = 5 if methods.get(name).entry.needs_kernel else None
    values, _, samples = outcome(name, few, kernel=kernel)
    assert 0 <= values["accuracy"] <= 100
    assert len(samples["loss"]) == len(samples["penalty"]) == 1
    assert 0 < samples["loss"][0] < 10
    assert samples["penalty"][0] < 10, "the penalty would outweigh the cross entropy"


def test_columns_are_those_of_the_dictionary(few):
    values, _, _ = outcome("conv3", few, seed=5)
    assert sorted(values) == sorted(columns.of("accuracy"))
    known = {"accuracy_data": "digits", "accuracy_res": 8, "accuracy_epochs": 1, "accuracy_seed": 5}
    assert {name: values[name] for name in known} == known
    host = 10 * 17 + 2 * 16 + 2 * 16 * 2 + 2 * 16 + (16 * 32 + 32) + (32 * 16 + 16) + 2 * 16  # head, norms, MLP, stem
    assert values["accuracy_params"] == host + 16 * (16 * 9 + 1)


def test_same_seed_same_result_another_seed_another(few):
    first, second, other = (outcome("dwconv7", replace(few, epochs=3), seed=seed) for seed in (1, 1, 2))
    assert first.samples == second.samples
    assert first.values["accuracy"] == second.values["accuracy"]
    assert first.samples["loss"] != other.samples["loss"]


def test_an_operator_learns_digits_that_the_host_alone_cannot(monkeypatch):
    short = replace(PROTOCOL, res=8, epochs=4)
    assert outcome("dwconv7", short).values["accuracy"] > 90
    monkeypatch.setattr(Subject, "operator", lambda self, channels, resolution: nn.Identity())
    assert outcome("dwconv7", short).values["accuracy"] < 70


def test_the_split_is_disjoint_stratified_and_fixed():
    from sklearn.datasets import load_digits

    labels = load_digits().target
    train, test = digits.split(labels, data.SEED)
    assert sorted([*train, *test]) == list(range(1797))
    assert len(test) == 360
    shares = np.bincount(labels[test]) / np.bincount(labels)
    assert shares.min() > 0.19 and shares.max() < 0.21
    assert sorted(test.tolist())[:8] == [21, 24, 28, 34, 35, 37, 39, 42]
    assert not np.array_equal(test, digits.split(labels, data.SEED + 1)[1])


@pytest.mark.parametrize("res", [8, 13])
def test_digits_are_standardised_images(res):
    splits = data.get("digits")(res, data.SEED)
    images, labels = splits.train.tensors
    assert images.shape == (1437, 1, res, res) and images.dtype == torch.float32
    assert splits.test.tensors[0].shape == (360, 1, res, res)
    assert labels.dtype == torch.int64 and labels.unique().tolist() == list(range(splits.classes))
    assert images.mean().abs() < 1e-4 and (images.std() - 1).abs() < 1e-4


def test_data_sets_are_listed_without_torch():
    assert "digits" in data.names()
    code = "import sys; from bench import data; data.names(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_data_set_is_answered_with_the_list():
    with pytest.raises(ValueError, match=r"unknown data set 'digit' \(known: .*digits"):
        data.get("digit")
