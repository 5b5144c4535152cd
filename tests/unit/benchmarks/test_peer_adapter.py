"""The peers' environment has the library, and nothing of the service."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SERVICE = ["agentflow_tenancy", "agentflow_api", "agentflow_hosting", "agentflow_worker", "litestar", "jwt"]


def test_the_adapter_needs_nothing_but_the_library() -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({SERVICE!r}))\n"
        "import tests.benchmarks.peer_adapter\n"
        "print('fit')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "fit\n", done.stderr
