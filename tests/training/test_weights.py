"""Saved weights of a training: which epochs, when, and that they are those of the evaluated network."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from torch.utils.data import TensorDataset

from bench import data
from bench.analysis.epochs import group_by_training
from bench.analysis.network import Network, from_weights
from bench.cli import main
from bench.data import DataSpec, digits
from bench.executors.job import saving_options
from bench.journal import JOURNAL, read_journal
from bench.metrics import accuracy
from bench.plan import accuracy_cell
from bench.spec import PROTOCOLS, Cell, Job, Limits, protocol_digest, protocol_name
from bench.training import loop, weights
from bench.training.loop import top1
from bench.workload.build import Workload

PROTOCOL = replace(PROTOCOLS["accuracy"], res=8, epochs=3, batch=16)
CELL = accuracy_cell(Cell("flexconv", 56, 56, params=(("hidden", 4),), seed=4), PROTOCOL, "mixer[depth=1,width=4]")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Use 48 train, 32 validation and 32 test digits."""
    whole = digits.load(DataSpec(8))
    parts = [TensorDataset(*(tensor[:count] for tensor in part.tensors)) for part, count in zip(whole[:3], (48, 32, 32))]
    found = whole._replace(train=parts[0], validation=parts[1], test=parts[2])
    monkeypatch.setattr(data.DataSet, "load", lambda self, spec: found)
    return found


def train(folder=None, each=False, protocol=PROTOCOL, checkpoint=None, stop=None):
    """Return the outcome, or None if the training is abandoned after a number of yields, as by a kill."""
    workload = Workload(CELL, checkpoint=checkpoint, save_every=0.0, weights=folder, each_epoch=each)
    measuring = accuracy.measure(workload, protocol)
    pauses = 0
    while pauses != stop:
        try:
            next(measuring)
            pauses += 1
        except StopIteration as end:
            return end.value
    return None


def evaluated(network, part):
    running = top1(network, part)
    while True:
        try:
            next(running)
        except StopIteration as end:
            return end.value


def files(folder):
    return sorted(path.name[-len("epoch000.weights.pt") :] for path in folder.iterdir())


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_each_epoch_or_the_last_is_saved(tmp_path):
    train(tmp_path / "each", each=True)
    train(tmp_path / "last")
    assert files(tmp_path / "each") == [f"epoch00{n}.weights.pt" for n in range(4)]
    assert files(tmp_path / "last") == ["epoch003.weights.pt"]
    (last,) = (tmp_path / "last").iterdir()
    assert same(weights.read(last)["weights"], weights.read(tmp_path / "each" / last.name)["weights"])
    assert last.name.startswith("mixer-depth=1-width=4-flexconv-hidden=4-digits-seed-4-")


def test_file_describes_its_network(tmp_path):
    train(tmp_path)
    (path,) = tmp_path.iterdir()
    found = weights.read(path)
    assert found["job"] == Job(CELL, "accuracy", PROTOCOL)
    assert {name: found[name] for name in ("classes", "channels", "epoch", "epochs")} == {
        "classes": 10, "channels": 1, "epoch": 3, "epochs": 3,
    }  # fmt: skip


def test_first_is_the_initial_network_and_last_the_evaluated_one(tmp_path, few):
    outcome = train(tmp_path, each=True)
    ((first, *_, last),) = group_by_training(from_weights([tmp_path]))
    assert (first.epoch, first.trained, last.epoch, last.trained) == (0, False, 3, True)
    assert same(first.module().state_dict(), first.untrained_module(CELL.seed).state_dict())
    assert not same(first.module().state_dict(), first.untrained_module(CELL.seed + 1).state_dict())
    assert evaluated(last.module(), few.test) == outcome.values["accuracy"]
    assert evaluated(last.module(), few.validation) == outcome.values["accuracy_validation"]
    assert not last.module().training
    sizes = [one.module().blocks[0].operator.mask.sigma.tolist() for one in (first, last)]
    assert sizes[0] != sizes[1] == weights.read(last.weights)["weights"]["blocks.0.operator.mask.sigma"].tolist()


def test_weight_average_is_saved_if_it_is_evaluated(tmp_path, few):
    outcome = train(tmp_path, protocol=replace(PROTOCOL, ema=0.9))
    (one,) = from_weights([tmp_path])
    assert evaluated(one.module(), few.test) == outcome.values["accuracy"]


def test_saving_changes_neither_the_training_nor_the_key(tmp_path):
    plain, keeping = train(), train(tmp_path, each=True)
    curve = ("loss", "penalty", "validation", "lr")
    assert [plain.rounds[name] for name in curve] == [keeping.rounds[name] for name in curve]
    assert plain.values["accuracy"] == keeping.values["accuracy"]
    job = Job(CELL, "accuracy", PROTOCOL)
    given = saving_options(job, Limits(weights=str(tmp_path), each_epoch=True))
    assert (given["weights"], given["each_epoch"]) == (tmp_path, True)
    assert saving_options(job, Limits())["weights"] is None
    assert "weights" not in str(job.to_json())


@pytest.mark.parametrize("stop", [3, 5, 6, 8])
def test_killed_training_resumes_with_the_same_files(stop, tmp_path, monkeypatch):
    """With three steps per epoch, a yield and a state after each step and after each evaluation."""
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    train(tmp_path / "whole", each=True)
    assert train(tmp_path / "cut", each=True, checkpoint=tmp_path / "job.pt", stop=stop) is None
    before = {path: path.read_bytes() for path in (tmp_path / "cut").iterdir()}
    assert 0 < len(before) < 4
    train(tmp_path / "cut", each=True, checkpoint=tmp_path / "job.pt")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    for path in (tmp_path / "whole").iterdir():
        first, second = weights.read(path), weights.read(tmp_path / "cut" / path.name)
        assert first["epoch"] == second["epoch"] and same(first["weights"], second["weights"])


def test_new_training_removes_the_files_of_an_earlier_one(tmp_path, monkeypatch):
    """The files of other jobs remain."""
    monkeypatch.setattr(loop, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    train(tmp_path, each=True, protocol=replace(PROTOCOL, lr=(1e-3,)))
    others = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(tmp_path, each=True, stop=5) is None
    ((*_, killed),) = group_by_training(from_weights(set(tmp_path.iterdir()) - others.keys()))
    assert not killed.finished and killed.progress == f"epoch {killed.epoch} of 3" and killed.epoch < 3
    train(tmp_path)
    (last,) = set(tmp_path.iterdir()) - others.keys()
    (one,) = from_weights([last])
    assert one.finished and one.progress == "epoch 3 of 3"
    assert {path: path.read_bytes() for path in others} == others


def test_epochs_of_several_trainings_have_separate_files(tmp_path):
    train(tmp_path, each=True)
    train(tmp_path, each=True, protocol=replace(PROTOCOL, lr=(1e-3,)))
    found = group_by_training(from_weights([tmp_path]))
    assert [[one.epoch for one in epochs] for epochs in found] == [[0, 1, 2, 3]] * 2


def test_epochs_of_a_training_are_grouped_whatever_their_files_are_called(tmp_path):
    train(tmp_path, each=True)
    for path in tmp_path.iterdir():
        path.rename(tmp_path / f"renamed {path.name[-len('epoch000.weights.pt') :]}")
    (epochs,) = group_by_training(from_weights([tmp_path]))
    assert [one.epoch for one in epochs] == [0, 1, 2, 3]
    assert {one.training for one in epochs} == {Job(CELL, "accuracy", PROTOCOL).key()}
    assert {one.protocol for one in epochs} == {protocol_name(CELL, PROTOCOL)}
    assert {one.protocol_digest for one in epochs} == {protocol_digest(CELL, PROTOCOL)}


def test_files_of_an_older_version_with_fewer_settings_are_another_training(tmp_path):
    train(tmp_path, each=True)
    for path in list(tmp_path.iterdir()):
        content = torch.load(path)
        del content["job"]["protocol"]["ema"]
        torch.save(content, tmp_path / f"older {path.name}")
    found = group_by_training(from_weights([tmp_path]))
    assert [[one.epoch for one in epochs] for epochs in found] == [[0, 1, 2, 3]] * 2
    assert len({one.protocol for epochs in found for one in epochs}) == 1


def test_invalid_file_is_a_one_line_error(tmp_path):
    (tmp_path / "noise").write_bytes(b"\x80\x02no weights" * 9)
    torch.save({"weights": {"a": torch.ones(1)}}, tmp_path / "other")
    torch.save(torch.ones(3), tmp_path / "tensor")
    (tmp_path / "empty").touch()
    for name in ("noise", "other", "tensor", "empty"):
        with pytest.raises(ValueError, match=f"{name} is not a weights file") as caught:
            weights.read(tmp_path / name)
        assert "\n" not in str(caught.value)
    train(tmp_path)
    (path,) = tmp_path.glob("*.pt")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="is not a weights file"):
        from_weights([tmp_path])
    with pytest.raises(ValueError, match="no saved weights found"):
        from_weights([])


def with_weights(path, method="flexconv"):
    cell = replace(CELL, method=method, params=CELL.params if method == "flexconv" else ())
    return Network(cell, (8, 8), classes=10, channels=1, weights=path)


@pytest.mark.parametrize("under", [None, "state_dict", "model", "weights"])
def test_plain_state_dict_is_loaded(under, tmp_path):
    state = with_weights(None).untrained_module(9).state_dict()
    torch.save({under: state, "epoch": 3} if under else state, tmp_path / "w.pt")
    one = with_weights(tmp_path / "w.pt")
    assert one.trained and same(one.module().state_dict(), state)


def test_weights_of_another_network_are_a_one_line_error(tmp_path):
    state = with_weights(None, "dwconv3").untrained_module().state_dict()
    torch.save(state, tmp_path / "w.pt")
    wanted = r"w.pt does not fit mixer.* \+ flexconv\[hidden=4\]: \d+ names or shapes .*'blocks.0.operator"
    with pytest.raises(ValueError, match=wanted) as e:
        with_weights(tmp_path / "w.pt").module()
    assert "\n" not in str(e.value)
    torch.save({**state, "head.bias": torch.ones(3), "step": 7}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"2 names or shapes differ from its \d+ weights, first 'head.bias'"):
        with_weights(tmp_path / "w.pt", "dwconv3").module()
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="holds no state dict"):
        with_weights(tmp_path / "w.pt").module()


def test_published_weights_are_loaded_after_the_initialisation(monkeypatch):
    asked = []
    monkeypatch.setattr(Workload, "network", lambda self, *size: asked.append(self.cell.network) or torch.nn.Identity())
    cell = replace(CELL, method="original", network="resnet18[pretrained=True,where=dense]")
    one = Network(cell, (32, 32))
    one.untrained_module()
    one.module()
    assert one.trained and asked == ["resnet18[where=dense]", "resnet18[pretrained=True,where=dense]"]


def test_run_saves_weights_next_to_its_journal(tmp_path):
    words = ["run", "--metrics", "accuracy", "--methods", "dwconv3", "--baseline", "none", "--res", "8", "--device", "cpu"]
    words += ["--executor", "inline", "--train-res", "8", "--budget", "epochs=1", "--keep-weights", "last"]
    result = CliRunner().invoke(main, [*words, "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    (record,) = read_journal(tmp_path / JOURNAL).records.values()
    (one,) = from_weights([tmp_path / "weights"])
    assert one.epoch == 1 and weights.read(one.weights)["job"] == replace(record.job, code="")
    assert evaluated(one.module(), data.DataSet("digits").load(DataSpec(8)).test) == record.values["accuracy"]
