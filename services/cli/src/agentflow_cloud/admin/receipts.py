"""`agentflow-cloud receipt`: what was deleted, signed; checked with public keys alone."""

import argparse
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from agentflow_cloud.admin.arguments import Commands, command, group
from agentflow_cloud.admin.client import service
from agentflow_cloud.admin.output import show_all, show_json
from agentflow_cloud.errors import CommandError

_COLUMNS: Final = ("sequence", "receipt_id", "kind", "tenant_id", "issued_at")
_TIMEOUT_S: Final = 30.0
_MOST_BYTES: Final = 64 * 1024 * 1024


def add_receipt_commands(commands: Commands) -> None:
    """Add `receipt` and its commands."""
    receipt = group(commands, "receipt", "receipts of what was deleted")
    command(receipt, "list", _list, "receipts in their order", "receipt list\nreceipt list --json > all.json")
    examples = "receipt show 0b0c6a52-7f0e-4a0e-9a55-5a7e6d9d1f00 > receipt.json"
    one = command(receipt, "show", _show, "one receipt, as a file to keep", examples)
    one.add_argument("receipt_id", metavar="RECEIPT", help="its id: that of its offboarding")
    summary = "check a receipt, or a list of them that follow each other, without a service or a database"
    examples = (
        "receipt verify receipt.json --jwks keys.json\n"
        "receipt verify all.json --jwks https://agents.example.com/.well-known/receipts-jwks.json"
    )
    verify = command(receipt, "verify", _verify, summary, examples)
    verify.add_argument("file", metavar="FILE", help="what `receipt show` or `receipt list --json` printed")
    verify.add_argument("--jwks", required=True, metavar="FILE|URL", help="the public keys of receipts")


def _list(chosen: argparse.Namespace) -> None:
    found = service().all("/receipts", "receipts", {})
    entries = found if chosen.json else (file["receipt"] for file in found)
    show_all(chosen, _COLUMNS, entries)


def _show(chosen: argparse.Namespace) -> None:
    print(json.dumps(service().call("GET", f"/receipts/{chosen.receipt_id}"), indent=1, ensure_ascii=False))


def _verify(chosen: argparse.Namespace) -> None:
    from agentflow_tenancy.offboarding.receipts import ReceiptError, verify, verify_chain

    found = _parsed(chosen.file, _read_file(chosen.file))
    keys = _parsed(chosen.jwks, _read(chosen.jwks))
    files = found if isinstance(found, list) else [found]
    if not files:
        raise CommandError(f"{chosen.file} holds no receipt.")
    try:
        count = verify_chain(files, keys)
        last = verify(files[-1], keys)
    except ReceiptError as error:
        raise CommandError(f"{chosen.file} does not verify: {error}.") from error
    if chosen.json:
        show_json({"verified": count, "receipts": [file["receipt"] for file in files]})
    elif count == 1:
        print(
            f"Receipt {last['sequence']} of {last['issued_at']} verifies: {last['kind']} {last['tenant_id']}."
        )
    else:
        print(f"{count} receipts verify, and none is missing between them.")


def _read(place: str) -> bytes:
    if not place.startswith(("http://", "https://")):
        return _read_file(place)
    try:
        with urllib.request.urlopen(place, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked
            content: bytes = answer.read(_MOST_BYTES)
            return content
    except (OSError, urllib.error.URLError) as error:
        raise CommandError(f"{place} cannot be read ({error}).") from error


def _read_file(place: str) -> bytes:
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise CommandError(f"{place} cannot be read ({error.strerror}).") from error


def _parsed(place: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{place} is not JSON.") from error
