"""Trainable parameters and bytes of an operator or a network, and the extent of an operator's kernel, found on the meta device.

A frozen kernel is not counted: it is a copy. An extent says over how many pixels the operator can reach, not over how many it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from bench.spec import Protocol
from bench.workload.build import Measurement, Workload


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    module = workload.build("meta")
    held = [*module.parameters(), *module.buffers()]
    alone = workload.cell.level == "op" and hasattr(module, "kernel")
    extent = module.kernel().shape[-2:] if alone else (None, None)
    yield
    return Measurement(
        {
            "kernel_height": extent[0],
            "kernel_width": extent[1],
            "params_count": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "params_bytes": sum(t.numel() * t.element_size() for t in held),
            **swapped(module),
        },
        {},
    )


def swapped(network: Any) -> dict[str, float | str | None]:
    """What was exchanged in a network and why the rest was not, the commonest reason first; nulls where nothing was."""
    report = getattr(network, "swapped", None)
    if report is None:
        return dict.fromkeys(("convs_exchanged", "convs_kept", "convs_kept_why"))
    reasons = Counter(layer.kept for layer in report.left).most_common()
    return {
        "convs_exchanged": len(report.exchanged),
        "convs_kept": len(report.left),
        "convs_kept_why": ", ".join(f"{count} {reason}" for reason, count in reasons),
    }
