"""One page per registered method, an index of them, and a page on the parts that they share."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

import sources
from markdown import code, contents, docstring, fence, inline, table

from methods import Entry
from methods.registry import shipped


def pages() -> dict[str, str]:
    """Return each page by its path in the reference."""
    methods = {f"methods/{entry.name}.md": "\n\n".join(page(entry)) + "\n" for entry in shipped()}
    others = {"methods/index.md": index(), "parts.md": parts(), "contract.md": contract(), "hooks.md": hooks()}
    return methods | {name: "\n\n".join(lines) + "\n" for name, lines in others.items()}


def index() -> Iterator[str]:
    yield "# Methods"
    yield (
        "All registered methods. Each page shows the output of `python -m bench info NAME`, the formulas of the operator, its"
        " differences from the published code, and its cost in closed form. [Parts](../parts.md) are shared by several methods."
    )
    for module in sources.operators().values():
        entries = [entry for entry in shipped() if sources.find(entry.name)[0] is module]
        if entries:
            yield f"## {module.name}"
            yield inline(module.doc.split("\n")[0])
            rows = [(f"[{code(entry.name)}]({entry.name}.md)", inline(entry.summary), kernel(entry)) for entry in entries]
            yield table(("name", "description", "kernel size"), rows)
    yield contents(entry.name for entry in shipped())


def page(entry: Entry) -> Iterator[str]:
    """Yield the blocks of a method's page."""
    module, node = sources.find(entry.name)
    summary, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
    yield f"# {entry.name}"
    yield docstring(summary, link)
    yield table(("", ""), facts(entry, module, node))
    yield "## The operator"
    yield docstring(module.doc, link)
    yield f"## Class {node.name}"
    yield docstring(rest, link)
    yield from options(entry)
    yield from cost(module, node)
    yield "## Measure it"
    yield fence("\n".join(commands(entry)), "sh")


def facts(entry: Entry, module: sources.Module, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    yield "Paper", f"<{entry.paper}>" if entry.paper else "none given"
    yield "Source", f"`methods/{module.name}.py`, class `{node.name}`"
    fixed = ", ".join(code(f"{name} = {value!r}") for name, value in entry.hparams.items())
    yield "Fixed by the name", fixed or "nothing"
    yield "Kernel size", kernel(entry)
    siblings = [name for name in sources.registered(node) if name != entry.name]
    yield "Same class", ", ".join(f"[{code(name)}]({name}.md)" for name in siblings) or "none"
    defined = [hook for hook in sources.hooks() if sources.defines(node, hook.name)]
    yield "Hooks", "; ".join(f"{code(hook.call)}: {inline(hook.purpose)}" for hook in defined) or "none"


def kernel(entry: Entry) -> str:
    """Return how the kernel size is set."""
    if "kernel_size" in entry.hparams:
        return f"{entry.hparams['kernel_size']}"
    if entry.takes_kernel:
        return "needs `--kernel`" if entry.needs_kernel else "takes `--kernel`"
    return "no option"


def options(entry: Entry) -> Iterator[str]:
    """Yield a table of the options that the name does not fix, with their defaults."""
    free = {name: value for name, value in entry.options.items() if name not in {*entry.hparams, "kernel_size"}}
    if free:
        yield f"Options. Set them with `--set {entry.name}.OPTION=VALUE`, in `ab` with `'{entry.name}[OPTION=VALUE]'`."
        yield table(("option", "default"), ((code(name), code(repr(value))) for name, value in free.items()))


def commands(entry: Entry) -> Iterator[str]:
    """Yield commands that describe and measure the method."""
    size = " --kernel 5" if entry.needs_kernel else ""
    yield f"python -m bench info {entry.name}"
    yield f"python -m bench run --methods {entry.name}{size} --res 56 -o results/{entry.name}"


def cost(module: sources.Module, node: ast.ClassDef) -> Iterator[str]:
    """Yield the source of the closed form of the operations per image."""
    flops = sources.function(node, "flops")
    if flops is not None:
        yield "## Cost"
        yield "`Flops(kernel, apply)`: operations that generate the kernel, and that apply it to one image ([cost](#part-cost))."
        source = "\n".join(module.text.split("\n")[flops.lineno - 1 : flops.end_lineno])
        yield fence(textwrap.dedent(source), "python")


def parts() -> Iterator[str]:
    yield "# Parts of methods"
    yield "Building blocks that several methods share, documented by their docstrings."
    for module in sources.parts().values():
        yield f"(part-{module.name})="
        yield f"## {module.name}"
        yield docstring(module.doc, link)
        for node in module.public:
            doc = ast.get_docstring(node)
            if doc:
                yield f"### {signature(node)}"
                yield docstring(doc, link)


def contract() -> Iterator[str]:
    """Yield a table of the checks of methods/contract.py, in their order."""
    tree = ast.parse((sources.FOLDER / "contract.py").read_text(encoding="utf-8"))
    docs = {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)}
    listed = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CHECKS")
    assert isinstance(listed, ast.Tuple)
    names = [ast.unparse(name) for name in listed.elts]
    yield table(("check", "requirement"), ((code(name), inline(docs[name])) for name in names))


def hooks() -> Iterator[str]:
    """Yield a table of the optional hooks of an operator and a network."""
    yield table(("hook", "purpose"), ((code(hook.call), inline(hook.text)) for hook in sources.hooks()))


def signature(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Return a class name, or a function name with its arguments."""
    if isinstance(node, ast.ClassDef):
        return code(node.name)
    return code(f"{node.name}({', '.join(arg.arg for arg in (*node.args.args, *node.args.kwonlyargs))})")


def link(word: str) -> str:
    """Return a word in backticks, with a link if it names a part."""
    name = word.split(".")[0]
    return f"[{code(word)}](#part-{name})" if name in sources.parts() else code(word)
