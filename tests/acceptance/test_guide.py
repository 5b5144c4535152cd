"""Every block of Python and SQL in the guide and the README, run in order as a reader would."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("[0-9]*.md"))]
BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DATABASE_URL = "postgresql+asyncpg://agentflow:agentflow@localhost:5432/agentflow"
REDIS_URL = "redis://localhost:6379/0"


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start()) + 2


@pytest.mark.leaves_connections  # a page's program ends without closing, as short programs do
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block runs as it stands, with the addresses of this run's servers."""
    names: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for kind, code, line in blocks(page):
        if kind == "python":
            source = code.replace(DATABASE_URL, database_url).replace(REDIS_URL, redis_url)
            exec(compile("\n" * (line - 1) + source, str(page), "exec"), names)
        else:
            rows = asyncio.run(_query(database_url, code))
            if "AS orphans" in code:
                assert rows[0]["orphans"] == 0
            elif code.startswith("SELECT"):
                assert rows, f"{page.name}:{line} found nothing"
        ran += 1
    assert ran
    if page.name == "README.md":
        assert "You are Alex." in capsys.readouterr().out
    if "app" in names:
        names["app"].close()


async def _query(database_url: str, statement: str) -> Any:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


def test_links_lead_somewhere() -> None:
    """Every relative link of the docs names a file."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
