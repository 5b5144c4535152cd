"""`/console`: everything that people look at."""

from typing import Final

import litestar
from litestar import Response, Router

from agentflow_api.console.assets import asset, is_latest
from agentflow_api.console.operator.routes import OPERATORS_PAGES
from agentflow_api.console.session.routes import front, sign_in, sign_in_page, sign_out
from agentflow_api.console.tenant.routes import TENANTS_PAGES
from agentflow_api.http.problems import NotThereError

_BRIEFLY: Final = {"cache-control": "no-cache"}
_FOR_GOOD: Final = {"cache-control": "public, max-age=31536000, immutable"}


@litestar.get("/console/assets/{digest:str}/{name:str}", include_in_schema=False)
async def get_asset(digest: str, name: str) -> Response[bytes]:
    """A style or a script."""
    found = asset(name)
    if found is None:
        raise NotThereError("There is no such file.")
    content, kind = found
    return Response(content, media_type=kind, headers=_FOR_GOOD if is_latest(name, digest) else _BRIEFLY)


console_router: Final = Router(
    "/",
    route_handlers=[
        front,
        sign_in_page,
        sign_in,
        sign_out,
        get_asset,
        *OPERATORS_PAGES,
        *TENANTS_PAGES,
    ],
)
