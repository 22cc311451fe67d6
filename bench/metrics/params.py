"""Trainable parameters and bytes of an operator, counted on the meta device. A frozen kernel is not counted: it is a copy."""

from __future__ import annotations

from collections.abc import Generator

from bench.spec import Protocol
from bench.subject import Outcome, Subject


def measure(subject: Subject, protocol: Protocol) -> Generator[None, None, Outcome]:
    module = subject.build("meta")
    held = [*module.parameters(), *module.buffers()]
    yield
    return Outcome(
        {
            "params_count": sum(p.numel() for p in module.parameters() if p.requires_grad),
            "params_bytes": sum(t.numel() * t.element_size() for t in held),
        },
        {},
    )
