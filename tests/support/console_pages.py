"""The console's pages, as the application routes them: what must be looked at follows from that."""

import re
from collections.abc import Iterable
from typing import Any, Final

from agentflow_api.console.operator.routes import OPERATORS_PAGES
from agentflow_api.console.routes import console_router
from agentflow_api.console.tenant.routes import TENANTS_PAGES

# Nobody stays there: one leads on, the other is no page.
_NO_PAGES: Final = ("/console", "/console/assets/{digest:str}/{name:str}")


def _pages_of(handlers: Iterable[Any]) -> frozenset[str]:
    paths = {path for one in handlers if "GET" in one.http_methods for path in one.paths}
    return frozenset(path for path in paths if not path.endswith("/part") and path not in _NO_PAGES)


def _pattern(route: str) -> re.Pattern[str]:
    step = ".+" if ":path}" in route else "[^/]+"
    return re.compile(step.join(re.escape(part) for part in re.split(r"\{\w+:\w+\}", route)))


OF_OPERATOR: Final = _pages_of(OPERATORS_PAGES)
OF_TENANT: Final = _pages_of(TENANTS_PAGES)
# Where anybody may go, and where nothing is.
OF_ANYBODY: Final = (
    frozenset(
        route.path
        for route in console_router.routes
        if "GET" in route.methods and not route.path.endswith("/part") and route.path not in _NO_PAGES
    )
    - OF_OPERATOR
    - OF_TENANT
)
# The plainest first: what has a name of its own is not one of many.
_KINDS: Final = [
    (route, _pattern(route))
    for route in sorted(
        (one.path for one in console_router.routes), key=lambda path: (":path}" in path, path.count("{"))
    )
]


def kind_of(path: str) -> str:
    """The route of a page's address."""
    bare = path.partition("#")[0].partition("?")[0]
    return next((route for route, pattern in _KINDS if pattern.fullmatch(bare)), bare)
