"""One page a registered method, an index of them, and one of the parts that they share."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

import sources
from markdown import code, contents, docstring, fence, inline, table

from methods import Entry
from methods.registry import shipped

HOOKS = {
    "freeze": "keeps for inference what depends on the weights alone",
    "kernel": "gives its spatial kernel",
    "penalty": "adds a regulariser to the loss",
    "flops": "states its operations in closed form",
    "at_resolution": "can be moved to maps of another size",
    "load_official": "takes the weights of the published code",
}


def pages() -> dict[str, str]:
    """The pages by their place in the reference."""
    found = {f"methods/{entry.name}.md": "\n\n".join(page(entry)) + "\n" for entry in shipped()}
    others = {"methods/index.md": index(), "parts.md": parts(), "contract.md": contract()}
    return found | {name: "\n\n".join(lines) + "\n" for name, lines in others.items()}


def index() -> Iterator[str]:
    yield "# Methods"
    yield (
        "Every registered name. A page holds what `python -m bench info NAME` prints, the operator's formulas as the source states"
        " them, what differs from the published code, and its cost in closed form. [Parts](../parts.md) are what several share."
    )
    for module in sources.modules().values():
        entries = [entry for entry in shipped() if sources.where(entry.name)[0] is module]
        if entries:
            yield f"## {module.name}"
            yield inline(module.doc.split("\n")[0])
            rows = [(f"[{code(entry.name)}]({entry.name}.md)", inline(entry.summary), kernel(entry)) for entry in entries]
            yield table(("name", "what", "kernel size"), rows)
    yield contents(entry.name for entry in shipped())


def page(entry: Entry) -> Iterator[str]:
    """What the registry and the sources say of a method."""
    module, node = sources.where(entry.name)
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
    yield "Hooks", "; ".join(f"{code(f'{hook}()')} {what}" for hook, what in HOOKS.items() if sources.function(node, hook))


def kernel(entry: Entry) -> str:
    """What decides the kernel size."""
    if "kernel_size" in entry.hparams:
        return f"{entry.hparams['kernel_size']}"
    if entry.takes_kernel:
        return "needs `--kernel`" if entry.needs_kernel else "takes `--kernel`"
    return "no option"


def options(entry: Entry) -> Iterator[str]:
    """The options that are free, with their defaults."""
    free = {name: value for name, value in entry.options.items() if name not in {*entry.hparams, "kernel_size"}}
    if free:
        yield f"Options, set by `--set {entry.name}.OPTION=VALUE`, or in `ab` by `'{entry.name}[OPTION=VALUE]'`."
        yield table(("option", "default"), ((code(name), code(repr(value))) for name, value in free.items()))


def commands(entry: Entry) -> Iterator[str]:
    """The commands that describe the method and measure it."""
    size = " --kernel 5" if entry.needs_kernel else ""
    yield f"python -m bench info {entry.name}"
    yield f"python -m bench run --methods {entry.name}{size} --res 56 -o results/{entry.name}"


def cost(module: sources.Module, node: ast.ClassDef) -> Iterator[str]:
    """The closed form of the operations of one call for an image, as the class states it."""
    found = sources.function(node, "flops")
    if found is not None:
        yield "## Cost"
        yield "`Flops(kernel, apply)`: real operations of making the kernel and of applying it to one image ([cost](#part-cost))."
        source = "\n".join(module.text.split("\n")[found.lineno - 1 : found.end_lineno])
        yield fence(textwrap.dedent(source), "python")


def parts() -> Iterator[str]:
    yield "# Parts of methods"
    yield "What several methods are made of, as their sources say."
    for module in sources.parts():
        yield f"(part-{module.name})="
        yield f"## {module.name}"
        yield docstring(module.doc, link)
        for node in module.public:
            doc = ast.get_docstring(node)
            if doc:
                yield f"### {signature(node)}"
                yield docstring(doc, link)


def contract() -> Iterator[str]:
    """Every check of methods/contract.py, in its order."""
    tree = ast.parse((sources.FOLDER.parent / "bench" / "contract.py").read_text(encoding="utf-8"))
    docs = {node.name: ast.get_docstring(node) or "" for node in tree.body if isinstance(node, ast.FunctionDef)}
    listed = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CHECKS")
    assert isinstance(listed, ast.Tuple)
    names = [ast.unparse(name) for name in listed.elts]
    yield table(("check", "what it asks for"), ((code(name), inline(docs[name])) for name in names))


def signature(node: ast.ClassDef | ast.FunctionDef) -> str:
    """A name with its arguments."""
    if isinstance(node, ast.ClassDef):
        return code(node.name)
    return code(f"{node.name}({', '.join(arg.arg for arg in (*node.args.args, *node.args.kwonlyargs))})")


def link(word: str) -> str:
    """A word in backticks; the name of a part leads to it."""
    name = word.split(".")[0]
    return f"[{code(word)}](#part-{name})" if any(name == part.name for part in sources.parts()) else code(word)
