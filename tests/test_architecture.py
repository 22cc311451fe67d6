"""Who may import whom, and how large a file and a function may be: read from the syntax trees of the two packages."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "methods")
FILES = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LIGHT = ("bench/spec.py", "bench/columns.py", "bench/stats.py")  # the vocabulary: no heavier than numpy
COMMAND_LINE = {
    "bench",
    "bench.cli",
    "bench.cli_analyze",
    "bench.cli_compare",
    "bench.cli_report",
    "bench.decorators",
    "bench.options",
    "bench.words",
    "bench.spec",
    "bench.columns",
    "methods",
    "methods.registry",
    "methods.describe",
}
TORCH_FREE = (
    "bench/recipes.py",
    "bench/nets/published.py",
    "bench/launch.py",
    "bench/cli.py",
    "bench/store.py",
    "bench/ab.py",
    "bench/labels.py",
    "bench/comparable.py",
    "bench/comparison.py",
    "bench/roofline.py",
    "bench/commands_report.py",
    "bench/machine.py",
    "bench/recommend.py",
    "bench/reports.py",
    "bench/report/",
    "bench/executors/__init__.py",
    "bench/executors/process.py",
)

# Nothing below reaches for what stands above it.
ABOVE = {
    "bench/comparison.py": ("executors", "cli", "report", "store", "worker", "metrics"),
    "bench/comparable.py": ("executors", "cli", "report", "store", "worker", "metrics"),
    "bench/ab.py": ("cli", "commands", "store", "worker", "metrics"),
    "bench/metrics/": ("executors", "cli", "report", "store"),
    "bench/nets/": ("executors", "cli", "report", "store", "worker", "metrics"),
    "bench/training/": ("executors", "cli", "report", "store", "worker", "metrics"),
    "bench/data/": ("executors", "cli", "report", "store", "worker", "metrics"),
    "bench/roofline.py": ("executors", "cli", "report", "store", "worker", "metrics", "ceilings"),
    "bench/ceilings.py": ("executors", "cli", "report", "store"),
    "bench/worker.py": ("executors", "cli", "report", "store"),
    "bench/executors/": ("cli", "report", "store"),
    "bench/store.py": ("executors", "cli", "report", "worker", "metrics"),
    "bench/report/": ("executors", "cli", "worker", "metrics"),
    "bench/recommend.py": ("executors", "cli", "worker", "metrics"),
}


class Import(NamedTuple):
    """One imported module. `when`: "import" (with its own module), "call" (inside a function) or "typing" (never at run time)."""

    module: str
    when: str
    line: int


class Reader(ast.NodeVisitor):
    """Collects the imports of a tree, names of literal `import_module` calls among them."""

    def __init__(self) -> None:
        self.when = "import"
        self.found: list[Import] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(alias.name, self.when, node.lineno) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"line {node.lineno}: a relative import"
        base = node.module or ""
        for alias in node.names:
            below = f"{base}.{alias.name}"
            self.found.append(Import(below if file_of(below) else base, self.when, node.lineno))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self.found.append(Import(str(node.args[0].value), self.when, node.lineno))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        typing_only = "TYPE_CHECKING" in ast.unparse(node.test)
        self.inside(node.body, "typing" if typing_only else self.when)
        self.inside(node.orelse, self.when)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.inside(node.body, "call" if self.when == "import" else self.when)

    visit_AsyncFunctionDef = visit_FunctionDef

    def inside(self, body: list[ast.stmt], when: str) -> None:
        before, self.when = self.when, when
        for statement in body:
            self.visit(statement)
        self.when = before


def imports_in(source: str) -> list[Import]:
    reader = Reader()
    reader.visit(ast.parse(source))
    return reader.found


@cache
def imports_of(file: str) -> list[Import]:
    return imports_in((ROOT / file).read_text(encoding="utf-8"))


def file_of(module: str) -> str | None:
    """The project file behind a module name, if it is one of ours."""
    stem = module.replace(".", "/")
    return next((file for file in (f"{stem}.py", f"{stem}/__init__.py") if file in FILES), None)


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def top(module: str) -> str:
    return module.split(".")[0]


def foreign(module: str) -> bool:
    return top(module) not in PACKAGES and top(module) not in sys.stdlib_module_names


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def reach(file: str) -> set[str]:
    """Every module that importing `file` imports: its own, those of the packages above each, and so on."""
    seen: set[str] = set()
    todo = [module_of(file)]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if "." in module:
            todo.append(module.rpartition(".")[0])
        if own := file_of(module):
            todo += [one.module for one in imports_of(own) if one.when == "import"]
    return seen


def files_under(*places: str) -> list[str]:
    return [file for file in FILES if file.startswith(places)]


def test_the_reader_sees_every_kind_of_import():
    source = """
import a, b.c
from d import e
from bench import spec
if TYPE_CHECKING:
    import f
else:
    import g
class X:
    import h
    def x(self):
        import i
        if TYPE_CHECKING:
            import j
        importlib.import_module("k")
try:
    import l
except ImportError:
    m = __import__("n")
"""
    found = {one.module: one.when for one in imports_in(source)}
    at_import = dict.fromkeys(["a", "b.c", "d", "bench.spec" if file_of("bench.spec") else "bench", "g", "h", "l", "n"], "import")
    assert found == {**at_import, "f": "typing", "i": "call", "j": "typing", "k": "call"}


def test_the_reach_includes_what_the_imported_import():
    reached = reach("methods/conv.py")
    assert {"torch", "methods", "methods.freezing", "methods.registry", "methods.describe", "ast"} <= reached
    assert "torch" not in reach("methods/__init__.py")


@pytest.mark.parametrize("file", files_under("methods/"))
def test_methods_import_torch_the_standard_library_and_each_other(file):
    others = [one for one in imports_of(file) if not within(one.module, "methods") and not within(one.module, "torch")]
    assert [one for one in others if foreign(one.module) or top(one.module) == "bench"] == []


@pytest.mark.parametrize("file", files_under(*LIGHT))
def test_the_vocabulary_imports_nothing_heavier_than_numpy(file):
    allowed = {module_of(light) for light in LIGHT} | {"bench"}
    at_run_time = [one for one in imports_of(file) if one.when != "typing"]
    own = [one for one in at_run_time if top(one.module) in PACKAGES]
    assert [one for one in own if one.module not in allowed] == []
    assert [one for one in at_run_time if foreign(one.module) and not within(one.module, "numpy")] == []


def arrows() -> Iterator[tuple[str, str]]:
    for place, names in ABOVE.items():
        for file in files_under(place):
            yield from ((file, f"bench.{name}") for name in names)


@pytest.mark.parametrize(("file", "above"), list(arrows()))
def test_nothing_reaches_for_what_stands_above_it(file, above):
    assert [one for one in imports_of(file) if within(one.module, above)] == []


@pytest.mark.parametrize("file", files_under(*TORCH_FREE))
def test_no_torch_before_it_is_needed(file):
    """torch takes seconds to import: help, lists and reports do without, and the conductor of the worker processes too."""
    assert [module for module in reach(file) if within(module, "torch")] == []


@pytest.mark.parametrize("file", files_under("bench/cli.py"))
def test_the_command_line_starts_with_click_alone(file):
    reached = reach(file)
    assert {module for module in reached if top(module) in PACKAGES} <= COMMAND_LINE
    assert {top(module) for module in reached if foreign(module)} <= {"click"}


def test_no_circle_of_imports():
    """Also none that an import inside a function only hides; what the type checker alone imports does not run."""
    graph = {}
    for file in FILES:
        graph[module_of(file)] = {one.module for one in imports_of(file) if one.when != "typing" and file_of(one.module)}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("file", FILES)
def test_files_and_functions_stay_short(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300, "a file of more than 300 lines"
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{node.name}: {node.end_lineno - node.lineno + 1} lines" for node in functions if node.end_lineno - node.lineno >= 50]
    assert long == []
