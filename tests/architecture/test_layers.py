"""The rules of the package's structure, held by parsing every module: layers, no cycles, sizes, homes of libraries."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sim"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

ORDER = (
    ("errors", "units"),
    ("scenario",),
    ("randomness", "laws", "compilation"),
    ("traffic",),
    ("world",),
    ("reliability",),
    ("measures",),
    ("estimate",),
    ("study",),
    ("oracles",),
    ("report",),
    ("api", "commands", "cli", "__main__"),
)
"""Layers from the bottom; a module imports from its own layer and those below."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
HOMES = {
    "simpy": {"world", "oracles"},
    "numba": {"compilation", "traffic", "world", "reliability"},
    "plotly": {"report"},
    "duckdb": {"study"},
    "typer": {"cli", "commands"},
    "rich": {"commands"},
    "ruamel": {"scenario"},
    "jinja2": {"report"},
}
"""The only layers that import a library."""
ENGINE = {"traffic", "world", "measures", "study"}
SIDE_BY_SIDE = {
    *("sim.commands.zoom", "sim.commands.zoom_begin", "sim.commands.zoom_engine", "sim.commands.zoom_notes"),
    *("sim.report.zoom", "sim.report.figures_zoom"),
    "sim.commands.stability_check",
}
"""Modules that show oracle and engine beside each other; nothing of the engine imports them, being above it."""
MOST_MODULE_LINES = 450
MOST_FUNCTION_LINES = 80
LONGER_KERNELS = {"sim.traffic.rates.derivative": 90}
"""Compiled loops over flat arrays, where each helper would be handed a dozen of them."""


def layer_of(module: str) -> str:
    """`sim.traffic.kernel` -> `traffic`; `sim` itself -> empty."""
    return module.split(".")[1] if "." in module else ""


def imports_of(source: str, *, at_runtime: bool = False) -> Iterator[str]:
    """Every imported name of a module, wherever the import stands; `a.b` for `from a import b`.

    With `at_runtime`, those under `if TYPE_CHECKING` are left out.
    """
    tree = ast.parse(source)
    skipped: set[ast.AST] = set()
    if at_runtime:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def to_module(name: str) -> str:
    """The module that an imported name belongs to: `sim.study.RunOptions` -> `sim.study`."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def own_imports(module: str, source: str) -> set[str]:
    """Modules of the package that a module needs when it runs, at import time or later."""
    found = {to_module(name) for name in imports_of(source, at_runtime=True) if name.split(".")[0] == "sim"}
    return {name for name in found if name in MODULES and name != module}


def upward_imports(module: str, source: str) -> list[str]:
    """Imports of a higher layer."""
    level = LEVEL.get(layer_of(module))
    return [
        name
        for name in own_imports(module, source)
        if level is not None and layer_of(name) and LEVEL[layer_of(name)] > level
    ]


def strays(module: str, source: str) -> list[str]:
    """Libraries imported outside their home."""
    roots = {name.split(".")[0] for name in imports_of(source)}
    return [library for library in roots & set(HOMES) if layer_of(module) not in HOMES[library]]


def meetings(module: str, source: str) -> set[str]:
    """Layers that a module imports although oracle and engine are to judge each other."""
    if module in SIDE_BY_SIDE:
        return set()
    imported = {layer_of(name) for name in own_imports(module, source)}
    return imported & ENGINE if layer_of(module) == "oracles" else imported & {"oracles"}


def dangers(source: str) -> set[str]:
    """Calls that run what a file brings."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    return calls & {"eval", "exec", "pickle.load", "pickle.loads", "np.load", "numpy.load", "yaml.load"}


def import_time_graph() -> dict[str, set[str]]:
    """What each module imports while it is being imported: top-level statements only."""
    graph = {}
    for module, path in MODULES.items():
        top = ast.Module(
            [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        graph[module] = own_imports(module, ast.unparse(top))
    return graph


def a_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Some cycle of the graph, empty if there is none."""
    state: dict[str, str] = {}

    def visit(node: str, path: list[str]) -> list[str]:
        state[node] = "open"
        for other in sorted(graph.get(node, ())):
            if state.get(other) == "open":
                return [*path, node, other]
            if other not in state and (found := visit(other, [*path, node])):
                return found
        state[node] = "done"
        return []

    for node in graph:
        if node not in state and (found := visit(node, [])):
            return found
    return []


def long_functions(source: str) -> list[tuple[str, int]]:
    """Functions with more lines than allowed."""
    return [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno
        and node.end_lineno - node.lineno + 1 > MOST_FUNCTION_LINES
    ]


def violations(check: Callable[[str, str], object]) -> dict[str, object]:
    """What a check finds, by module; modules in which it finds nothing are left out."""
    found = {module: check(module, path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    return {module: finding for module, finding in found.items() if finding}


def test_every_module_belongs_to_a_layer():
    assert len(MODULES) > 50
    assert [module for module in MODULES if layer_of(module) and layer_of(module) not in LEVEL] == []


def test_imports_point_one_way():
    assert violations(upward_imports) == {}


def test_libraries_stay_at_home():
    assert violations(strays) == {}


def test_oracles_and_engine_do_not_know_each_other():
    assert violations(meetings) == {}


def test_estimate_knows_nothing_of_clouds():
    allowed = {"estimate", "errors"}
    knows = {m: {layer_of(n) for n in own_imports(m, p.read_text())} for m, p in MODULES.items()}
    assert {m: layers - allowed for m, layers in knows.items() if layer_of(m) == "estimate" and layers - allowed} == {}


def test_modules_are_not_too_long():
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: n for module, n in lengths.items() if n > MOST_MODULE_LINES} == {}


def test_functions_are_not_too_long():
    found = {f"{m}.{name}": n for m, p in MODULES.items() for name, n in long_functions(p.read_text(encoding="utf-8"))}
    assert {name: n for name, n in found.items() if n > LONGER_KERNELS.get(name, MOST_FUNCTION_LINES)} == {}


def test_modules_say_what_they_are_for():
    assert violations(lambda _, source: not ast.get_docstring(ast.parse(source))) == {}


def test_nothing_is_evaluated_or_unpickled():
    assert violations(lambda _, source: dangers(source)) == {}


def test_no_cycles():
    assert a_cycle(import_time_graph()) == []


def test_the_rules_can_fail():
    """Negative controls: each checker finds a module that breaks its rule."""
    assert upward_imports("sim.scenario.schema", "from sim.study.run import run_experiment") == ["sim.study.run"]
    assert upward_imports("sim.estimate.means", "def f():\n    import sim.report.html") == ["sim.report.html"]
    assert strays("sim.measures.cost", "import simpy") == ["simpy"]
    assert strays("sim.report.html", "from duckdb import connect") == ["duckdb"]
    assert meetings("sim.oracles.ctmc", "from sim.world import run_trial") == {"world"}
    assert meetings("sim.study.run", "from sim.oracles import request_model") == {"oracles"}
    assert dangers("def f(text):\n    return eval(text)") == {"eval"}
    assert a_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]
    long = "def f():\n" + "    x = 1\n" * MOST_FUNCTION_LINES
    assert long_functions(long) == [("f", MOST_FUNCTION_LINES + 1)]


def test_the_scenario_and_the_command_line_are_quick_to_import():
    """Heavy libraries are imported inside the functions that need them."""
    heavy = {"numba", "simpy", "plotly", "duckdb", "scipy", "holidays", "networkx"}
    for module, path in MODULES.items():
        if layer_of(module) in ("cli", "commands", "scenario", "errors", "units"):
            top = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
            roots = {name.split(".")[0] for name in imports_of(ast.unparse(ast.Module(top, [])))}
            assert not roots & heavy, module
