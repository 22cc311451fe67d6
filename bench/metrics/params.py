"""Trainable parameters and bytes of an operator or a network, and the extent of an operator's kernel, found on the meta device.

A frozen kernel is not counted: it is a copy. An extent says over how many pixels the operator can reach, not over how many it does.
"""

from __future__ import annotations

from collections.abc import Generator

from bench.spec import Protocol
from bench.subject import Outcome, Subject


def measure(subject: Subject, protocol: Protocol) -> Generator[None, None, Outcome]:
    module = subject.build("meta")
    held = [*module.parameters(), *module.buffers()]
    alone = subject.cell.level == "op" and hasattr(module, "kernel")
    extent = module.kernel().shape[-2:] if alone else (None, None)
    yield
    return Outcome(
        {
            "kernel_height": extent[0],
            "kernel_width": extent[1],
            "params_count": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "params_bytes": sum(t.numel() * t.element_size() for t in held),
        },
        {},
    )
