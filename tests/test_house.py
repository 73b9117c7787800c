"""The house keeps its walls, and says why each one stands.

`DOORS` is the table of docs/architecture.md as data: which room may import from which, which
outside packages it may touch, and the reason. The checks read the source of credd/** by `ast`, so
an import inside a function counts too, and a room that isn't built yet breaks nothing.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ANYTHING = frozenset({"*"})
GROUND_FLOOR = frozenset({"errors", "wire", "wire_audit", "wire_vault", "paths", "foreign"})


class Door(NamedTuple):
    """What a room may import, and why not more."""

    rooms: frozenset[str]
    outside: frozenset[str]
    reason: str


def door(rooms: frozenset[str], outside: str, reason: str) -> Door:
    """A row of the table; `outside` lists packages, separated by spaces."""
    return Door(rooms, frozenset(outside.split()), reason)


FOUNDATION = GROUND_FLOOR | {"core"}
DAEMON_WING = FOUNDATION | {
    "providers", "vault", "broker", "sinks", "world", "api", "audit", "metrics", "findings",
    "daemon", "service",
}  # fmt: skip
STANDARD_LIBRARY = ""

GROUND_REASON = "the guest wing stands on it, inside other people's processes"
FRONT_REASON = "the front door knows no provider and no vault"
CREDD_REASON = "`import credd` costs a job nothing until it asks for something"

DOORS: dict[str, Door] = {
    "credd": door(GROUND_FLOOR | {"client"}, STANDARD_LIBRARY, CREDD_REASON),
    "errors": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "wire": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "wire_audit": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "wire_vault": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "paths": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "foreign": door(GROUND_FLOOR, STANDARD_LIBRARY, GROUND_REASON),
    "core": door(GROUND_FLOOR, "msgspec", "a month of refreshing is tested in milliseconds"),
    "providers": door(FOUNDATION, "jwt", "a provider that can open a socket cannot be replayed"),
    "vault": door(FOUNDATION, "cryptography keyring", "the only room that sees keys"),
    "broker": door(FOUNDATION, "", "it is handed renew, keep, clock and dice, and picks none"),
    "sinks": door(FOUNDATION, "", "a file format needs no network and no key"),
    # yarl is aiohttp's own type of a URL: what is checked must be what is sent.
    "world": door(
        FOUNDATION, "aiohttp watchfiles yarl", "hands do as they are told and decide nothing"
    ),
    "api": door(FOUNDATION | {"broker"}, "aiohttp", FRONT_REASON),
    "audit": door(FOUNDATION | {"broker"}, "", FRONT_REASON),
    "metrics": door(FOUNDATION | {"broker"}, "", FRONT_REASON),
    "findings": door(FOUNDATION | {"broker"}, "", FRONT_REASON),
    "daemon": door(DAEMON_WING, "uvloop", "the one room that knows everyone only builds"),
    "__main__": door(DAEMON_WING, "uvloop", "it starts the daemon and does nothing else"),
    "client": door(GROUND_FLOOR, STANDARD_LIBRARY, "it is imported inside training jobs"),
    "shims": door(
        GROUND_FLOOR | {"client"}, "*", "each imports its own library only when used, so that a "
        "missing one never breaks its neighbour",
    ),
    "gate": door(GROUND_FLOOR | {"client"}, "aiohttp", "it runs beside MLflow, not in the daemon"),
    "ctl": door(
        GROUND_FLOOR | {"client", "service"}, "click rich tomlkit",
        "a command that talks to a person starts at once; aiohttp and keys stay in the daemon",
    ),
    "service": door(GROUND_FLOOR, STANDARD_LIBRARY, "installing needs only the system's own tools"),
}  # fmt: skip

# Parts of the standard library that a room does without, although it could have them.
CLOCKS_AND_DICE = frozenset({"time", "random", "secrets", "uuid"})
HANDS = frozenset({
    "os", "socket", "_socket", "ssl", "select", "selectors", "subprocess", "shutil", "tempfile",
    "sqlite3", "http", "urllib.request", "signal", "ctypes",
})  # fmt: skip
CLOSED: dict[str, tuple[frozenset[str], str]] = {
    "core": (
        CLOCKS_AND_DICE | HANDS | {"asyncio", "threading"},
        "core is handed time and dice, so that its answers are functions of recorded facts",
    ),
    "broker": (
        CLOCKS_AND_DICE | HANDS,
        "the broker is handed clock, dice and collaborators, so that tests hand it virtual ones",
    ),
    "providers": (
        HANDS | {"asyncio", "time", "random"},
        "a provider touches the world only through the Conversation it is handed",
    ),
}

# Single modules whose door is narrower than their room's.
NARROWER: dict[str, tuple[str, str]] = {
    "msgspec": ("credd.core.config", "one module turns a person's text into settings"),
}

LANDFILL_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc", "manager"})
MOST_LINES_OF_A_FILE = 400  # beyond it, a file has two subjects; most here have 100 to 300 lines
MOST_LINES_OF_A_FUNCTION = 60  # the 95th percentile of admired code; most here have up to 10


# --- reading the source ---------------------------------------------------------------------


class Module(NamedTuple):
    """A source file of credd, parsed."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first name below `credd`; the package itself is its own room."""
        return self.name.split(".")[1] if "." in self.name else "credd"


class Import(NamedTuple):
    """One imported name, fully dotted, and where it stands."""

    target: str
    line: int
    is_only_typing: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(name: str, source: str, path: Path = Path("planted.py")) -> Module:
    return Module(name, path, ast.parse(source))


def credd_modules() -> list[Module]:
    paths = sorted((ROOT / "credd").rglob("*.py"))
    return [parsed(module_name(path), path.read_text("utf-8"), path) for path in paths]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_below(node: ast.AST, module: str, is_only_typing: bool = False) -> Iterator[Import]:
    """Every import in the source, inside functions and TYPE_CHECKING blocks too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, is_only_typing)
        elif isinstance(child, ast.ImportFrom):
            base = absolute_base(child, module)
            for alias in child.names:
                yield Import(f"{base}.{alias.name}", child.lineno, is_only_typing)
        else:
            yield from imports_below(child, module, is_only_typing or is_type_checking(child))


def absolute_base(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    above = module.split(".")[: -node.level]
    return ".".join([*above, node.module] if node.module else above)


def is_within(target: str, packages: frozenset[str]) -> bool:
    return any(target == package or target.startswith(package + ".") for package in packages)


# --- the walls ------------------------------------------------------------------------------


def broken_walls(module: Module) -> list[str]:
    """What a module imports and its room may not, each with the reason."""
    row = DOORS.get(module.room)
    if row is None:
        return [f"{module.name}: a new room? Give {module.room!r} a row in DOORS, with its reason"]
    found = []
    for item in imports_below(module.tree, module.name):
        reason = inside_reason(module, item) or outside_reason(module, item, row)
        if reason:
            found.append(f"{module.name}:{item.line} imports {item.target}: {reason}")
    return found


def inside_reason(module: Module, item: Import) -> str:
    """Why this import of another room of credd is refused, or nothing."""
    parts = item.target.split(".")
    if parts[0] != "credd":
        return ""
    room = parts[1] if len(parts) > 1 and parts[1] in DOORS else "credd"
    row = DOORS[module.room]
    if room in {module.room, "credd"} or room in row.rooms:
        return ""
    return f"{module.room} may not know {room}, because {row.reason}"


def outside_reason(module: Module, item: Import, row: Door) -> str:
    """Why this import of an outside package or of a standard module is refused, or nothing."""
    top = item.target.split(".")[0]
    closed, why_closed = CLOSED.get(module.room, (frozenset(), ""))
    if is_within(item.target, closed):
        return f"closed to {module.room}: {why_closed}"
    if top in sys.stdlib_module_names or top in {"credd", "__future__"}:
        return ""
    if module.room == "world" and item.target.startswith("aiohttp.web"):
        return "world performs requests; serving them is the api's"
    only, why_only = NARROWER.get(top, (module.name, ""))
    if only != module.name:
        return f"only {only} may, because {why_only}"
    if top in row.outside or row.outside == ANYTHING:
        return ""
    return f"no outside package for {module.room}, because {row.reason}"


@pytest.mark.parametrize("module", credd_modules(), ids=lambda module: module.name)
def test_a_room_imports_only_through_its_doors(module: Module) -> None:
    """No module imports what its room has no door to, at the top or inside a function."""
    assert not broken_walls(module), "\n".join(broken_walls(module))


@pytest.mark.parametrize(
    ("name", "source", "word"),
    [
        ("credd.core.states", "import asyncio", "recorded facts"),
        ("credd.core.states", "def f():\n    from time import time", "recorded facts"),
        ("credd.core.model", "import msgspec", "credd.core.config"),
        ("credd.broker.flights", "import random", "virtual"),
        ("credd.broker.broker", "from credd.vault import store", "may not know vault"),
        ("credd.api.routes", "import credd.providers.oauth", "may not know providers"),
        ("credd.world.http", "from aiohttp import web", "api's"),
        ("credd.client.sync", "import requests", "training jobs"),
        ("credd.client.sync", "from ..core import model", "may not know core"),
        ("credd.ctl.login", "import aiohttp", "stay in the daemon"),
        ("credd.attic", "", "DOORS"),
    ],
)
def test_a_broken_wall_is_noticed_with_its_reason(name: str, source: str, word: str) -> None:
    """The check itself bites, and its message says why the wall stands."""
    assert word in "\n".join(broken_walls(parsed(name, source)))


def runtime_graph(modules: list[Module]) -> dict[str, set[str]]:
    """Who imports whom at run time.

    The package `credd` itself is left out: its names are loaded on first use, from the rooms that
    stand on it, and that is all it does.
    """
    names = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        targets = {
            item.target if item.target in names else item.target.rpartition(".")[0]
            for item in imports_below(module.tree, module.name)
            if not item.is_only_typing
        }
        graph[module.name] = (targets & names) - {module.name, "credd"}
    graph.pop("credd", None)
    return graph


def test_no_import_goes_round_in_a_circle() -> None:
    """Every module can be read, and loaded, after the ones it imports."""
    try:
        TopologicalSorter(runtime_graph(credd_modules())).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_the_package_imports_nothing_when_it_is_imported() -> None:
    """credd/__init__.py runs no import statement of its own: its names are loaded on first use."""
    tree = ast.parse((ROOT / "credd" / "__init__.py").read_text("utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node for node in top if getattr(node, "module", "") != "__future__"] == [], CREDD_REASON


# --- the manners ----------------------------------------------------------------------------


def our_sources() -> list[Path]:
    return [path for room in ("credd", "demo", "bench") for path in (ROOT / room).rglob("*.py")]


@pytest.mark.parametrize("path", our_sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_its_rules_and_stays_readable(path: Path) -> None:
    """A docstring first; one subject a file; functions one can hold in the head."""
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "open with what it knows, what it refuses to know, and why"
    lines = len(source.splitlines())
    assert lines <= MOST_LINES_OF_A_FILE, f"{lines} lines: a file this long has two subjects"
    long = [f"{name} has {count} lines" for name, count in function_lengths(tree)
            if count > MOST_LINES_OF_A_FUNCTION]  # fmt: skip
    assert not long, f"{long}: a function this long decides and acts at once; part the two"
    assert path.stem not in LANDFILL_NAMES, "a name that means nothing collects everything"


def function_lengths(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Lines of each function without its docstring: a contract may be as long as it must."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            contract = ast.get_docstring(node, clean=False) or ""
            first = node.lineno
            yield node.name, (node.end_lineno or first) - first + 1 - len(contract.splitlines())


def test_every_test_says_what_it_promises() -> None:
    """Each test function has a docstring: the promise it keeps, in the present tense."""
    mute = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not mute, "no docstring: " + ", ".join(mute)


@pytest.mark.parametrize("module", credd_modules(), ids=lambda module: module.name)
def test_no_check_is_an_assert(module: Module) -> None:
    """`python -O` removes every assert, and a check that can be removed protects nobody."""
    lines = [node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.Assert)]
    assert not lines, f"{module.name} lines {lines}: raise instead"


def test_the_quiet_rooms_never_look_at_the_clock() -> None:
    """core, broker and providers are told the time; datetime.now() would be a clock by stealth."""
    looks = [
        f"{module.name}:{node.lineno} calls {node.func.attr}(): {CLOSED[module.room][1]}"
        for module in credd_modules()
        if module.room in CLOSED
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"now", "utcnow", "today", "monotonic"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"datetime", "date", "dt"}
    ]
    assert not looks, "\n".join(looks)


# --- the guest's price ----------------------------------------------------------------------

LOADED = """
import sys
sys.path.insert(0, {root!r})
before = set(sys.modules)
{code}
print(*sorted(set(sys.modules) - before))
"""


def loaded_by(code: str) -> set[str]:
    """The modules that a bare Python loads for this code, in isolated mode without site."""
    script = LOADED.format(root=str(ROOT), code=code)
    argv = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import credd",
        "import credd; [getattr(credd, n, None) for n in ('get_token', 'Client', 'LoginRequired')]",
    ],
    ids=["import credd", "the client's names"],
)
def test_importing_credd_in_a_job_loads_no_third_party_module(code: str) -> None:
    """A job that imports credd loads the standard library at most, and none of its heavy parts."""
    loaded = {name.split(".")[0] for name in loaded_by(code)}
    strangers = loaded - set(sys.stdlib_module_names) - {"credd"}
    assert not strangers, f"{strangers} run inside somebody's training job"
    assert not loaded & {"ssl", "asyncio", "email", "http"}, "each costs more than a token does"


def test_the_token_command_loads_as_good_as_nothing() -> None:
    """credd-token is called in shell loops; a whole process costs hardly more than Python's own."""
    if not (ROOT / "credd/client/token_command.py").exists():
        pytest.skip("credd-token is not built yet")
    loaded = loaded_by("import credd.client.token_command")
    heavy = {"typing", "dataclasses", "socket", "ssl", "asyncio", "email", "http", "json", "re",
             "argparse", "logging", "pathlib", "importlib.metadata"}  # fmt: skip
    assert not loaded & heavy, f"{loaded & heavy}: `import socket` alone costs 5 ms"
