"""A real HTTP server of issuers' keys, which counts who asks; and the keys it serves."""

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
KEYS["PS256"] = KEYS["RS256"]


def public_jwk(algorithm: str, key: Any, kid: str) -> dict[str, Any]:
    """The public half of a key, as issuers publish it; without its algorithm, which is often left out."""
    made: str = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())
    return {**json.loads(made), "kid": kid}


def public_pem(key: Any) -> bytes:
    """What somebody would take for a shared secret."""
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def known_keys() -> dict[str, Any]:
    """A set of one key an algorithm, each named by it; PS256 is the RSA key again."""
    return {"keys": [public_jwk(name, KEYS[name], name) for name in ("RS256", "ES256", "EdDSA")]}


def signed(algorithm: str = "RS256", *, key: Any = None, kid: str | None = None, **changes: Any) -> str:
    """A token of an issuer, good but for the changes; None takes a claim away."""
    now = int(time.time())
    claims = {"iss": "https://idp.example", "aud": "app", "sub": "alice", "iat": now, "exp": now + 60}
    kept = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    header = {"kid": kid or ("RS256" if algorithm == "PS256" else algorithm)}
    return jwt.encode(kept, KEYS[algorithm] if key is None else key, algorithm, headers=header)


@dataclass
class JwksServer:
    """What is served by path, and how often it was asked for."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def jwks_server() -> Iterator[JwksServer]:
    """A server for the length of a block, on a port of its own."""
    serving = JwksServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serving.asked.append(self.path)
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "/keys")
                self.end_headers()
                return
            body = serving.bodies.get(self.path)
            self.send_response(404 if body is None else 200)
            if self.path == "/packed":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            return

    keys = json.dumps(known_keys()).encode()
    serving.bodies = {
        "/keys": keys,
        "/large": keys + b" " * 64 * 1024,
        "/packed": gzip.compress(keys),
        "/deep": b"[" * 30_000 + b"]" * 30_000,
        "/text": b"<html>",
        "/list": b"[]",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
