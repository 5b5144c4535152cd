"""Make .bench/peers, the environment of `make bench-peers`: what requirements/peers.txt pins, hashes checked.

Needs .venv and .tools/uv, so run tools/bootstrap first. A no-op when nothing changed.
"""

import os
import sys

import bootstrap

FOLDER = os.path.join(bootstrap.ROOT, ".bench", "peers")
PYTHON = os.path.join(FOLDER, "bin", "python")
LOCK = os.path.join(bootstrap.ROOT, "requirements", "peers.txt")
STAMP = os.path.join(FOLDER, ".locked")
UV = os.path.join(bootstrap.TOOLS, "uv")


def main():
    """Make the environment unless it is there as pinned."""
    if bootstrap.read(STAMP) == bootstrap.digest(LOCK) and bootstrap.works(PYTHON):
        return
    bootstrap.say("installing the peers into .bench/peers")
    python = bootstrap.VENV_PYTHON
    env = bootstrap.uv_env(python)
    make = [UV, "venv", "-q", "--clear", "--no-project", "--python", python, FOLDER]
    bootstrap.must(bootstrap.run(make, env=env))
    env["UV_PYTHON"] = PYTHON
    sync = [UV, "pip", "sync", "-q", "--python", PYTHON, "--require-hashes", LOCK]
    bootstrap.must(bootstrap.run(sync, env=env))
    bootstrap.write(STAMP, bootstrap.digest(LOCK))


if __name__ == "__main__":
    try:
        main()
    except bootstrap.Failed as failure:
        sys.exit(str(failure).rstrip())
