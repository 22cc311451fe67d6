"""The page that lists every command with its options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from markdown import code, docstring, fence, inline, table

from bench.cli import main


def pages() -> dict[str, str]:
    return {"commands.md": "\n\n".join(page()) + "\n"}


def page() -> Iterator[str]:
    yield "# Command line"
    yield "Every command and its options, as `python -m bench COMMAND --help` prints them."
    for command, ctx in verbs(main, click.Context(main, info_name="python -m bench")):
        yield f"## {' '.join(ctx.command_path.split()[3:])}"
        yield docstring(inspect.cleandoc(command.help or ""))
        yield fence(command.get_usage(ctx).removeprefix("Usage: "), "text")
        records = [record for param in command.params if (record := param.get_help_record(ctx))]
        explained = [(code(names), inline(meaning)) for names, meaning in records if meaning]
        if explained:
            yield table(("option", "meaning"), explained)


def verbs(group: click.Group, above: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command, including those of subgroups."""
    for name in group.list_commands(above):
        command = group.get_command(above, name)
        assert command is not None
        ctx = click.Context(command, info_name=name, parent=above)
        if isinstance(command, click.Group):
            yield from verbs(command, ctx)
        else:
            yield command, ctx
