"""Servers of the tests' own."""

import gc
import os
import signal
import warnings

import pytest

from agentflow_embedded import EmbeddedValkey
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
