"""Parameter types of the command line, made from the kinds of option values."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from bench.kinds import Kind
from bench.options import Option


class Value(click.ParamType):
    """A value of a kind, or a comma list of them: checked here, read by the class of options. Known values are completed."""

    def __init__(self, declared: Option):
        self.kind, self.declared = declared.kind, declared
        self.many = declared.many and not declared.argument  # click splits arguments itself
        self.name = declared.kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            for item in self.declared.items(value) if self.many else (value,):
                self.kind.of(item)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        head, comma, last = incomplete.rpartition(",") if self.many else ("", "", incomplete)
        return [CompletionItem(head + comma + word) for word in self.kind.choices() if word.startswith(last)]


def metavar(kind: Kind, many: bool) -> str:
    """Return what stands for the value in a help text: NUMBER, or NUMBER,... for a comma list."""
    return f"{kind.name},..." if many else kind.name
