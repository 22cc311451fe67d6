"""End-to-end tests on a CUDA device: timers, state of the GPU, memory, energy, and a sweep."""

import math
import subprocess
import sys
from statistics import median

import pytest
import torch

from bench.executors.job import settle
from bench.executors.process import Pool
from bench.journal import JOURNAL, read_journal
from bench.metrics import energy
from bench.metrics.memory import cuda_peak
from bench.spec import Cell, Energy, Job, Limits, Timing
from bench.system import nvml
from bench.timers.cuda import TIMERS, cuda_healthy, cuda_reset, cuda_round, device_times
from bench.workload.build import Workload
from methods import Unsupported
from tests.paths import ROOT

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

CUDA = "cuda:0"
MILLISECOND = 2_000_000  # cycles of the spinning kernel: 0.5 to 2 ms at the clocks of today's GPUs

ASSERTS = """
import torch
from torch import nn
from methods import register


@register("asserts")
class Asserts(nn.Module):
    \"\"\"Reads out of range: the kernel's assertion fails and takes the process's device along.\"\"\"

    def __init__(self, channels, resolution):
        super().__init__()

    def forward(self, x):
        return x + x.flatten()[torch.full((1,), 2**40, device=x.device)]
"""


def timing(timer):
    return Timing(timer=timer, rounds=2, max_rounds=2, round_seconds=0.02, min_calls=5, max_calls=50)


def round_of(step, timer):
    with torch.inference_mode():
        return cuda_round(step, timing(timer), CUDA)


def seconds_of(step, timer):
    return median(round_of(step, timer).wall)


def step_of(method, mode="infer", res=56):
    return Workload(Cell(method, res, res, channels=16, device=CUDA, mode=mode)).checked_step()


def chain():
    """Return thirty kernels with little work, and views between them that only take time on the host."""
    x = torch.ones(16, device=CUDA)

    def step():
        y = x
        for _ in range(30):
            y = y.view(4, 4).unsqueeze(0).squeeze(0).view(16) + 1
        return y

    return step


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize("method", ["dwconv7", "niff"])
def test_every_timer_measures_the_registered_methods(method, mode, timer):
    """Includes CUDA graphs of transforms and of a training step."""
    one = cuda_round(step_of(method, mode), timing(timer), CUDA)
    assert 5 <= len(one.wall) <= 50
    assert all(math.isfinite(seconds) and 1e-7 < seconds < 0.1 for seconds in one.wall)
    assert one.facts["launch_bound"] in (0, 1)
    if one.facts["launch_bound"]:
        assert 1e-4 < one.facts["graph_ms"] < 100
    assert cuda_healthy(CUDA)


@pytest.mark.parametrize("timer", TIMERS)
def test_kernel_of_known_duration(timer):
    """Twice the cycles take twice as long, and a millisecond is correct within the range of clocks."""
    once = seconds_of(lambda: torch.cuda._sleep(MILLISECOND), timer)
    twice = seconds_of(lambda: torch.cuda._sleep(2 * MILLISECOND), timer)
    assert 0.5e-3 < once < 2.5e-3
    assert twice / once == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("timer", TIMERS)
def test_copy_is_not_faster_than_memory(timer):
    source = torch.randn(1 << 28, device=CUDA)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), timer)
    assert 2 * source.nbytes / 20e12 < seconds < 2 * source.nbytes / 50e9


def test_cold_cache_is_slower():
    """Input and output fill half of the L2 cache, so hot calls read them from it."""
    cached = torch.cuda.get_device_properties(CUDA).L2_cache_size
    x = torch.randn(cached // 16, device=CUDA)
    assert seconds_of(x.relu, "cold") > seconds_of(x.relu, "hot")


def test_synchronous_calls_are_slower():
    step = chain()
    assert seconds_of(step, "wall") > seconds_of(step, "hot") > 0


def test_short_calls_are_resolved():
    """Combined samples of a kernel of a few microseconds agree."""
    x = torch.ones(16, device=CUDA)
    times = round_of(lambda: x + 1, "hot").wall
    assert 1e-7 < median(times) < 20e-6
    assert len(set(times)) > 1


def test_spinning_kernel_hides_the_launches():
    """Thirty launches take longer on the host than on the device; the time of the device is reported."""
    step = chain()
    with torch.inference_mode():
        hidden = median(device_times(step, 20, enqueue=2e-3))
        shown = median(device_times(lambda: (torch.cuda.synchronize(), step()), 20, enqueue=2e-3))
    assert hidden < shown


def test_launch_bound_calls_are_flagged():
    facts = round_of(chain(), "cold").facts
    assert facts["launch_bound"] == 1
    assert facts["graph_ms"] < seconds_of(chain(), "wall") * 1e3


def test_large_calls_are_not_launch_bound():
    x = torch.randn(4096, 4096, device=CUDA)
    facts = round_of(lambda: x @ x, "cold").facts
    assert (facts["launch_bound"], facts["graph_ms"]) == (0, None)


def test_synchronising_call_has_no_graph():
    x = torch.ones(16, device=CUDA)
    with pytest.raises(Unsupported, match="no CUDA graph"):
        round_of(lambda: x + x.sum().item(), "graph")
    assert cuda_healthy(CUDA)
    assert seconds_of(lambda: x + 1, "graph") > 0


def test_gpu_reports_its_state():
    card = nvml.gpu(CUDA)
    reading = card.read()
    assert card.handle, card.reason
    assert 100 < reading.sm_clock < reading.max_clock + 50 < 5000, card.reason
    assert 5 < reading.temperature < 110, card.reason
    assert reading.reasons is not None, card.reason
    assert reading.foreign is None or reading.foreign >= 0
    facts = round_of(chain(), "hot").facts
    assert facts["throttled"] in (0, 1)
    assert facts["sm_clock_mhz"] > 100


def test_memory_of_known_operators():
    x = torch.randn(1 << 23, device=CUDA)  # 32 MiB: a multiple of the allocator's blocks
    assert cuda_peak(x.relu, torch.device(CUDA)) == x.nbytes
    assert cuda_peak(lambda: x.relu() * x.neg(), torch.device(CUDA)) == 3 * x.nbytes


@pytest.mark.filterwarnings("ignore")  # some versions of torch warn about the name of the setting
def test_products_and_convolutions_have_full_precision():
    settle(Cell("dwconv7", 8, 8, device=CUDA))
    assert torch.backends.cudnn.benchmark
    a, b = torch.randn(2, 512, 512, device=CUDA)
    kernel, image = torch.randn(64, 64, 3, 3, device=CUDA), torch.randn(1, 64, 32, 32, device=CUDA)
    for function, one, other in ((torch.mm, a, b), (torch.conv2d, image, kernel)):
        exact = function(one.double(), other.double())
        assert (function(one, other) - exact).norm() / exact.norm() < 2e-5, "TF32 errs by some 3e-4"


def test_cell_leaves_no_plans_and_workspaces():
    cuda_reset(CUDA)
    held, plans = torch.cuda.memory_allocated(CUDA), torch.backends.cuda.cufft_plan_cache[0]
    x = torch.randn(64, 64, device=CUDA)
    torch.fft.rfft2(x @ x)
    assert plans.size > 0
    del x
    cuda_reset(CUDA)
    assert plans.size == 0
    assert torch.cuda.memory_allocated(CUDA) <= held


def test_energy_of_a_call():
    cell = Cell("dwconv7", 224, 224, channels=64, batch=8, device=CUDA)
    measuring = energy.measure(Workload(cell), Energy(windows=2, window_seconds=1.5, idle_seconds=0.5))
    assert [next(measuring), next(measuring)] == [False, True]
    with pytest.raises(StopIteration) as end:
        next(measuring)
    values = end.value.value.values
    assert values["energy_source"] == "nvml"
    assert 1 < values["idle_w"] < values["power_w"] < 5000
    assert 0 < values["energy_j"] < 100


def test_sweep_fills_the_columns_of_the_gpu(tmp_path):
    out = tmp_path / "results" / "gpu"
    command = [sys.executable, "-m", "bench", "run", "--methods", "dwconv7,niff", "--res", "56", "--device", "cuda", "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    journal = read_journal(out / JOURNAL)
    assert {record.status for record in journal.records.values()} == {"ok"}
    assert {env["cudnn_benchmark"] for env in journal.envs.values()} == {True}
    assert [env["tf32"] for env in journal.envs.values()] == [{"matmul": False, "cudnn": False}]
    latencies = [record.values for record in journal.records.values() if record.job.metric == "latency"]
    assert len(latencies) == 2
    for values in latencies:
        assert values["timer"] == "cold"
        assert values["latency_ms"] > 0
        assert values["sm_clock_mhz"] > 100
        assert values["gpu_temperature_c"] > 5
        assert values["throttled"] in (0, 1)
        assert values["launch_bound"] in (0, 1)


def test_failed_assertion_in_a_kernel_affects_one_record(tmp_path):
    plugin = tmp_path / "asserts.py"
    plugin.write_text(ASSERTS)
    jobs = [Job(Cell(name, 32, 32, channels=4, device=CUDA), "latency", timing("cold")) for name in ("dwconv7", "asserts", "niff")]
    records = list(Pool((str(plugin),)).execute(jobs, Limits(timeout=200)))
    statuses = {record.job.cell.method: record.status for record in records}
    assert statuses.pop("asserts") in ("error", "crashed")
    assert statuses == {"dwconv7": "ok", "niff": "ok"}, [record.detail for record in records]
