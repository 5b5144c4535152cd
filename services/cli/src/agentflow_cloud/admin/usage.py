"""`agentflow-cloud usage`: what was used, by all tenants or by one."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from agentflow_cloud.admin.arguments import Commands, add_tenant, command
from agentflow_cloud.admin.client import ServiceClient, own_service, service
from agentflow_cloud.admin.output import show_all, show_json
from agentflow_cloud.admin.quotas import say_quotas
from agentflow_cloud.errors import UsageError
from agentflow_cloud.terminal.tables import say_table

_COUNTS: Final = ("runs", "checkpoints", "tokens_in", "tokens_out", "threads", "stored_bytes")
_PAGE: Final = 1000


def add_usage(commands: Commands) -> None:
    """Add `usage`."""
    examples = (
        "usage\nusage --from 2026-03-01 --to 2026-04-01 --json\nusage acme\nusage acme --by hour\nusage --own"
    )
    summary = "what tenants used, or one of them by the day beside its quotas"
    more = (
        "Of the last 30 days if no time is said, with --by hour of the last day. Threads and bytes are by "
        "how much more is kept than before."
    )
    parser = command(commands, "usage", _usage, summary, examples, more=more)
    add_tenant(parser, optional=True)
    parser.add_argument("--own", action="store_true", help="of the tenant whose key AGENTFLOW_API_KEY is")
    parser.add_argument("--from", dest="since", metavar="TIME", help="from this time on, as 2026-03-01")
    parser.add_argument("--to", dest="until", metavar="TIME", help="until before this time")
    parser.add_argument("--by", choices=("day", "hour"), help="what is added up, of one tenant")


def _usage(chosen: argparse.Namespace) -> None:
    if chosen.own and chosen.tenant:
        raise UsageError("--own is of the key's tenant: name no other with it.")
    asked = {"from": chosen.since, "to": chosen.until, "granularity": chosen.by}
    asked = {name: value for name, value in asked.items() if value is not None}
    if chosen.own:
        _show_one(chosen, own_service().call("GET", f"/usage?{urlencode(asked)}"))
    elif chosen.tenant:
        _show_one(chosen, service().call("GET", f"/tenants/{chosen.tenant}/usage?{urlencode(asked)}"))
    elif chosen.by:
        raise UsageError("--by is of one tenant: name it.")
    else:
        show_all(chosen, ("slug", *_COUNTS), _of_all(service(), asked))


def _show_one(chosen: argparse.Namespace, usage: Mapping[str, Any]) -> None:
    if chosen.json:
        show_json(usage)
        return
    say_table(("start", *_COUNTS), [*usage["buckets"], {"start": "total", **usage["total"]}])
    print()
    say_quotas(usage)


def _of_all(client: ServiceClient, asked: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = client.call("GET", f"/usage?{urlencode({**asked, 'after': after, 'limit': _PAGE})}")
        yield from page["tenants"]
        after = page["next"]
