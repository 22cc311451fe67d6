"""Energy per call, with a simulated clock and counter that only calls and idle time advance."""

from types import SimpleNamespace

import pytest
import torch

from bench import columns
from bench.metrics import energy
from bench.metrics.energy import Window, counter_of, measure, summary
from bench.spec import Cell, Energy
from bench.system import nvml
from bench.system.rapl import Packages
from bench.workload.build import Workload
from methods import Unsupported

IDLE, BUSY = 20.0, 100.0  # watts
CALL = 2e-3  # seconds


class Machine:
    """A simulated clock and energy counter, for idle time and for calls of a workload."""

    def __init__(self, monkeypatch, busy=BUSY, call=CALL):
        self.now = self.joules = 0.0
        self.calls, self.waits, self.busy, self.call = 0, [], busy, call
        monkeypatch.setattr(energy.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(energy.time, "sleep", lambda seconds: self.spend(seconds, IDLE))
        monkeypatch.setattr(energy, "counter_of", lambda device: ("fake", lambda: self.joules))
        monkeypatch.setattr(energy, "waiting", lambda device: lambda: self.waits.append(self.calls))

    def spend(self, seconds, watts):
        self.now += seconds
        self.joules += seconds * watts

    def step(self):
        self.calls += 1
        self.spend(self.call, self.busy)


def workload_of(machine):
    """Return a workload whose calls consume time and energy of the machine."""

    class Paid(Workload):
        def step(self, module, x, cotangent):
            inner = super().step(module, x, cotangent)

            def step():
                machine.step()
                return inner()

            return step

    return Paid(Cell("dwconv7", 6, 5, channels=2))


def outcome(measuring):
    flags = []
    while True:
        try:
            flags.append(next(measuring))
        except StopIteration as end:
            return flags, end.value


def test_energy_of_a_call_excludes_idle_energy(monkeypatch):
    machine = Machine(monkeypatch)
    flags, found = outcome(measure(workload_of(machine), Energy()))
    values = found.values
    assert flags == [False, False, True]
    assert list(values) == columns.columns_of("energy")
    assert values["energy_j"] == pytest.approx((BUSY - IDLE) * CALL)
    assert values["energy_lo_j"] == pytest.approx(values["energy_j"]) == values["energy_hi_j"]
    assert (values["power_w"], values["idle_w"]) == (pytest.approx(BUSY), pytest.approx(IDLE))
    assert values["energy_windows"] == len(found.samples["windows"]) == 3
    assert 3.0 <= values["energy_window_s"] < 3.0 + energy.CHUNK + CALL
    assert values["energy_source"] == "fake"


def test_device_is_synchronised_after_at_most_a_hundred_calls(monkeypatch):
    machine = Machine(monkeypatch, call=4e-4)
    outcome(measure(workload_of(machine), Energy(windows=1, window_seconds=1.0)))
    gaps = [after - before for before, after in zip(machine.waits, machine.waits[1:])]
    assert max(gaps) == energy.MAX_CALLS


def test_a_long_call_is_not_repeated_a_hundred_times(monkeypatch):
    machine = Machine(monkeypatch, call=2.0)
    _, found = outcome(measure(workload_of(machine), Energy(windows=1)))
    assert found.samples["windows"][0]["calls"] == 2
    assert found.values["energy_lo_j"] is None, "one window has no interval"


def test_idle_time_is_that_of_the_protocol(monkeypatch):
    machine, slept = Machine(monkeypatch), []
    monkeypatch.setattr(energy.time, "sleep", lambda seconds: slept.append(seconds) or machine.spend(seconds, IDLE))
    outcome(measure(workload_of(machine), Energy(windows=2, window_seconds=1.0, idle_seconds=0.7)))
    assert slept == [0.7, 0.7]


def test_short_windows_are_rejected(monkeypatch):
    machine = Machine(monkeypatch)
    with pytest.raises(Unsupported, match=r"0\.5 s"):
        next(measure(workload_of(machine), Energy(window_seconds=0.5)))
    assert machine.calls == 0


def test_call_without_additional_energy_is_unsupported(monkeypatch):
    machine = Machine(monkeypatch, busy=IDLE / 2)
    with pytest.raises(Unsupported, match="no more energy than an idle device"):
        outcome(measure(workload_of(machine), Energy(windows=1, window_seconds=1.0)))


def test_interval_is_over_windows():
    windows = [Window(calls=10, seconds=1.0, joules=joules, idle=10.0) for joules in (30.0, 50.0, 90.0)]
    values = summary(windows)
    assert values["energy_j"] == pytest.approx(4.0)
    assert values["energy_lo_j"] < 2.0 < 8.0 < values["energy_hi_j"]
    assert values["power_w"] == 50.0


def test_unreadable_counter_is_unsupported(monkeypatch):
    monkeypatch.setattr(nvml, "gpu", lambda device: nvml.Gpu(None, None, f"no NVML for {device}"))
    with pytest.raises(Unsupported, match="no energy counter: no NVML for cuda:0"):
        counter_of(torch.device("cuda:0"))


def test_gpu_counter_is_that_of_the_driver(monkeypatch):
    monkeypatch.setattr(nvml, "gpu", lambda device: SimpleNamespace(energy=lambda: 12.5))
    name, joules = counter_of(torch.device("cuda:1"))
    assert (name, joules()) == ("nvml", 12.5)


MAX_CALLS = 999_999


@pytest.fixture
def powercap(tmp_path):
    """Create zones of two packages, a core domain, a memory controller and the platform. Returns a writer of microjoules."""
    names = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:1": "package-1", "intel-rapl:2": "psys"}
    for zone, name in {**names, "intel-rapl-mmio:0": "package-0"}.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(name + "\n")
        (tmp_path / zone / "max_energy_range_uj").write_text(f"{MAX_CALLS}\n")
        (tmp_path / zone / "energy_uj").write_text("5\n")

    def write(*microjoules):
        for number, value in enumerate(microjoules):
            (tmp_path / f"intel-rapl:{number}" / "energy_uj").write_text(f"{value}\n")
        return tmp_path

    return write


def test_packages_are_summed_and_nothing_is_counted_twice(powercap):
    counter = Packages(powercap(100, 200, 0))
    powercap(150, 270, 900)
    assert counter.joules() == pytest.approx(120e-6)
    powercap(151, 270, 950)
    assert counter.joules() == pytest.approx(121e-6)


def test_wrap_around_of_a_counter_is_corrected(powercap):
    counter = Packages(powercap(MAX_CALLS - 9, 0))
    powercap(20, 0)
    assert counter.joules() == pytest.approx(30e-6)


def test_missing_package_is_unsupported(tmp_path):
    with pytest.raises(Unsupported, match="no energy counter of a CPU package"):
        Packages(tmp_path / "powercap")


def test_counter_readable_only_by_root_is_unsupported(powercap, monkeypatch):
    root = powercap(1, 2)
    read = type(root).read_text

    def refused(path, *args):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args)

    monkeypatch.setattr(type(root), "read_text", refused)
    with pytest.raises(Unsupported, match=r"not readable: .*Permission denied.*energy_uj"):
        Packages(root)


def test_cpu_counter_is_that_of_the_packages(powercap, monkeypatch):
    monkeypatch.setattr(energy, "Packages", lambda: Packages(powercap(1, 2)))
    name, joules = counter_of(torch.device("cpu"))
    assert (name, joules()) == ("rapl", 0.0)
