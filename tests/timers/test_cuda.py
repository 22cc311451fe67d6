"""The four GPU timers on a simulated device with one clock for the host and one for the queued work."""

import math
from contextlib import contextmanager, nullcontext
from statistics import median
from types import SimpleNamespace

import pytest
import torch

from bench import columns
from bench.spec import Timing
from bench.system import nvml
from bench.system.nvml import Reading
from bench.timers import cuda as cuda_clocks
from bench.timers.cpu import WARM_CALLS
from bench.timers.cuda import BUNDLE, BURST, SHORT, Pace, calls_per_sample, cuda_healthy, cuda_round, pace_of
from methods import Unsupported

TIMING = Timing(round_seconds=0.02, min_calls=3, max_calls=10)
RECORD = 2e-6  # seconds of the host to enqueue an event or a flush
REPLAY = 5e-6  # and a graph
FLUSHED = 30e-6  # seconds of the device for a flush, and for a call with cold caches


class Device:
    """A simulated GPU. A step takes `host` seconds to enqueue and `run` seconds on the device, more after a flush."""

    def __init__(self, host=10e-6, run=100e-6, miss=FLUSHED, waits=False, captures=True):
        self.host, self.run, self.miss, self.waits, self.captures = host, run, miss, waits, captures
        self.now = self.until = 0.0  # times of the host and of the end of the device's work
        self.flushed = self.capturing = self.careful = False
        self.log = []
        self.recorded = []  # seconds of the calls inside a graph

    def enqueue(self, host, run):
        self.now += host
        self.until = max(self.until, self.now) + run

    def step(self):
        self.log.append("step")
        run, self.flushed = self.run + (self.miss if self.flushed else 0), False
        if self.capturing:
            self.recorded.append(run)
            self.now += self.host
            if not self.captures:
                raise RuntimeError("operation not permitted when\nstream is capturing")
            return
        self.enqueue(self.host, run)
        if self.waits:
            if self.careful:
                raise RuntimeError("called a synchronizing CUDA operation")
            self.synchronize()

    def synchronize(self, device=None):
        self.log.append("synchronize")
        self.now = self.until = max(self.now, self.until)

    def flush(self):
        self.enqueue(RECORD, FLUSHED)
        self.flushed = True

    def hold(self, seconds):
        self.log.append("hold")
        self.enqueue(RECORD, seconds)

    def replay(self):
        self.log.append("replay")
        self.enqueue(REPLAY, sum(self.recorded))

    def event(self, enable_timing):
        return Event(self)

    @contextmanager
    def graph(self, replayed, stream):
        self.capturing, self.recorded = True, []
        try:
            yield
        finally:
            self.capturing = False

    def debug(self, mode):
        self.careful = mode == "error"


class Event:
    def __init__(self, device):
        self.device, self.at = device, math.nan

    def record(self):
        self.device.enqueue(RECORD, 0.0)
        self.at = self.device.until

    def elapsed_time(self, other):
        return (other.at - self.at) * 1e3


@pytest.fixture
def on(monkeypatch):
    """Replace CUDA by a simulated device."""

    def install(device):
        cuda = SimpleNamespace(
            device=lambda name: nullcontext(),
            stream=lambda stream: nullcontext(),
            Event=device.event,
            synchronize=device.synchronize,
            CUDAGraph=lambda: SimpleNamespace(replay=device.replay),
            graph=device.graph,
            current_device=lambda: 0,
            current_stream=lambda: None,
            get_sync_debug_mode=lambda: 0,
            set_sync_debug_mode=device.debug,
            _sleep=lambda cycles: device.hold(cycles / cuda_clocks.SPIN),
        )
        monkeypatch.setattr(torch, "cuda", cuda)
        monkeypatch.setattr(cuda_clocks.time, "perf_counter", lambda: device.now)
        monkeypatch.setattr(cuda_clocks, "flush", lambda: device.flush)
        monkeypatch.setattr(cuda_clocks, "capture_stream", lambda index: SimpleNamespace(wait_stream=lambda other: None))
        monkeypatch.setattr(cuda_clocks, "failed_captures", [])
        monkeypatch.setattr(nvml, "gpu", lambda name: SimpleNamespace(read=lambda: Reading(1900, 1980, 45, 0, 0)))
        return device

    return install


def round_of(device, timer, timing=TIMING):
    return cuda_round(device.step, Timing(timer, 5, 15, 0.02, timing.round_seconds, timing.min_calls, timing.max_calls), "cuda:0")


@pytest.mark.parametrize(
    ("timer", "seconds"),
    [
        ("cold", 100e-6 + FLUSHED),
        ("hot", 100e-6),
        ("graph", 100e-6),
        ("wall", 10e-6 + 100e-6),
    ],
)
def test_time_of_each_timer(on, timer, seconds):
    one = round_of(on(Device()), timer)
    assert len(one.wall) == TIMING.max_calls == len(one.switches)
    assert one.wall == pytest.approx([seconds] * len(one.wall), abs=2 * RECORD)
    assert one.cpu == one.faults == []


@pytest.mark.parametrize(("timer", "seconds"), [("cold", 30e-6 + FLUSHED), ("hot", 30e-6), ("graph", 30e-6), ("wall", 530e-6)])
def test_only_the_wall_timer_includes_launches(on, timer, seconds):
    """The host takes longer to enqueue a call than the device to run it."""
    one = round_of(on(Device(host=500e-6, run=30e-6)), timer)
    assert one.wall == pytest.approx([seconds] * len(one.wall), abs=2 * RECORD)


def test_without_the_spinning_kernel_launches_are_included(on, monkeypatch):
    device = on(Device(host=500e-6, run=30e-6))
    monkeypatch.delattr(torch.cuda, "_sleep")
    assert median(round_of(device, "hot").wall) == pytest.approx(530e-6, rel=0.05)


@pytest.mark.parametrize("timer", ["cold", "hot", "graph", "wall"])
def test_launch_bound_calls_are_flagged_with_their_time_in_a_graph(on, timer):
    facts = round_of(on(Device(host=500e-6, run=30e-6)), timer).facts
    assert facts["launch_bound"] == 1
    assert facts["graph_ms"] == pytest.approx(30e-3, rel=0.15)


@pytest.mark.parametrize("timer", ["cold", "hot", "graph", "wall"])
def test_other_calls_are_not_flagged(on, timer):
    """The wall timer never flags a call, because it includes the enqueueing."""
    facts = round_of(on(Device(host=50e-6, run=100e-6)), timer).facts
    assert (facts["launch_bound"], facts["graph_ms"]) == (0, None)


def test_pace(on):
    device = on(Device(host=40e-6, run=90e-6))
    assert pace_of(device.step) == pytest.approx(Pace(40e-6, 90e-6), abs=2 * RECORD)


def test_synchronising_call_cannot_be_captured(on):
    device = on(Device(host=500e-6, run=30e-6, waits=True))
    assert cuda_clocks.launch_columns(device.step, 3, Pace(530e-6, 30e-6), 30e-6) == {"launch_bound": 1, "graph_ms": None}
    with pytest.raises(Unsupported, match="no CUDA graph of the call: called a synchronizing CUDA operation"):
        round_of(device, "graph")
    assert cuda_clocks.failed_captures == []
    assert not device.careful


def test_failed_capture_makes_the_process_unhealthy(on, monkeypatch):
    device = on(Device(host=500e-6, run=30e-6, captures=False))
    monkeypatch.setattr(torch, "ones", lambda count, device: torch.Tensor([1.0]))
    assert cuda_healthy("cuda:0")
    with pytest.raises(Unsupported, match="not permitted when stream is capturing"):
        round_of(device, "graph")
    assert not cuda_healthy("cuda:0")


def test_out_of_memory_is_not_reported_as_unsupported(on, monkeypatch):
    device = on(Device())

    def exhausted(call, into, stream):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(cuda_clocks, "capture", exhausted)
    with pytest.raises(torch.OutOfMemoryError):
        round_of(device, "graph")
    bound = on(Device(host=500e-6, run=30e-6))
    assert round_of(bound, "hot").facts["graph_ms"] is None, "the latency was measured all the same"


def test_raising_device_is_not_healthy(on, monkeypatch):
    on(Device())

    def asserted(device=None):
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", asserted)
    assert not cuda_healthy("cuda:0")


@pytest.mark.parametrize(("seconds", "calls"), [(SHORT, 1), (SHORT * 0.99, 11), (BUNDLE / 49.5, 50)])
def test_short_calls_are_combined(seconds, calls):
    assert calls_per_sample(seconds) == calls


@pytest.mark.parametrize("timer", ["hot", "graph"])
def test_combined_samples_are_divided_by_the_calls(on, timer):
    one = round_of(on(Device(host=1e-6, run=10e-6)), timer)
    assert one.wall == pytest.approx([10e-6] * len(one.wall), rel=0.02), "an event's cost is spread over the calls_per_sample"


def test_host_synchronises_before_the_queue_is_full(on):
    """A burst takes at most `BURST` seconds of the host and begins with the spinning kernel."""
    device = on(Device(host=1e-3, run=100e-6))
    round_of(device, "hot")
    bursts = " ".join(device.log).split("synchronize")
    held = [burst.split() for burst in bursts if "hold" in burst]
    assert all(burst[0] == "hold" and burst.count("step") * 1e-3 <= BURST for burst in held)
    assert max(burst.count("step") for burst in held) == 3


def test_graph_is_warmed_up_on_the_capture_stream(on):
    device = on(Device())
    before = len(device.log)
    cuda_clocks.captured(device.step)
    assert device.log[before:] == ["step"] * (WARM_CALLS + 1) + ["synchronize", "step"]


def test_throttled_round_is_warmed_up_and_repeated(on, monkeypatch):
    device = on(Device())
    readings = iter([Reading(500, 1980, 90, 0x8, 2)] * 2 + [Reading(1980, 1980, 70, 0, 0)] * 2)
    monkeypatch.setattr(nvml, "gpu", lambda name: SimpleNamespace(read=lambda: next(readings)))
    monkeypatch.setattr(nvml.time, "sleep", lambda seconds: None)
    facts = dict(round_of(device, "hot").facts)
    assert facts == {
        "throttled": 0,
        "sm_clock_mhz": 1980,
        "gpu_temperature_c": 70,
        "foreign_processes": 0,
        "launch_bound": 0,
        "graph_ms": None,
    }
    assert set(facts) <= set(columns.columns_of("latency"))
