"""What the document says of webhooks."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.shapes import plain, text

OPERATIONS: Final[Operations] = {
    "GET /v1/webhook-secret": Described("webhooks", plain({"secret": text("whsec_9f0c")})),
}
