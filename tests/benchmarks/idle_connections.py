"""Connections that are opened and left alone: `python -m tests.benchmarks.idle_connections`.

It is given port, key, path and count. Says "open" once all are, and hangs up when its stdin ends. Paths that
end in `/ws` are opened as WebSockets, others are read as server-sent events.
"""

import resource
import socket
import sys

_UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_SPARE_FILES = 100


def main() -> None:
    """Open, say so, wait, hang up."""
    port, key, path, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, count + _SPARE_FILES), most))
    own = _UPGRADE if path.endswith("/ws") else "Accept: text/event-stream\r\n"
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n{own}\r\n".encode()
    held = [_opened(port, request) for _ in range(count)]
    print("open", flush=True)
    sys.stdin.read()
    for connection in held:
        connection.close()


def _opened(port: int, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(4096)
        if not part:
            raise SystemExit(f"hung up: {answer!r}")
        answer += part
    if answer[9:12] not in (b"101", b"200"):
        raise SystemExit(f"refused: {answer!r}")
    return connection


if __name__ == "__main__":
    main()
