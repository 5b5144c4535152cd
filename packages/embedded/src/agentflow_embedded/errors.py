"""What can go wrong when a server is started, split by what a person can do about it."""

from pathlib import Path


class EmbeddedError(Exception):
    """Root of this package's errors. The text says what happened and what to do."""


class BinariesMissingError(EmbeddedError):
    """No server program for this machine is installed, or it does not run here."""

    def __init__(self, package: str, platform: str, detail: str = "") -> None:
        self.package = package
        self.platform = platform
        super().__init__(
            f"The package {package!r} has no server that runs on {platform}."
            f"{f' It said: {detail}.' if detail else ''} Use servers of your own instead: set"
            " AGENTFLOW_DATABASE_URL (PostgreSQL 15-18) and AGENTFLOW_REDIS_URL (Redis 7, Valkey 8 or newer)."
        )


class PortTakenError(EmbeddedError):
    """The port that was asked for belongs to another program."""

    def __init__(self, server: str, port: int) -> None:
        self.server = server
        self.port = port
        super().__init__(
            f"Port {port} on 127.0.0.1 is taken, so {server} cannot listen there."
            " Stop the program that holds it, or ask for no port and get a free one."
        )


class AlreadyRunningError(EmbeddedError):
    """Another process runs a server on this state folder."""

    def __init__(self, server: str, folder: Path, pid: int | None) -> None:
        self.server = server
        self.folder = folder
        self.pid = pid
        super().__init__(
            f"{server} is already running on {folder}, started by process {pid or 'unknown'}."
            " Stop that process, or set AGENTFLOW_STATE_DIR to another folder."
        )


class DiskFullError(EmbeddedError):
    """The server found no room for its files."""

    def __init__(self, server: str, folder: Path, free_bytes: int) -> None:
        self.server = server
        self.folder = folder
        self.free_bytes = free_bytes
        super().__init__(
            f"{server} has no room in {folder} ({free_bytes // 2**20} MiB free)."
            " Free some space, or set AGENTFLOW_STATE_DIR to a folder on another disk. Nothing was lost."
        )


class StateFolderError(EmbeddedError):
    """The state folder cannot be used by this user."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"The state folder {folder} cannot be used: {reason}."
            " Run as the user who owns it, or set AGENTFLOW_STATE_DIR to a folder of your own."
        )


class ServerFailedError(EmbeddedError):
    """The server did not come up for a reason that only its log tells."""

    def __init__(self, server: str, reason: str, log: str, log_path: Path) -> None:
        self.server = server
        self.log = log
        self.log_path = log_path
        super().__init__(f"{server} {reason}. The end of its log, {log_path}:\n{log}")
