"""`/openapi.json`, and `/docs`: a page that shows it, with nothing from elsewhere."""

import json
import mimetypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.enums import MediaType

from agentflow_api.documents.document import document
from agentflow_api.http.problems import NotThereError

# The page may load and ask what this server answers, and nothing else; small pictures stand in its styles.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_OF_PACKAGE: Final = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_OWN: Final = ("page.html", "page.js")
_KEPT: Final = {"cache-control": "public, max-age=3600"}


@get("/openapi.json", include_in_schema=False, media_type=MediaType.JSON)
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenAPI document."""
    state = request.app.state
    if "openapi" not in state:
        state["openapi"] = json.dumps(document(request.app), separators=(",", ":")).encode()
    return Response(state["openapi"], media_type=MediaType.JSON)


@get("/docs", include_in_schema=False)
async def docs() -> Response[bytes]:
    """A page that shows the document, and can try each operation."""
    return Response(_content("page.html"), media_type=MediaType.HTML, headers=_HEADERS)


@get("/docs/{name:str}", include_in_schema=False)
async def asset(name: str) -> Response[bytes]:
    """A file that the page names."""
    if name not in (*_OF_PACKAGE, "page.js"):
        raise NotThereError("There is no such file.")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(_content(name), media_type=kind, headers=_HEADERS | _KEPT)


@cache
def _content(name: str) -> bytes:
    folder = Path(__file__).parent if name in _OWN else _package()
    return (folder / name).read_bytes()


def _package() -> Path:
    """The folder of Swagger UI's files; the package itself is for other frameworks, and is not imported."""
    found = find_spec("swagger_ui")
    if found is None or not found.submodule_search_locations:
        raise NotThereError("Install swagger-ui-py to have this page.")
    return Path(found.submodule_search_locations[0]) / "static"


documents_router = Router("/", route_handlers=[openapi, docs, asset])
