"""Servers of the tests' own."""

import gc
import os
import signal
import warnings
from pathlib import Path

import pytest

from agentflow_embedded import EmbeddedValkey, remove_state
from agentflow_embedded.home import Home
from tests.support.waiting import soon


@pytest.mark.own_server
def test_started_again_after_it_ended_by_itself(own_valkey: EmbeddedValkey) -> None:
    """Nothing of the first start stays open."""
    os.kill(own_valkey.pid, signal.SIGKILL)
    soon(lambda: not own_valkey.alive, within_s=30)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        own_valkey.start()
        gc.collect()
    assert [one.message for one in said if issubclass(one.category, ResourceWarning)] == []


@pytest.mark.own_server
def test_nothing_is_left_of_a_state_folder(tmp_path: Path) -> None:
    """Neither the folder nor what root's servers keep elsewhere, nor sockets with a short path."""
    deep = tmp_path / ("d" * 80)
    with EmbeddedValkey(deep) as server:
        kept = [Path(server.home.folder), server.home.sockets()]
    remove_state(deep)
    assert [path for path in [deep, *kept] if path.exists()] == []


def test_a_state_folder_that_was_moved(tmp_path: Path) -> None:
    """Is found by its note, also when it holds one itself."""
    elsewhere, sockets = tmp_path / "elsewhere", tmp_path / "sockets"
    for folder in (elsewhere, sockets, tmp_path / "state" / "valkey"):
        folder.mkdir(parents=True)
    (tmp_path / "state" / "valkey" / "moved").write_text(str(elsewhere))
    (elsewhere / "sockets-at").write_text(str(sockets))
    assert Home(tmp_path / "state", "valkey").folder == elsewhere
    remove_state(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
