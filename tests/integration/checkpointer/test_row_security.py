"""Row level security: what a login that does not own the tables is shown, by this library and by hand."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.queries import QUERIES, behind_tenants, located, only_reads, shows_tenants
from agentflow.storage.checkpointer.testing import CASES
from agentflow_embedded import EmbeddedPostgres  # noqa: F401
from tests.support import databases
