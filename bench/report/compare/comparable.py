"""Whether two records of one cell can be compared: what besides the sources must be the same for the difference to be theirs.

Parameters depend on no machine. FLOPs depend on torch, which takes a call apart into operations. Memory and accuracy depend on what
decides which kernels run, and so do properties. Latency and energy depend on how fast these run as well. The versions of Python, of
the operating system and of the other packages are not compared, nor are settings of a protocol that only make a figure more exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.spec import Protocol, Record

PRECISION = ("rounds", "max_rounds", "target", "windows")
KERNELS = {
    "cpu": ("torch", "cpu_capability"),
    "cuda": ("torch", "gpu", "cuda", "cudnn", "cudnn_benchmark", "tf32"),
}
SPEED = {
    "cpu": (*KERNELS["cpu"], "cpu", "cores", "libc", "malloc"),
    "cuda": (*KERNELS["cuda"], "driver", "cpu"),  # the processor starts the kernels
}
Facts = Mapping[str, Any]


def bearing(protocol: Protocol) -> tuple[tuple[str, Any], ...]:
    """The settings of a protocol that the figure itself depends on."""
    return tuple((name, value) for name, value in vars(protocol).items() if name not in PRECISION)


def needed(metric: str, device: str) -> tuple[str, ...]:
    """Names of the environment's facts that a metric depends on."""
    place = "cpu" if device == "cpu" else "cuda"
    of_metric = {
        "params": (),
        "flops": ("torch",),
        "memory": KERNELS[place],
        "properties": KERNELS[place],
        "accuracy": (*KERNELS[place], "timm"),  # its optimiser and schedule
    }
    return of_metric.get(metric, SPEED[place])


def differences(a: Record, b: Record, env_a: Facts, env_b: Facts) -> list[str]:
    """What forbids to compare two records of one cell and metric, as "name A / B"; empty where nothing does."""
    device = a.job.cell.device
    facts = [(name, _fact(env_a, name, device), _fact(env_b, name, device)) for name in needed(a.job.metric, device)]
    theirs = dict(bearing(b.job.protocol))
    protocol = [(f"protocol {name}", value, theirs.get(name)) for name, value in bearing(a.job.protocol)]
    return [f"{name} {_shown(one)} / {_shown(other)}" for name, one, other in (*facts, *protocol) if one != other]


def _fact(env: Facts, name: str, device: str) -> Any:
    """A fact of an environment, None where it is not recorded; "gpu" is the name of the cell's own."""
    if name != "gpu":
        return env.get(name)
    gpus, index = env.get("gpus", []), int(device.partition(":")[2] or 0)
    return gpus[index] if index < len(gpus) else None


def _shown(value: Any) -> str:
    return "unknown" if value is None else str(value)
