"""The accuracy metric and its data: determinism, learnability, selection of rate and epochs, and training of every method."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import methods
from bench import columns, data
from bench.data import digits
from bench.metrics import accuracy
from bench.plan import accuracy_cell
from bench.spec import PROTOCOLS, Cell, Evaluation
from bench.training import loop, search
from bench.training.loop import Diverged
from bench.workload.build import Workload

PROTOCOL = PROTOCOLS["accuracy"]


def outcome(method, protocol, seed=0, kernel=None, network="mixer"):
    cell = accuracy_cell(Cell(method, 56, 56, kernel=kernel, seed=seed), protocol, network)
    pauses, measuring = 0, accuracy.measure(Workload(cell), protocol)
    while True:
        try:
            next(measuring)
            pauses += 1
        except StopIteration as end:
            assert pauses >= protocol.epochs
            return end.value


class Counted(TensorDataset):
    """A test split that counts how often it is read completely."""

    reads = 0

    @property
    def tensors(self):
        Counted.reads += 1
        return self.kept

    @tensors.setter
    def tensors(self, kept):
        self.kept = kept

    def __len__(self):
        return len(self.kept[0])


@pytest.fixture
def few(monkeypatch):
    """Use the first 32 images of each split of the digits, at any resolution."""

    def load(self, spec):
        whole = digits.load(spec)
        parts = [TensorDataset(*(tensor[:32] for tensor in part.tensors)) for part in whole[:3]]
        return whole._replace(train=parts[0], validation=parts[1], test=parts[2])

    monkeypatch.setattr(data.DataSet, "load", load)
    return replace(PROTOCOL, res=8, epochs=1, batch=16)


@pytest.mark.parametrize("name", methods.names())
def test_every_method_trains(name, few):
    kernel = 5 if methods.get(name).entry.needs_kernel else None
    values, rounds, _, _ = outcome(name, few, kernel=kernel, network="mixer[depth=1]")
    assert 0 <= values["accuracy"] <= 100
    assert len(rounds["loss"]) == len(rounds["penalty"]) == 1
    assert 0 < rounds["loss"][0] < 10
    assert rounds["penalty"][0] < 10, "the penalty would outweigh the cross entropy"


def test_values_have_the_columns_of_the_dictionary(few):
    values, rounds, _, evals = outcome("conv3", few, seed=5, network="mixer[depth=1]")
    over_seeds = {"accuracy_lo", "accuracy_hi", "accuracy_half", "accuracy_seeds"}
    assert set(values) - {"accuracy_seed"} == {name for name in columns.columns_of("accuracy") if name not in over_seeds}
    known = {"accuracy_data": "digits", "accuracy_res": 8, "accuracy_epochs": 1, "accuracy_seed": 5, "accuracy_lr": 2e-2}
    known |= {"accuracy_network": "mixer[depth=1]", "accuracy_processes": 1, "accuracy_floor_of": "largest class"}
    assert {name: values[name] for name in known} == known
    host = 10 * 17 + 2 * 16 + 2 * 16 * 2 + 2 * 16 + (16 * 32 + 32) + (32 * 16 + 16) + 2 * 16  # head, norms, MLP, stem
    assert values["accuracy_params"] == host + 16 * (16 * 9 + 1)
    assert values["accuracy_images_s"] == pytest.approx(32 / values["accuracy_train_s"])
    assert values["accuracy_floor"] == pytest.approx(100 * 37 / 360)
    assert set(rounds) == {"loss", "penalty", "validation", "lr", "seconds"} and evals == []
    assert rounds["validation"] == [values["accuracy_validation"]]


def test_result_depends_only_on_the_seed(few):
    first, second, other = (outcome("dwconv7", replace(few, epochs=3), seed=seed) for seed in (1, 1, 2))
    curve = ("loss", "penalty", "validation", "lr")
    assert [first.rounds[name] for name in curve] == [second.rounds[name] for name in curve]
    assert first.values["accuracy"] == second.values["accuracy"]
    assert first.rounds["loss"] != other.rounds["loss"]


def test_operator_learns_digits_that_the_network_alone_cannot(monkeypatch):
    short = replace(PROTOCOL, res=8, epochs=4)
    assert outcome("dwconv7", short).values["accuracy"] > 90
    monkeypatch.setattr(Workload, "operator", lambda self, channels, resolution: nn.Identity())
    assert outcome("dwconv7", short).values["accuracy"] < 70


def test_test_split_is_evaluated_once_after_all_choices(few, monkeypatch):
    """At the training resolution, also if several rates are tried and the epochs are selected."""
    load = data.DataSet.load
    monkeypatch.setattr(data.DataSet, "load", lambda self, spec: (s := load(self, spec))._replace(test=Counted(*s.test.tensors)))
    monkeypatch.setattr(accuracy, "on_device", lambda part, device: part)
    monkeypatch.setattr(Counted, "reads", 0)
    choosing = replace(few, lr=(0.01, 0.02), seconds=0.01, eval_res=(8,))
    found = outcome("conv3", choosing)
    assert Counted.reads == 2, "images and labels of one batch"
    assert found.evals == [Evaluation(8, "", found.values["accuracy"])]


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(0.1, 50.0, 1.0), (0.2, 60.0, 1.2)], 0.2),
        ([(0.1, 60.0, 1.0), (0.2, 50.0, 1.2)], 0.1),
        ([(0.1, 60.0, 1.0), (0.2, 60.0, 1.2)], 0.2),
        ([(0.1, 60.1, 1.0), (0.2, 60.0, 1.2), (0.4, None, None)], 0.2),  # one image of a thousand is not significant
        ([(0.1, 62.0, 1.0), (0.2, 60.0, 1.2), (0.4, 53.0, 1.3)], 0.2),
        ([(0.1, 100.0, 1.0), (0.2, 99.9, 1.2)], 0.2),
        ([(0.1, 100.0, 1.0), (0.2, 98.0, 1.2)], 0.1),
    ],
)
def test_highest_rate_not_significantly_below_the_best_is_selected(found, chosen):
    """On 1,000 images, 60% and 56% do not differ significantly."""
    assert search.best([search.Trial(*one) for one in found], 1000) == chosen


def test_job_diverges_if_all_rates_diverge():
    with pytest.raises(Diverged, match=r"learning rate 0.1: step 3: .*; learning rate 1: step 0"):
        search.best([search.Trial(0.1, None, None, "step 3: cross entropy nan"), search.Trial(1.0, None, None, "step 0: x")], 100)


class Fragile(nn.Module):
    """An operator that diverges with a large learning rate."""

    def __init__(self, channels, resolution):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        return x.roll(1, -1) + x * self.weight * torch.where(self.weight.abs() > 1, float("nan"), 1.0)


def test_diverging_learning_rate_is_recorded(few, monkeypatch):
    monkeypatch.setattr(Workload, "operator", lambda self, channels, resolution: Fragile(channels, resolution))
    protocol = replace(few, lr=(1e-5, 1e-2, 100.0), search_epochs=3, epochs=2)
    values, rounds, _, _ = outcome("conv3", protocol)
    assert rounds["search_lr"] == [1e-5, 1e-2, 100.0]
    assert rounds["search_validation"][2] is None and rounds["search_loss"][2] is None
    found = [search.Trial(*one) for one in zip(rounds["search_lr"], rounds["search_validation"], rounds["search_loss"])]
    assert values["accuracy_lr"] == search.best(found, 32) and values["accuracy_epochs"] == len(rounds["loss"]) == 2
    alone = outcome("conv3", replace(protocol, lr=(values["accuracy_lr"],)))
    assert alone.rounds["loss"] == rounds["loss"], "the search leaves no trace in the training"


class Ticks:
    """A clock that advances by a second per read."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1.0
        return self.now


@pytest.mark.parametrize(("budget", "epochs"), [(0.5, 1), (29.0, 9), (30.0, 10)])
def test_epochs_fill_a_budget_of_seconds(budget, epochs, few, monkeypatch):
    """On this clock a step and the validation take a second each: 3 s per epoch of 2 steps."""
    monkeypatch.setattr(search, "time", Ticks())
    values, rounds, _, _ = outcome("conv3", replace(few, seconds=budget))
    assert values["accuracy_epochs"] == len(rounds["loss"]) == epochs


def test_other_resolutions_in_every_way_or_the_reason_for_none(few, monkeypatch):
    class Fixed(nn.Module):
        def __init__(self, channels, resolution):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(resolution))

        def forward(self, x):
            return x * self.weight

    protocol = replace(few, eval_res=(8, 12))
    found = outcome("dynamic_filter", protocol)
    ways = methods.get("dynamic_filter").build(16, 8).ways
    assert len(ways) > 1 and [(one.res, one.way) for one in found.evals] == [(8, ""), *((12, way) for way in ways)]
    assert found.evals[0].accuracy == found.values["accuracy"]
    assert all(0 <= one.accuracy <= 100 and (one.status, one.detail) == ("ok", "") for one in found.evals)
    monkeypatch.setattr(Workload, "operator", lambda self, channels, resolution: Fixed(channels, resolution))
    fixed = outcome("conv3", protocol)
    same, other = fixed.evals
    assert same == Evaluation(8, "", fixed.values["accuracy"])
    assert (other.res, other.accuracy, other.status) == (12, None, "error") and other.detail.startswith("RuntimeError: ")
    assert "12" in other.detail and "8" in other.detail, "torch's words on the two sizes"


class Raises(nn.Conv2d):
    """An operator that supports only maps of 8 pixels."""

    def __init__(self, error, channels):
        super().__init__(channels, channels, 1)
        self.error = error

    def forward(self, x):
        if x.shape[-1] != 8:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("filters of 8 px do not fit"), ("unsupported", "filters of 8 px do not fit")),
        (methods.Unsupported("even sizes"), ("unsupported", "even sizes")),
        (MemoryError("no room"), ("oom", "no room")),
        (KeyError("x"), ("error", "KeyError: 'x'")),
    ],
)
def test_exception_at_another_resolution_has_its_own_status(error, told, few, monkeypatch):
    monkeypatch.setattr(Workload, "operator", lambda self, channels, resolution: Raises(error, channels))
    (failed,) = outcome("conv3", replace(few, eval_res=(12,))).evals
    status, detail = told
    assert (failed.accuracy, failed.status) == (None, status) and failed.detail.startswith(detail)


class Endless(nn.Conv2d):
    """An operator whose output is finite only on maps of 8 pixels."""

    def __init__(self, channels, resolution):
        super().__init__(channels, channels, 1)

    def forward(self, x):
        return super().forward(x) * (1 if x.shape[-1] == 8 else float("nan"))


def test_non_finite_logits_at_another_resolution_give_no_accuracy(few, monkeypatch):
    monkeypatch.setattr(Workload, "operator", lambda self, channels, resolution: Endless(channels, resolution))
    found = outcome("conv3", replace(few, eval_res=(12,)))
    (failed,) = found.evals
    assert failed.status == "error" and failed.detail.startswith("Diverged: evaluation: logits are not finite")


def test_data_of_another_resolution_are_loaded_once(few, monkeypatch):
    load, asked = data.DataSet.load, []
    monkeypatch.setattr(data.DataSet, "load", lambda self, spec: asked.append(spec.res) or load(self, spec))
    found = outcome("dynamic_filter", replace(few, eval_res=(8, 12)))
    assert len(found.evals) > 2 and asked == [8, 12]


def test_every_evaluation_yields(few, monkeypatch):
    """It yields after the data, each step, the validation, the epoch, and before and during each evaluation."""
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.0)
    cell = accuracy_cell(Cell("conv3", 56, 56), few, "mixer[depth=1]")
    pauses = [len(list(accuracy.measure(Workload(cell), replace(few, eval_res=res)))) for res in ((), (12,), (12, 16))]
    assert pauses == [8, 10, 12]


def test_data_set_of_one_resolution_keeps_the_training(few, monkeypatch):
    load = data.DataSet.load

    def one_size(self, spec):
        if spec.res != 8:
            raise ValueError(f"there are no images of {spec.res} px")
        return load(self, spec)

    monkeypatch.setattr(data.DataSet, "load", one_size)
    found = outcome("conv3", replace(few, eval_res=(12,)))
    assert found.evals == [Evaluation(12, "", None, "unsupported", "there are no images of 12 px")]
    assert found.values["accuracy"] >= 0


def test_in_memory_splits_are_moved_to_the_device():
    part = TensorDataset(torch.zeros(2, 1), torch.zeros(2))
    assert accuracy.on_device(part, "meta").tensors[0].device.type == "meta"
    other = SimpleNamespace()
    assert accuracy.on_device(other, "meta") is other
