"""Peak rates: their probes and summary on small data, and the command that measures and caches them."""

import json

import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.counters.flops import Counter
from bench.counters.traffic import weights_bytes
from bench.executors.process import Pool
from bench.executors.worker import WorkerDied
from bench.spec import Cell
from bench.stats.rounds import Round
from bench.tables import roofline
from bench.timers import peak_rates
from bench.workload.build import Workload

TINY = peak_rates.Sizes(copies=(4096, 8192), matrices=(8,), images=((1, 2, 9, 3),), transforms=((2, 8),))
PROBES = {
    "copy hot 4096",
    "copy hot 8192",
    "product fp32 8",
    "product bf16 8",
    "convolution fp32 2x9 3x3",
    "convolution bf16 2x9 3x3",
    "transform 8",
    "launch",
}


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(peak_rates.SIZES, "cpu", TINY)
    monkeypatch.setattr(peak_rates, "ROUNDS", 2)


@pytest.fixture
def clock(monkeypatch):
    """Simulate rounds whose calls take the next value of `seconds`, without calling."""

    def install(*seconds):
        left = iter(seconds)

        def cpu_round(step, timing):
            assert timing.timer == "wall"
            return Round([next(left)] * 3, [1.0] * 3, [0] * 3, [0.0] * 3)

        monkeypatch.setattr(peak_rates, "cpu_round", cpu_round)

    return install


def of_kind(kind, threads=1, device="cpu"):
    return [probe for probe in peak_rates.probes(device, threads) if probe.kind == kind]


def test_every_rate_has_its_probes(tiny):
    found = list(peak_rates.probes("cpu", 1))
    assert {probe.name for probe in found} == PROBES
    assert len(found) == len(PROBES)


def test_gpu_probes_use_warm_and_cold_timers_and_launches_the_wall_timer():
    found = list(peak_rates.probes("cuda:0", 4))
    timers = {"copy hot": "hot", "copy cold": "cold", "linear fp32": "hot", "linear bf16": "hot", "fft": "hot", "launch": "wall"}
    assert {(probe.kind, probe.timer) for probe in found} == set(timers.items())
    assert [probe.work for probe in found] == [probe.work for probe in peak_rates.probes("cuda:0", 1)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["linear fp32", "linear bf16", "fft"])
def test_work_equals_the_counted_flops(tiny, kind, threads):
    for probe, alone in zip(of_kind(kind, threads), of_kind(kind)):
        step = probe.make()
        with Counter() as counter:
            step()
        assert probe.work == counter.total.flops == threads * alone.work


@pytest.mark.parametrize("dtype", peak_rates.DTYPES)
def test_products_run_in_their_dtype(tiny, dtype):
    assert {probe.make()().dtype for probe in of_kind(f"linear {dtype}")} == {peak_rates.DTYPES[dtype]}


def test_copy_reads_half_of_its_bytes_and_writes_half(tiny):
    for probe in of_kind("copy hot"):
        assert 2 * probe.make()().nbytes == probe.size == probe.work


def test_launch_is_one_of_many_operations(tiny):
    (probe,) = of_kind("launch")
    seen = []

    class Watch(Counter):
        def _add(self, func, name, call):
            seen.append(name)

    step = probe.make()
    with Watch():
        step()
    assert seen == ["add"] * probe.work


def test_best_round_and_size_counts():
    one, other = of_kind("fft")[:2]
    first, second = of_kind("copy hot")[:2]
    found = peak_rates.summary({one: 5.0, other: 3.0, second: 7.0, first: 9.0, of_kind("launch")[0]: 4.0})
    assert found["fft"] == 5
    assert found["copy"] == {"hot": [[first.size, 9.0], [second.size, 7.0]]}
    assert found["launch_s"] == 0.25
    assert found["linear"] == {"fp32": None, "bf16": None}


def test_rate_is_work_over_the_median_of_the_best_round(tiny, clock, monkeypatch):
    (probe,) = of_kind("fft")
    monkeypatch.setattr(peak_rates, "probes", lambda device, threads: [probe])
    clock(0.5, 0.25)
    assert peak_rates.measure("cpu", 1)["fft"] == probe.work / 0.25
    clock(0.25, 0.5)
    assert peak_rates.measure("cpu", 1)["fft"] == probe.work / 0.25


def test_probes_are_not_repeated_after_the_time_limit(tiny, clock, monkeypatch):
    monkeypatch.setattr(peak_rates, "SECONDS", 0.0)
    clock(*[0.5] * len(PROBES))  # another round would exhaust the iterator
    assert peak_rates.measure("cpu", 1)["launch_s"] == 0.5 / peak_rates.CHAIN


def test_raising_probe_is_named_and_the_others_are_measured(tiny, clock, monkeypatch):
    tried = []

    def broken(*shape):
        tried.append(shape)
        raise RuntimeError("not enough\nmemory")

    monkeypatch.setattr(peak_rates, "_transform", broken)
    clock(*[0.5] * 2 * len(PROBES))
    found = peak_rates.measure("cpu", 1)
    assert found["failed"] == {"transform 8": "not enough memory"}
    assert len(tried) == 1
    assert found["fft"] is None
    assert found["linear"]["fp32"] > 0


def test_measurement_is_complete_and_json_serialisable(tiny, monkeypatch):
    monkeypatch.setattr(peak_rates, "ROUNDS", 1)
    found = json.loads(json.dumps(peak_rates.measure("cpu", 1)))
    assert found["failed"] == {}
    assert [size for size, _ in found["copy"]["hot"]] == [4096, 8192]
    rates = [*found["linear"].values(), found["fft"], found["launch_s"], *(rate for _, rate in found["copy"]["hot"])]
    assert all(rate > 0 for rate in rates)
    assert torch.get_num_threads() == 1
    row = {
        "weights_bytes": 9.0,
        "params_count": 9,
        "flops": 1e4,
        "flops_eff": 9e3,
        "flops_fft": 1e3,
        "op_count": 1,
        "latency_ms": 1.0,
    }
    axes = {"device": "cpu", "threads": 1, "batch": 1, "channels": 2, "height": 8, "width": 8, "dtype": "bf16", "mode": "infer"}
    assert None not in roofline.columns(axes | row, found).values()


@pytest.mark.gpu
def test_gpu_is_measured_with_cold_and_warm_caches(monkeypatch):
    monkeypatch.setitem(peak_rates.SIZES, "cuda", peak_rates.Sizes((2**20,), (512,), ((4, 64, 28, 3),), ((64, 64),)))
    monkeypatch.setattr(peak_rates, "ROUNDS", 1)
    found = peak_rates.measure("cuda:0", 1)
    assert found["failed"] == {}
    assert set(found["copy"]) == {"hot", "cold"}
    assert found["copy"]["hot"][0][1] > 0 < found["copy"]["cold"][0][1]


def weights_of(method, mode="infer", **settings):
    workload = Workload(Cell(method, 12, 12, channels=4, mode=mode, **settings))
    module = workload.build("meta")
    x, cotangent = torch.empty(2, *workload.shape(), device="meta")
    step = workload.step(module, x, cotangent)
    step()
    return weights_bytes(step, (x, cotangent))


def test_weights_read_by_a_call():
    assert weights_of("dwconv3") == (4 * 9 + 4) * 4, "kernel and bias"
    assert weights_of("dwconv3", "train") == (4 * 9 + 4) * 4, "and no gradient, no saved input"
    assert weights_of("conv3", batch=3) == (4 * 4 * 9 + 4) * 4
    assert weights_of("niff") == 4 * 12 * 7 * 8, "the frozen half spectrum, not the network that makes it"


def test_tensor_counts_once_and_created_tensors_do_not_count():
    x, w = torch.ones(6), torch.ones(10)
    assert weights_bytes(lambda: (x + w[:6]) * w[4:], [x]) == 40
    assert weights_bytes(lambda: x.clone().add_(1).mul(2), [x]) == 0


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Simulate a machine of two cores without a GPU, whose workers reply immediately."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def ask(self, do, **request):
        if do == "env":
            return {"id": "e1", "cores": 2, "gpus": []}
        assert do == "ceilings"
        asked.append(request)
        return {"linear": {"fp32": 2e9}, "fft": None, "launch_s": None, "copy": {}, "failed": {}, "seconds": 3.0}

    monkeypatch.setattr(Pool, "ask", ask)
    return asked


def env(*words):
    return CliRunner().invoke(main, ["env", *words], catch_exceptions=False)


def test_env_reports_known_peak_rates(machine):
    assert "unknown" in env().output
    assert json.loads(env("--json").output)["ceilings"] == {}
    assert machine == [], "nothing is measured unless requested"
    measured = env("--measure").output
    assert machine == [{"device": "cpu", "threads": 1}]
    assert "fp32 products                 2 GFLOP/s" in measured
    assert measured.endswith(env().output)
    env("--measure", "--threads", "2")
    assert json.loads(env("--json").output)["ceilings"].keys() == {"cpu/1", "cpu/2"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("--threads", "3"), "more than the 2 cores"), (("--measure", "--device", "cuda"), "device cuda does not exist")],
)
def test_env_rejects_missing_devices(machine, words, sentence):
    result = env(*words)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())
    assert machine == []


def test_dead_worker_is_a_one_line_error(machine, monkeypatch):
    def died(self):
        raise WorkerDied("crashed", "killed by SIGSEGV")

    monkeypatch.setattr(Pool, "collect_env", died)
    result = env()
    assert result.exit_code == 1
    assert "a worker crashed: killed by SIGSEGV" in result.output
