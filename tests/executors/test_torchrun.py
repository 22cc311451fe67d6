"""Several processes that train one network give the same result as one process with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn
from torch.utils.data import TensorDataset

from bench.cli import main
from bench.executors import torchrun_env
from bench.journal import JOURNAL, read_journal
from bench.training import distributed, sync_batchnorm
from bench.training.batches import batch_size, evaluation_batches, training_batches
from bench.training.objective import Objective
from methods.registry import get, load_file
from tests.paths import ROOT

pytestmark = pytest.mark.timeout(400)  # seconds for processes that import torch on two busy cores
PLUGIN = """
import torch.distributed as dist
from torch import nn
from methods import register

@register("fails_in_one")
class FailsInOne(nn.Conv2d):
    '''Works, but for the second process.'''

    def __init__(self, channels, resolution):
        super().__init__(channels, channels, 3, padding=1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 4 and dist.is_initialized() and dist.get_rank() == 1:
            raise RuntimeError("the second process has had enough")
        return super().forward(x)
"""


def processes(folder, code, count=2):
    """Run `code(rank, folder)` in several processes of a gloo group."""
    mp.start_processes(begin, (count, str(folder), code), nprocs=count, start_method="fork")


def begin(rank, count, folder, code):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    code(rank, Path(folder))
    dist.destroy_process_group()


def normed(shape=(8, 3, 4, 4), seed=0):
    """Return values, a cotangent and the running statistics, weight and bias of a batch norm."""
    generator = torch.Generator().manual_seed(seed)
    x, cotangent = 3 + 2 * torch.randn(2, *shape, generator=generator)
    return x, cotangent, *torch.rand(4, shape[1], generator=generator)


def norm_of_a_share(rank, folder):
    for name, shape in {"maps": (8, 3, 4, 4), "vectors": (8, 3)}.items():
        x, cotangent, mean, variance, weight, bias = normed(shape)
        share = x[rank::2].clone().requires_grad_()
        weight.requires_grad_()
        with sync_batchnorm.synchronised_batchnorm():
            y = F.batch_norm(share, mean, variance, weight, bias, training=True, momentum=0.3)
            still = F.batch_norm(share, mean, variance, weight, bias)
        y.backward(cotangent[rank::2])
        found = {"y": y, "x": share.grad, "weight": weight.grad, "mean": mean, "variance": variance, "still": still}
        torch.save({key: value.detach() for key, value in found.items()}, folder / f"{name}{rank}")


def test_batch_norm_uses_the_batches_of_all_processes(tmp_path):
    processes(tmp_path, norm_of_a_share)
    for name, shape in {"maps": (8, 3, 4, 4), "vectors": (8, 3)}.items():
        x, cotangent, mean, variance, weight, bias = normed(shape)
        x.requires_grad_()
        weight.requires_grad_()
        y = F.batch_norm(x, mean, variance, weight, bias, training=True, momentum=0.3)
        y.backward(cotangent)
        still = F.batch_norm(x, mean, variance, weight, bias)
        shares = [torch.load(tmp_path / f"{name}{rank}") for rank in range(2)]
        for rank, share in enumerate(shares):
            torch.testing.assert_close(share["y"], y[rank::2], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(share["x"], x.grad[rank::2], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(share["mean"], mean)
            torch.testing.assert_close(share["variance"], variance)
            torch.testing.assert_close(share["still"], still[rank::2])
        torch.testing.assert_close(sum(share["weight"] for share in shares), weight.grad, rtol=1e-4, atol=1e-5)


def test_batch_norm_of_one_process_is_torchs():
    x, _, mean, variance, weight, bias = normed()
    with sync_batchnorm.synchronised_batchnorm():
        y = F.batch_norm(x, mean, variance, weight, bias, training=True)
    assert torch.equal(y, F.batch_norm(x, None, None, weight, bias, training=True))


class Half(nn.Module):
    """A convolution, a norm, a penalty on a weight that does not affect the output, and an unused weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.drawn, self.idle = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))

    def penalty(self):
        return self.drawn.square().sum()

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((-2, -1)))


def gradients(replicate, share):
    network = Half()
    objective = replicate(Objective(network, F.cross_entropy))
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 1, 6, 6, generator=generator), torch.arange(8) % 2
    for _ in range(2):  # an unused weight fails only in the second step
        network.zero_grad()
        sum(objective(images[share], labels[share])).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def gradients_of_a_share(rank, folder):
    torch.save(gradients(distributed.replicated, slice(rank, None, 2)), folder / f"gradients{rank}")


def test_gradients_equal_those_of_the_whole_batch(tmp_path):
    processes(tmp_path, gradients_of_a_share)
    alone = gradients(lambda objective: objective, slice(None))
    assert torch.equal(alone["drawn"], torch.full((3,), 2.0)) and alone["idle"] is None
    for rank in range(2):
        found = torch.load(tmp_path / f"gradients{rank}")
        for name, gradient in alone.items():
            if gradient is not None:
                torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def launched(out, *extra, count=2):
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)] if count > 1 else [sys.executable]
    given = ["--metrics", "accuracy", "--baseline", "none", "--res", "8", "--train-res", "8", "--device", "cpu", *extra]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*start, "-m", "bench", "run", *given, "-o", str(out)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def lines(out):
    return [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]


def test_two_processes_train_like_one(tmp_path):
    """Uses plain momentum: Adam would amplify the rounding errors of a bias before a norm to full steps."""
    given = ("--methods", "dwconv7,niff", "--budget", "epochs=2", "--train", "optimizer=momentum", "--train", "lr=0.01")
    for name, count in (("one", 1), ("two", 2)):
        done = launched(tmp_path / name, *given, *(["--executor", "inline"] if count == 1 else []), count=count)
        assert done.returncode == 0, done.stderr
    written = [line for line in lines(tmp_path / "two") if line["kind"] == "record"]
    assert len(written) == len({line["key"] for line in written}) == 2, "each record once"
    one, two = ({r.job.cell.method: r for r in read_journal(tmp_path / name / JOURNAL).records.values()} for name in ("one", "two"))
    assert one.keys() == two.keys() == {"dwconv7", "niff"}
    for name, record in one.items():
        assert (record.values["accuracy_processes"], two[name].values["accuracy_processes"]) == (1, 2)
        assert two[name].rounds["loss"] == pytest.approx(record.rounds["loss"], rel=1e-5)
        assert two[name].rounds["validation"] == pytest.approx(record.rounds["validation"], abs=0.7)  # percent: two images of 288
        assert record.rounds["loss"][1] < 0.9 * record.rounds["loss"][0], "nothing was learned that could differ"


def test_a_failure_in_one_process_is_recorded_and_the_next_job_runs(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN)
    given = ("--methods", "fails_in_one,conv3", "--plugin", str(plugin), "--budget", "epochs=1")
    done = launched(tmp_path / "run", *given, "--timeout", "20s")
    assert done.returncode != 0
    found = {record.job.cell.method: record for record in read_journal(tmp_path / "run" / JOURNAL).records.values()}
    assert found["conv3"].status == "ok" and found["conv3"].values["accuracy_processes"] == 2
    assert found["fails_in_one"].status == "error"
    assert "process 1: RuntimeError: the second process has had enough" in found["fails_in_one"].detail
    load_file(str(plugin))  # it works in a single process
    assert get("fails_in_one").build(2, 8)(torch.zeros(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_indivisible_batch_is_an_error(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 2)
    assert batch_size(range(100), 32) == 32
    with pytest.raises(ValueError, match="a batch of 33 images is not divisible among 2 processes"):
        batch_size(range(100), 33)


def test_processes_share_every_batch_and_every_image(monkeypatch):
    part = TensorDataset(torch.arange(11), torch.arange(11))
    alone = [images.tolist() for images, _ in training_batches(part, 4, 0, 1, 0)]
    assert [len(images) for images in alone] == [4, 4]
    monkeypatch.setattr(distributed, "world", lambda: 2)
    shares, seen = [], []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append([images.tolist() for images, _ in training_batches(part, 4, 0, 1, 0)])
        seen += [image for images, _ in evaluation_batches(part) for image in images.tolist()]
    assert [sorted(a + b) for a, b in zip(*shares)] == [sorted(images) for images in alone]
    assert sorted(seen) == list(range(11))


def test_other_metrics_are_rejected_under_torchrun(monkeypatch, tmp_path):
    for name, value in {torchrun_env.LAUNCHER: "1", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, ["run", "-m", "conv3", "--res", "8", "--metrics", "params,accuracy", "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "torchrun supports only --metrics accuracy, not params,accuracy" in result.output


@pytest.mark.parametrize(("seen", "own"), [(None, "1"), ("4,7", "7"), ("4", "")])
def test_each_process_sees_one_gpu(seen, own, monkeypatch):
    for name, value in {
        torchrun_env.LAUNCHER: "1",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "CUDA_VISIBLE_DEVICES": seen,
    }.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen or "")  # monkeypatch restores it
    torchrun_env.prepare(["accuracy"])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == own


def test_without_torchrun_the_environment_is_unchanged(monkeypatch):
    monkeypatch.delenv(torchrun_env.LAUNCHER, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    torchrun_env.prepare(["latency"])
    assert not torchrun_env.follows() and os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
