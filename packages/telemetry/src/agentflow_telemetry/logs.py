"""Log lines: time, level, logger, text; to stderr."""

import logging
import os


def configure_logging() -> None:
    """Log to stderr at AGENTFLOW_LOG_LEVEL (INFO if not set)."""
    level = os.environ.get("AGENTFLOW_LOG_LEVEL", "INFO").upper()
    known = logging.getLevelNamesMapping()
    logging.basicConfig(
        level=known.get(level, logging.INFO), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Clients' own request logs would repeat ours, with addresses in them.
    logging.getLogger("httpx").setLevel(logging.WARNING)
