"""Rounds are repeated while a GPU throttles, and missing values of the driver are nulls with a reason."""

from types import SimpleNamespace

import pytest

from bench import columns
from bench.system import nvml
from bench.system.nvml import Gpu, Reading, find, gpu, pauses, slow, steady_round

HIGH, LOW = Reading(1980, 1980, 40, 0, 0), Reading(1000, 1980, 80, 0x40, 0)  # 0x40: hardware thermal slowdown
SETTING = 0x2


class Library:
    """A simulated NVML with one GPU. `answers`: {function: value, or -code of an error}; other functions are missing."""

    def __init__(self, kind=b"GPU-", pids=(), **answers):
        self.uuid, self.pids = kind + b"abc-1", pids
        self.answers = {f"nvml{name}": value for name, value in answers.items()}

    def nvmlInit_v2(self):
        return -self.answers.get("nvmlInit", 0)

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        handle._obj.value = 77
        return 0 if uuid == self.uuid else 6

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle, count, found):
        count._obj.value = len(self.pids)
        for place, pid in zip(found, self.pids):
            place.pid = pid
        return 7 if len(self.pids) > len(found) else 0

    def __getattr__(self, function):
        if function not in self.answers:
            raise AttributeError(function)

        def answer(handle, *args):
            assert handle.value == 77
            assert "Clock" not in function or "Reasons" in function or args[0] == nvml.SM_CLOCK
            value = self.answers[function]
            args[-1]._obj.value = max(value, 0)
            return max(-value, 0)

        return answer


TALKATIVE = {
    "DeviceGetClockInfo": 1755,
    "DeviceGetMaxClockInfo": 1980,
    "DeviceGetTemperature": 51,
    "DeviceGetCurrentClocksEventReasons": 4,
    "DeviceGetTotalEnergyConsumption": 2**32 + 1500,
}


def test_a_reading():
    card = find("abc-1", lambda name: Library(pids=(10, 11, 11, 12), **TALKATIVE))
    assert card.read() == Reading(1755, 1980, 51, 4, foreign=2)
    assert card.energy() == pytest.approx((2**32 + 1500) / 1000), "millijoules, in 64 bits"


def test_mig_instance_is_found():
    assert find("abc-1", lambda name: Library(b"MIG-", **TALKATIVE)).energy()


@pytest.mark.parametrize(("pids", "foreign"), [((), None), ((5,), 0), ((5, 6), 1)])
def test_own_process_is_subtracted(pids, foreign):
    assert find("abc-1", lambda name: Library(pids=pids)).foreign() == foreign


def test_more_processes_than_the_buffer_holds():
    card = find("abc-1", lambda name: Library(pids=range(1, 100)))
    assert card.foreign() is None
    assert "error 7" in card.reason


def absent(name):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (absent, "no NVML: libnvidia-ml.so.1: cannot open"),
        (lambda name: Library(Init=-9), "nvmlInit_v2 returned NVML error 9"),
        (lambda name: Library(b"GPU-other"), "NVML does not know the GPU abc-1: error 6"),
        (lambda name: Library(DeviceGetTotalEnergyConsumption=-3), "nvmlDeviceGetTotalEnergyConsumption returned NVML error 3"),
        (lambda name: Library(), "the driver's NVML has no nvmlDeviceGetTotalEnergyConsumption"),
    ],
)
def test_missing_values_are_none_with_a_reason(load, reason):
    card = find("abc-1", load)
    assert card.read() == Reading()
    assert card.energy() is None
    assert card.reason.startswith(reason)


def test_gpu_is_identified_by_uuid(monkeypatch):
    asked = []
    monkeypatch.setattr(nvml.torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"uuid of {device}"))
    monkeypatch.setattr(nvml, "find", lambda uuid: asked.append(uuid) or Gpu(None, None))
    gpu.cache_clear()
    assert gpu("cuda:1") is gpu("cuda:1")
    gpu.cache_clear()
    assert asked == ["uuid of cuda:1"]


@pytest.mark.parametrize(
    ("readings", "answer"),
    [
        ((HIGH, HIGH), False),
        ((LOW, LOW), True),
        ((HIGH, LOW), False),  # mean of 1490 MHz: just above 75% of 1980
        ((HIGH, LOW._replace(sm_clock=980)), True),
        ((LOW._replace(reasons=SETTING), LOW._replace(reasons=SETTING)), False),
        ((LOW._replace(reasons=SETTING), LOW), True),
        ((LOW._replace(reasons=None), LOW._replace(reasons=None)), True),  # unknown reasons count as throttling
        ((Reading(), Reading()), None),
        ((LOW._replace(max_clock=None),) * 2, None),
    ],
)
def test_slow_is_a_low_mean_clock_without_a_user_setting(readings, answer):
    assert slow(readings) is answer


class Bench:
    """A simulated GPU with given readings and a log of the calls."""

    def __init__(self, *readings):
        self.readings, self.log, self.slept = list(readings), [], []

    def run(self):
        return steady_round(self.measure, self.read, lambda: self.log.append("warm"), self.slept.append)

    def read(self):
        self.log.append("read")
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    def measure(self):
        self.log.append("measure")
        return self.log.count("measure")


def test_steady_round_is_accepted():
    bench = Bench(HIGH)
    assert bench.run() == (1, {"throttled": 0, "sm_clock_mhz": 1980, "gpu_temperature_c": 40, "foreign_processes": 0})
    assert bench.log == ["read", "measure", "read"]
    assert bench.slept == []


def test_slow_round_is_repeated_after_a_pause_and_a_warm_up():
    bench = Bench(LOW, LOW, HIGH)
    result, facts = bench.run()
    assert result == 2
    assert facts["throttled"] == 0
    assert facts["gpu_temperature_c"] == 40, "of the round that is kept"
    assert bench.log == ["read", "measure", "read", "warm", "read", "measure", "read"]
    assert bench.slept == [0.05]


def test_slow_round_is_flagged_after_five_repetitions():
    bench = Bench(LOW)
    result, facts = bench.run()
    assert result == 6
    assert (facts["throttled"], facts["sm_clock_mhz"]) == (1, 1000)
    assert bench.slept == pytest.approx([0.05, 0.075, 0.1125, 0.16875, 0.253125])


def test_pauses_grow_to_half_a_second(monkeypatch):
    monkeypatch.setattr(nvml, "RETRIES", 8)
    assert pauses()[5:] == pytest.approx([0.3796875, 0.5, 0.5])


def test_missing_clock_gives_nulls_without_repetitions():
    bench = Bench(Reading())
    assert bench.run() == (1, {"throttled": None, "sm_clock_mhz": None, "gpu_temperature_c": None, "foreign_processes": None})


def test_the_facts_are_columns():
    assert set(Bench(HIGH).run()[1]) <= set(columns.columns_of("latency"))
