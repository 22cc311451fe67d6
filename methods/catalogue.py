"""Parse the registered names, settings and summaries of a method file without importing it.

`import torch` takes seconds, which `--help`, `list` and shell completion must not. Arguments of `@register` and default values of
constructors must therefore be literals or names of literals in the same file.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Name, summary, paper and options of a method, for `list` and the planner."""

    name: str
    summary: str
    paper: str
    hparams: dict[str, Any]  # constructor options that the registered name fixes
    options: dict[str, Any]  # constructor options with their defaults
    required: tuple[str, ...] = ()  # constructor options without a default

    @property
    def takes_kernel(self) -> bool:
        """True if `--kernel` applies: the class has a kernel size that the name does not fix."""
        return "kernel_size" in (*self.options, *self.required) and "kernel_size" not in self.hparams

    @property
    def needs_kernel(self) -> bool:
        return self.takes_kernel and "kernel_size" in self.required


def first_line(doc: str | None) -> str:
    return (doc or "").strip().split("\n", 1)[0]


def describe_file(path: Path) -> list[Entry]:
    """Return one `Entry` per `@register(...)` in the file, in order of application (from the class upwards)."""
    return _Reader(ast.parse(path.read_text(encoding="utf-8"), str(path))).entries()


class _Reader:
    def __init__(self, tree: ast.Module):
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }

    def entries(self) -> list[Entry]:
        return [
            self._entry(call, node)
            for node in self.classes.values()
            for call in reversed(node.decorator_list)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "register"
        ]

    def _entry(self, call: ast.Call, node: ast.ClassDef) -> Entry:
        hparams = {keyword.arg: self._value(keyword.value) for keyword in call.keywords if keyword.arg}
        paper = hparams.pop("paper", "")
        options, required = self._options(node)
        summary = first_line(ast.get_docstring(node))
        return Entry(self._value(call.args[0]), summary, paper, hparams, options, required)

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in self.constants:
            node = self.constants[node.id]
        return ast.literal_eval(node)

    def _options(self, node: ast.ClassDef) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the options of the class's constructor, or of its nearest base class in the same file that has one."""
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return self._arguments(item.args)
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self.classes:
                return self._options(self.classes[base.id])
        return {}, ()

    def _arguments(self, args: ast.arguments) -> tuple[dict[str, Any], tuple[str, ...]]:
        positional = args.args[3:]  # after self, channels, resolution
        required = len(positional) - len(args.defaults)
        pairs: list[tuple[ast.arg, ast.expr | None]] = [(arg, None) for arg in positional[:required]]
        pairs += zip(positional[max(required, 0) :], args.defaults[max(-required, 0) :])
        pairs += zip(args.kwonlyargs, args.kw_defaults)
        options = {arg.arg: self._value(value) for arg, value in pairs if value is not None}
        return options, tuple(arg.arg for arg, value in pairs if value is None)
