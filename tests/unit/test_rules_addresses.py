"""No file names a package registry or a folder of someone's machine: both differ from place to place."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.rules

ROOT = Path(__file__).parents[2]

# In pieces, so that this file passes its own test.
_REGISTRIES = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("proxy.golang", "org"),
    ("crates", "io"),
    ("deb.debian", "org"),
]
_OPTIONS = [("index", "url"), ("find", "links"), ("trusted", "host")]
_FOLDERS = [
    "/work" + "/",
    "/root" + "/",
    "/home" + "/[a-z]",
    "/Users" + "/[a-z]",
    "/opt" + "/(?:wheels|pypi)",
]

_ADDRESS = re.compile(
    "|".join(rf"\b{name}\.{end}\b" for name, end in _REGISTRIES).replace(".golang", r"\.golang")
)
_OPTION = re.compile(
    "|".join(rf"^\s*--(?:extra-)?{first}-{second}\b" for first, second in _OPTIONS), re.MULTILINE
)
_FOLDER = re.compile("|".join(rf"(?<![\w.$}}/-]){folder}" for folder in _FOLDERS))


def tracked() -> Iterator[tuple[str, str]]:
    """Yield the name and text of every file that git keeps, and of those about to be added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():
            yield name, path.read_text(errors="replace")


@pytest.mark.parametrize("pattern", [_ADDRESS, _OPTION, _FOLDER], ids=["address", "option", "folder"])
def test_no_file_names_a_registry_or_a_machines_folder(pattern: re.Pattern[str]) -> None:
    """Every tracked file is free of registry addresses, options that name one, and private folders."""
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in tracked()
        for match in pattern.finditer(text)
    ]
    assert not found


def test_the_patterns_find_what_they_look_for() -> None:
    """The patterns do match an address, an option and a folder."""
    assert _ADDRESS.search("https://files." + "pythonhosted" + ".org/x")
    assert _OPTION.search("--extra-index" + "-url x")
    assert _FOLDER.search("cd " + "/root" + "/x")


def test_the_lock_has_a_hash_for_every_package() -> None:
    """Each pinned package carries hashes, so that no other file can be installed in its place."""
    for name in ("lock", "bootstrap"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
        assert pins
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
