"""Trainable parameters and bytes of an operator or a network, and the kernel size of an operator, from the meta device.

Frozen kernels are copies and are not counted. The kernel size is the maximum receptive field, not the effective reach.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from bench.columns import Column, Metric
from bench.spec import Protocol
from bench.workload.build import Measurement, Workload
from methods.hooks import kernel_of, replacements_of

METRIC = Metric(
    columns=(
        Column(
            "params_count",
            better="lower",
            heading="params",
            meaning="trainable parameters at this setting; networks with 1000 classes",
        ),
        Column("params_bytes", unit="B", better="lower", meaning="size of parameters and buffers"),
        Column("kernel_height", unit="px", meaning="rows of the spatial kernel at this setting; empty if the method has none"),
        Column("kernel_width", unit="px", meaning="columns of the spatial kernel; a learned size is the size at initialisation"),
        Column("convs_exchanged", meaning="convolutions of a library network replaced by the operator"),
        Column("convs_kept", meaning="convolutions of the network left unchanged"),
        Column("convs_kept_why", unit="name", meaning="number of unchanged convolutions per reason"),
    ),
    calls=0,
    typical_seconds=0.2,
    depends_on=(),
)


def measure(workload: Workload, protocol: Protocol) -> Generator[None, None, Measurement]:
    """Count the parameters. The generator yields once."""
    module = workload.build("meta")
    tensors = [*module.parameters(), *module.buffers()]
    kernel = kernel_of(module) if workload.cell.level == "op" else None
    size = (None, None) if kernel is None else kernel.shape[-2:]
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
    report = replacements_of(network)
    if report is None:
        return dict.fromkeys(("convs_exchanged", "convs_kept", "convs_kept_why"))
    return {
        "convs_exchanged": len(report.replaced),
        "convs_kept": len(report.unchanged),
        "convs_kept_why": ", ".join(f"{count} {reason}" for reason, count in report.reasons.most_common()),
    }
