"""Which package may import which, and how large files, functions and folders may be."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.imports import FILES, PACKAGES, file_of, files_under, foreign, imports_in, imports_of, module_of, reach, top, within
from tests.paths import ROOT

# The import table. A package imports only packages on lines above its own, and only the listed libraries.
LAYERS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("methods",), ("torch",)),
    (("kinds",), ()),
    (("axes",), ()),
    (("spec", "columns"), ()),
    (("names", "journal"), ()),
    (("options", "keywords"), ()),
    (("stats",), ("numpy", "scipy")),
    (("system", "counters"), ("torch",)),
    (("nets", "data", "timers"), ("torch", "timm", "torchvision", "numpy", "PIL", "sklearn", "huggingface_hub")),
    (("plan",), ()),
    (("workload",), ("torch", "timm")),
    (("tables",), ("pandas", "pyarrow")),
    (("training",), ("torch", "timm", "torchvision", "numpy")),
    (("report",), ("pandas", "numpy", "seaborn", "matplotlib", "tabulate", "altair", "vl_convert", "pyarrow")),
    (("metrics",), ("torch", "numpy", "fvcore")),
    (("analysis",), ("torch", "pandas", "numpy", "seaborn", "matplotlib", "tabulate")),
    (("executors",), ("torch",)),
    (
        ("runner",),
        ("numpy", "rich", "timm", "torch"),
    ),  # torch: the methods of injected_slowdown, and building a network to check it
    (("api",), ("pandas",)),
    (("cli",), ("click",)),
    (("__main__",), ()),
)
LEVEL = {package: level for level, (packages, _) in enumerate(LAYERS) for package in packages}
LIBRARIES = {package: libraries for packages, libraries in LAYERS for package in packages}
COMMAND_LINE = {
    *("bench", "bench.api", "bench.cli"),
}
TORCH_FREE = (
    *(
        "bench/api.py",
        "bench/axes.py",
        "bench/columns.py",
        "bench/journal.py",
        "bench/kinds.py",
        "bench/names.py",
        "bench/options.py",
    ),
    *("bench/plan.py", "bench/spec.py", "bench/system/version.py"),
    *("bench/stats/", "bench/tables/", "bench/report/", "bench/cli/", "bench/training/recipes.py"),
    *("bench/nets/__init__.py", "bench/nets/published.py", "bench/system/machine.py", "bench/system/ceilings.py"),
    *("bench/executors/__init__.py", "bench/executors/rounds.py", "bench/executors/process.py", "bench/executors/worker.py"),
    *("bench/executors/torchrun_env.py", "bench/runner/sweep.py", "bench/runner/ab.py", "bench/runner/audit.py"),
    *("bench/runner/options.py", "bench/runner/request.py", "bench/runner/networks.py", "bench/runner/progress.py"),
)
MOST_FILES = 15  # in a folder
MOST_PARAMETERS = 6  # of a function
LONG_SIGNATURES = {
    # The parameters of a registered method are its options: users set them by name, and journals record them.
    *("methods/dynamic_filter.py DynamicFilter.__init__", "methods/niff.py Niff.__init__"),
    *("methods/flexconv.py FlexConv.__init__", "methods/flexconv.py DepthwiseFlexConv.__init__"),
    "bench/training/sync_batchnorm.py batch_norm",  # replaces a function of torch with this signature
    "bench/options.py option",  # declares an option: each parameter is a property of one field, most are keywords
}


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


def test_indirect_imports_are_found():
    reached = reach("methods/conv.py")
    assert {"torch", "methods", "methods.parts.freezing", "methods.registry", "methods.catalogue", "ast"} <= reached
    assert "torch" not in reach("methods/__init__.py")


def package_of(module: str) -> str:
    first, _, rest = module.partition(".")
    return "methods" if first == "methods" else rest.partition(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_imports_point_down(file):
    own = package_of(module_of(file))
    others = {package_of(one.module) for one in imports_of(file) if file_of(one.module)} - {own, ""}
    assert [other for other in others if LEVEL[other] >= LEVEL.get(own, len(LAYERS))] == []


@pytest.mark.parametrize("file", FILES)
def test_only_the_listed_libraries_are_imported(file):
    allowed = LIBRARIES.get(package_of(module_of(file)), ())
    assert {top(one.module) for one in imports_of(file) if foreign(one.module) and one.when != "typing"} <= {*allowed}


def test_every_package_is_in_the_table():
    found = {package_of(module_of(file)) for file in FILES} - {""}
    assert found == LEVEL.keys()


@pytest.mark.parametrize("file", files_under(*TORCH_FREE))
def test_no_torch_before_it_is_needed(file):
    """torch takes seconds to import: help, lists, reports and the parent of the workers do not need it."""
    assert [module for module in reach(file) if within(module, "torch")] == []


@pytest.mark.parametrize("file", files_under("bench/cli/__init__.py"))
def test_the_command_line_starts_with_click_alone(file):
    reached = reach(file)
    assert {module for module in reached if top(module) in PACKAGES} <= COMMAND_LINE
    assert {top(module) for module in reached if foreign(module)} <= {"click"}


def test_no_import_cycles():
    """Imports inside functions count, imports for the type checker do not."""
    graph = {}
    for file in FILES:
        graph[module_of(file)] = {one.module for one in imports_of(file) if one.when != "typing" and file_of(one.module)}
    list(TopologicalSorter(graph).static_order())


def test_test_files_stay_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in tracked(ROOT / "tests")}
    assert {file: length for file, length in lengths.items() if length > 300} == {}


@pytest.mark.parametrize("file", FILES)
def test_files_and_functions_stay_short(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300, "a file of more than 300 lines"
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{node.name}: {node.end_lineno - node.lineno + 1} lines" for node in functions if node.end_lineno - node.lineno >= 50]
    assert long == []


def test_signatures_stay_short():
    """At most six parameters, with *args, **kwargs and keyword-only ones, without self and cls."""
    functions = [(file, *function) for file in FILES for function in functions_of(ast.parse((ROOT / file).read_text("utf-8")))]
    assert {f"{file} {name}" for file, name, node in functions if parameters(node.args) > MOST_PARAMETERS} == LONG_SIGNATURES


def functions_of(node: ast.AST, scope: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function below a node with its name, which starts with those of the classes and functions around it."""
    for child in ast.iter_child_nodes(node):
        name = scope
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{scope}.{child.name}".removeprefix(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from functions_of(child, name)


def parameters(args: ast.arguments) -> int:
    named = [arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs) if arg.arg not in ("self", "cls")]
    return len(named) + (args.vararg is not None) + (args.kwarg is not None)


@pytest.mark.parametrize(
    ("signature", "count"),
    [("self, a, /, b=1, *c, d, e=2, **f", 6), ("cls, a, *, b", 2), ("", 0)],
)
def test_all_kinds_of_parameters_are_counted(signature, count):
    assert parameters(ast.parse(f"def f({signature}): ...").body[0].args) == count


def test_folders_stay_small():
    """At most 15 files per folder, and no folder with a single file."""
    counts = Counter(path.parent.relative_to(ROOT) for top in (*PACKAGES, "tests", "docs") for path in tracked(ROOT / top))
    assert {str(folder): count for folder, count in counts.items() if count > MOST_FILES} == {}
    assert [str(folder) for folder, count in counts.items() if count == 1 and folder.parts[0] in PACKAGES] == []


def tracked(folder: Path) -> list[Path]:
    """Source and text files: no caches, generated pages or markers of packages."""
    kinds = (".py", ".md", ".js", ".css", ".html")
    return [
        path
        for path in folder.rglob("*")
        if path.suffix in kinds and path.name != "__init__.py" and "docs/reference" not in path.as_posix()
    ]
