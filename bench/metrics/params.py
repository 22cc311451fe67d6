"""Trainable parameters and bytes of an operator or a network, and the kernel size of an operator, from the meta device.

Frozen kernels are copies and are not counted. The kernel size is the maximum receptive field, not the effective reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

from bench.spec import Protocol
from bench.workload.build import Measurement, Workload


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Count the parameters. The generator yields once."""
    module = workload.build("meta")
    tensors = [*module.parameters(), *module.buffers()]
    has_kernel = workload.cell.level == "op" and hasattr(module, "kernel")
    size = module.kernel().shape[-2:] if has_kernel else (None, None)
    yield
    return Measurement(
        {
            "kernel_height": size[0],
            "kernel_width": size[1],
            "params_count": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "params_bytes": sum(t.numel() * t.element_size() for t in tensors),
            **replaced_layers(module),
        },
        {},
    )


def replaced_layers(network: Any) -> dict[str, float | str | None]:
    """Return the numbers of replaced and unchanged convolutions and the reasons, most frequent first; nulls without replacement."""
    report = getattr(network, "replacements", None)
    if report is None:
        return dict.fromkeys(("convs_exchanged", "convs_kept", "convs_kept_why"))
    reasons = Counter(layer.reason for layer in report.unchanged).most_common()
    return {
        "convs_exchanged": len(report.replaced),
        "convs_kept": len(report.unchanged),
        "convs_kept_why": ", ".join(f"{count} {reason}" for reason, count in reasons),
    }
