"""Rules of the house that a machine can check: who may import whom, where SQL may stand, what is typed.

An escape needs its reason beside it: a comment `# rule: <why>` on the same line.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.rules

ROOT = Path(__file__).parents[2]
LIBRARIES = {
    "agentflow",
    "agentflow_tenancy",
    "agentflow_telemetry",
    "agentflow_embedded",
    "agentflow_hosting",
    "agentflow_doctor",
}
SERVICES = {"agentflow_api", "agentflow_worker", "agentflow_cloud"}

# package -> first parts of modules it must not import
FORBIDDEN = {
    "agentflow": {"litestar", "granian", "uvicorn", "alembic", *SERVICES, *(LIBRARIES - {"agentflow"})},
    "agentflow_tenancy": {
        "litestar",
        "granian",
        "uvicorn",
        *SERVICES,
        "agentflow_embedded",
        "agentflow_hosting",
        "agentflow_doctor",
    },
    "agentflow_hosting": {
        "litestar",
        "granian",
        "uvicorn",
        *SERVICES,
        "agentflow_embedded",
        "agentflow_doctor",
    },
    "agentflow_doctor": {"litestar", "granian", "uvicorn", *SERVICES, "agentflow_embedded"},
    "agentflow_telemetry": {
        "litestar",
        "granian",
        "uvicorn",
        *SERVICES,
        *(LIBRARIES - {"agentflow_telemetry"}),
    },
    "agentflow_embedded": {
        "litestar",
        "granian",
        "uvicorn",
        *SERVICES,
        *(LIBRARIES - {"agentflow_embedded"}),
    },
    "agentflow_api": {"agentflow_worker", "agentflow_cloud", "agentflow_embedded"},
    "agentflow_worker": {"agentflow_api", "agentflow_cloud", "agentflow_embedded"},
    "agentflow_cloud": {"agentflow_api", "agentflow_worker"},
}

# Modules that the library must not import at its top level: extras, and what is slow to load.
LATE = {"sqlalchemy", "asyncpg", "redis", "openai", "langgraph", "langchain_core", "httpx"}

SQL = re.compile(
    r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|TRUNCATE)\s+.*"
    r"\b(FROM|INTO|SET|TABLE|AS|WHERE|DATABASE|ROLE|INDEX)\b",
    re.IGNORECASE | re.DOTALL,
)
SQL_HOMES = re.compile(
    r"(/queries\.py|/repository\.py|_repository\.py|/schema\.py|\.sql|/postgres_admin\.py)$"
)


def sources() -> Iterator[tuple[str, Path]]:
    for folder in ("packages", "services"):
        for path in sorted((ROOT / folder).glob("*/src/*/**/*.py")):
            package = path.relative_to(ROOT).parts[3]
            yield package, path


def imported(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node


def excused(source: str, node: ast.stmt | ast.expr) -> bool:
    lines = source.splitlines()
    return any("# rule:" in lines[i] for i in range(node.lineno - 1, node.end_lineno or node.lineno))


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_one_way(package: str) -> None:
    """Services import packages, never each other; the library imports nobody."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {module}"
        for owner, path in sources()
        if owner == package
        for module, node in imported(ast.parse(path.read_text()))
        if module.split(".")[0] in FORBIDDEN[package]
    ]
    assert not wrong


def test_extras_are_imported_late() -> None:
    """`import agentflow` needs no extra: only the modules behind a lazy name import one at their top."""
    lazy = re.compile(
        r"/(postgres|cache|redis|pool|writer|driver|integrations|client)[a-z_]*(/[a-z_]+)*\.py$"
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {module}"
        for owner, path in sources()
        if owner == "agentflow" and not lazy.search(str(path))
        for module, node in imported(_top_level(ast.parse(path.read_text())))
        if module.split(".")[0] in LATE
    ]
    assert not wrong


def test_sql_stands_in_query_files_and_repositories_only() -> None:
    """SQL is text that a DBA can review in one place, never assembled in passing."""
    wrong = []
    for _, path in sources():
        if not SQL_HOMES.search(str(path)):
            source = path.read_text()
            tree = ast.parse(source)
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno} {str(node.value)[:40]!r}"
                for node in _texts(tree)
                if SQL.match(str(node.value)) and not excused(source, node)
            ]
    assert not wrong


def test_no_broad_except_without_a_reason() -> None:
    """`except Exception` stands only at an edge, and says which."""
    wrong = []
    for _, path in sources():
        source = path.read_text()
        lines = source.splitlines()
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ExceptHandler)
            and _is_broad(node.type)
            and "#" not in lines[node.lineno - 1]
        ]
    assert not wrong


def test_nothing_stored_is_executed() -> None:
    """No pickle, eval, exec or yaml.load in what ships."""
    wrong = []
    for _, path in sources():
        tree = ast.parse(path.read_text())
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno} imports {module}"
            for module, node in imported(tree)
            if module.split(".")[0] in {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
        ]
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"eval", "exec"}
        ]
    assert not wrong


def _top_level(tree: ast.Module) -> ast.Module:
    """The module without function bodies and without what only a type checker reads."""
    kept = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    return ast.Module(body=kept, type_ignores=[])


def _texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """String literals that are no docstrings."""
    documentation = {id(doc) for doc in _docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _is_broad(kind: ast.expr | None) -> bool:
    return kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
