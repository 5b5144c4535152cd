"""Names and defaults that graphs share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

START: Final = "__start__"
END: Final = "__end__"

DEFAULT_RECURSION_LIMIT: Final = 25

# Backstops against hangs, not latency budgets; a run's config may lower, raise or (None) lift them.
DEFAULT_NODE_TIMEOUT_S: Final = 900.0
DEFAULT_TOOL_TIMEOUT_S: Final = 300.0

# Where a tool call's arguments are kept that were not a JSON object, so that nothing a model said is lost.
RAW_ARGUMENTS: Final = "__raw_arguments__"


class ResponseGranularity(StrEnum):
    """How much of the state an answer carries.

    LOW: this run's messages. PARTIAL: also the context and its summary. FULL: also the state.
    """

    LOW = "low"
    PARTIAL = "partial"
    FULL = "full"
