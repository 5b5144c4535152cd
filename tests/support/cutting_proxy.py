"""A TCP proxy in front of a service that cuts answers off.

with CuttingProxy(api.port) as proxy:
    proxy.cuts += [0, 700]  # the next answer is swallowed whole, the one behind it after 700 bytes
"""

import contextlib
import socket
import socketserver
import threading
from typing import Self


class CuttingProxy:
    """Passes bytes on, on a loopback port of its own; a context manager.

    Attributes:
        cuts: After how many bytes of answers a connection is cut, from now on: one by one, the next
            connection that says something takes the next of them.
        done: How many were cut.
    """

    def __init__(self, port: int) -> None:
        self.cuts: list[int] = []
        self.done = 0
        self._server = _Server(self, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, proxy: CuttingProxy, port: int) -> None:
        self.proxy = proxy
        self.port = port
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        proxy = self.server.proxy
        left: int | None = None
        with socket.create_connection(("127.0.0.1", self.server.port)) as service:
            asks = threading.Thread(target=_pass_on, args=(self.request, service), daemon=True)
            asks.start()
            with contextlib.suppress(OSError):
                while data := service.recv(65536):
                    if left is None and proxy.cuts:
                        left = proxy.cuts.pop(0)
                    if left is not None and len(data) >= left:
                        self.request.sendall(data[:left])
                        proxy.done += 1
                        break
                    left = None if left is None else left - len(data)
                    self.request.sendall(data)
            for connection in (self.request, service):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            asks.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
