"""Conditions under which two records of one cell are comparable, that is, a difference is due to the sources.

Parameters do not depend on the machine. FLOPs depend on the version of torch, which decomposes a call into operations. Memory,
accuracy and properties depend on everything that selects the kernels; latency and energy also on the speed of the hardware. Not
compared are the versions of Python, the operating system and other packages, and protocol settings that only affect precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.columns import METRICS
from bench.spec import Protocol, Record

PRECISION_SETTINGS = ("rounds", "max_rounds", "target", "windows")
KERNELS = {
    "cpu": ("torch", "cpu_capability"),
    "cuda": ("torch", "gpu", "cuda", "cudnn", "cudnn_benchmark", "tf32"),
}
GROUPS = {  # groups of facts in `Metric.depends_on`, by kind of device
    "kernels": KERNELS,
    "speed": {"cpu": (*KERNELS["cpu"], "cpu", "cores", "libc", "malloc"), "cuda": (*KERNELS["cuda"], "driver", "cpu")},
}  # the driver and the CPU of a GPU's host launch the kernels
Facts = Mapping[str, Any]


def value_settings(protocol: Protocol) -> tuple[tuple[str, Any], ...]:
    """Return the settings of a protocol that affect the value, not only its precision."""
    return tuple((name, value) for name, value in vars(protocol).items() if name not in PRECISION_SETTINGS)


def relevant_facts(metric: str, device: str) -> tuple[str, ...]:
    """Return the names of the facts of the environment that a metric depends on."""
    kind = "cpu" if device == "cpu" else "cuda"
    return tuple(fact for name in METRICS[metric].depends_on for fact in (GROUPS[name][kind] if name in GROUPS else (name,)))


def differences(a: Record, b: Record, env_a: Facts, env_b: Facts) -> list[str]:
    """Return the differences that make two records of one cell and metric not comparable, as "name A / B"."""
    device = a.job.cell.device
    facts = [(name, _fact(env_a, name, device), _fact(env_b, name, device)) for name in relevant_facts(a.job.metric, device)]
    settings_b = dict(value_settings(b.job.protocol))
    settings = [(f"protocol {name}", value, settings_b.get(name)) for name, value in value_settings(a.job.protocol)]
    return [f"{name} {_text(value_a)} / {_text(value_b)}" for name, value_a, value_b in (*facts, *settings) if value_a != value_b]


def _fact(env: Facts, name: str, device: str) -> Any:
    """Return a fact of an environment, None if it is not recorded; "gpu" is the name of the GPU of `device`."""
    if name != "gpu":
        return env.get(name)
    gpus, index = env.get("gpus", []), int(device.partition(":")[2] or 0)
    return gpus[index] if index < len(gpus) else None


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value)
