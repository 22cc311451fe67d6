"""A stopped training resumes and has the same result as an uninterrupted one."""

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from bench.data import Splits
from bench.metrics import accuracy
from bench.nets import NetworkSpec
from bench.nets.mixer import Mixer
from bench.plan import accuracy_cell
from bench.spec import Cell, Training
from bench.training import batches, loop, search
from bench.training.checkpoint import Checkpoint
from bench.training.loop import Trainer, TrainerConfig
from bench.workload.build import Workload

pytestmark = pytest.mark.timeout(400)  # seconds for processes that import torch on two busy cores
TINY = Training(res=8, batch=8, epochs=3, ema=0.9, mixup=0.3)


class Dropped(nn.Conv2d):
    """Draws random numbers in training."""

    def __init__(self, channels, resolution):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.2, self.training)


class Augmented(Dataset):
    """Images with random changes at each read, from all three generators."""

    def __init__(self, part):
        self.part = part

    def __len__(self):
        return len(self.part)

    def __getitem__(self, index):
        image, label = self.part[index]
        return image * random.uniform(0.5, 1.5) + float(np.random.rand()) + torch.rand(1), label


def part(seed, count=32):
    labels = torch.arange(count) % 2
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(noise + labels.view(-1, 1, 1, 1), labels)


def splits(read=False):
    return Splits(Augmented(part(0)) if read else part(0), part(1), part(2), classes=2, channels=1, trivial_accuracy=50.0)


def trainer(path, protocol=TINY, read=False, lr=0.02, every=0.0):
    torch.manual_seed(7)
    network = Mixer(NetworkSpec("mixer", Dropped, 2, 1, (8, 8)), 4, 1)
    return Trainer(network, splits(read), protocol, TrainerConfig(3, lr, protocol.epochs), Checkpoint(path, every))


def state(made):
    return {name: value.state_dict() for name, value in made._parts().items()}


def curve(made):
    return [epoch[:4] for epoch in made.curve]  # without the times


def assert_equal(first, second):
    """Check that all tensors and numbers of two nested states are equal."""
    assert type(first) is type(second)
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second):
            assert_equal(one, other)
    else:
        assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


@pytest.fixture
def few_workers(monkeypatch):
    """Use one process to read images, regardless of the number of cores."""
    monkeypatch.setattr(batches.os, "cpu_count", lambda: 2)


@pytest.mark.parametrize("read", [False, True], ids=["in memory", "read"])
@pytest.mark.parametrize("stop", [1, 3, 4, 7, 11])
def test_training_stopped_after_a_step_resumes_with_the_same_result(stop, read, tmp_path, monkeypatch, few_workers):
    """With four steps per epoch: stopped within epochs, and at the end of the first before its validation."""
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    whole = trainer(None, read=read)
    list(whole.run())
    cut = trainer(tmp_path / "job.pt", read=read)
    save, taken = cut.checkpoint.save, []

    def once(training):
        if training["step"] == stop:
            save(training)
            taken.append(stop)
            raise KeyboardInterrupt

    monkeypatch.setattr(cut.checkpoint, "save", once)
    with pytest.raises(KeyboardInterrupt):
        list(cut.run())
    later = trainer(tmp_path / "job.pt", read=read)
    assert taken == [later.step] == [stop]
    begun = later.step
    list(later.run())
    assert later.step == whole.step == 12 and begun > 0
    assert curve(later) == curve(whole)
    assert_equal(state(later), state(whole))


def test_augmentation_depends_on_the_epoch(few_workers):
    made = [next(batches.training_batches(Augmented(part(0)), 8, 3, epoch, 0))[0] for epoch in (0, 0, 1)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    first, second = (Augmented(part(0))[0][0] for _ in range(2))
    assert not torch.equal(first, second), "nothing was drawn that could differ"


def stopped(path, **given):
    """Return a training whose first epoch is saved."""
    made = trainer(path, **given)
    running = made.run()
    next(running)
    running.close()
    return made


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no archive"),
        lambda path: torch.save({"step": 3}, path),
        lambda path: torch.save([1], path),
        lambda path: torch.save({**torch.load(path), "of": ["another", torch.__version__, 1]}, path),
        lambda path: torch.save({**torch.load(path), "of": ["job", "1.0", 1]}, path),
        lambda path: torch.save({**torch.load(path), "of": ["job", torch.__version__, 2]}, path),
    ],
    ids=["torn", "empty", "no archive", "foreign", "list", "another job", "another torch", "two processes"],
)
def test_foreign_state_is_ignored(harm, tmp_path):
    path = tmp_path / "job.pt"
    stopped(path)
    assert trainer(path).step == 4, "it would have gone on"
    harm(path)
    assert trainer(path).step == 0


@pytest.mark.parametrize(
    "harm",
    [
        lambda state: state["network"].popitem(),
        lambda state: state["network"].update({"head.weight": torch.zeros(3, 3)}),
        lambda state: state["optimizer"]["param_groups"].pop(),
        lambda state: state.pop("average"),
        lambda state: state.pop("penalty"),
        lambda state: state.update(curve=[(1.0, 2.0)]),
    ],
    ids=["a weight less", "another shape", "other groups", "no average", "no penalty", "short curve"],
)
def test_state_of_another_network_is_ignored_as_a_whole(harm, tmp_path):
    path = tmp_path / "job.pt"
    stopped(path)
    kept = torch.load(path)
    harm(kept["training"])
    torch.save(kept, path)
    anew, fresh = trainer(path), trainer(None)
    assert (anew.step, anew.curve, anew.loss) == (0, [], 0.0)
    assert_equal(state(anew), state(fresh))
    list(anew.run())
    list(fresh.run())
    assert curve(anew) == curve(fresh)


def test_training_of_another_rate_or_length_is_not_resumed(tmp_path):
    path = tmp_path / "job.pt"
    stopped(path)
    assert trainer(path, lr=0.01).step == 0
    assert trainer(path, replace(TINY, epochs=5)).step == 0


def test_state_is_saved_only_when_due(tmp_path, monkeypatch):
    path = tmp_path / "job.pt"
    stopped(path, every=1e9)
    assert not path.exists()
    checkpoint = Checkpoint(path, 60.0)
    begun = checkpoint.saved
    for seconds, due in ((59.0, False), (61.0, True)):
        monkeypatch.setattr(time, "monotonic", lambda now=begun + seconds: now)
        assert checkpoint.due() is due
    assert not Checkpoint(None, 0.0).due()


def test_state_is_replaced_atomically(tmp_path, monkeypatch):
    path = tmp_path / "job.pt"
    stopped(path)
    before = path.read_bytes()

    def torn(state, file):
        Path(file).write_bytes(b"torn")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="no space"):
        stopped(path)
    assert path.read_bytes() == before


class Stopped(Exception):
    pass


def test_choices_are_not_repeated(tmp_path, monkeypatch):
    """Stopped after the search and the probe: neither is repeated, and the curve is that of an uninterrupted run."""
    protocol = Training(res=8, batch=64, epochs=1, lr=(0.01, 0.02), search_epochs=1, seconds=1e-3)
    cell = accuracy_cell(Cell("conv3", 8, 8), protocol, "mixer[depth=1]")
    path = tmp_path / "checkpoints" / "job.pt"

    def run(**given):
        measuring = accuracy.measure(Workload(cell, **given), protocol)
        while True:
            try:
                next(measuring)
            except StopIteration as end:
                return end.value

    whole = run()
    values = accuracy.Task.top1

    def stop(*args):
        raise Stopped

    monkeypatch.setattr(accuracy.Task, "top1", stop)
    with pytest.raises(Stopped):
        run(checkpoint=path, save_every=0.0)
    kept = torch.load(path)["choices"]
    assert [one[0] for one in kept["tries"]] == [0.01, 0.02] and kept["epochs"] == 1
    monkeypatch.setattr(accuracy.Task, "top1", values)
    monkeypatch.setattr(search, "_step_seconds", None)  # calling it would fail
    again = run(checkpoint=path, save_every=0.0)
    assert {name: again.rounds[name] for name in again.rounds if name != "seconds"} == {
        name: whole.rounds[name] for name in whole.rounds if name != "seconds"
    }
    assert again.values["accuracy"] == whole.values["accuracy"]
    assert not path.exists(), "removed at the end"
