"""What the document says of routes that have nothing behind them: the one answer they have."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations

_MEMORY: Final = "/v1/store/memories"
_NAMES: Final = {
    f"POST {_MEMORY}": "store_memory",
    "POST /v1/store/search": "search_memories",
    f"POST {_MEMORY}/list": "list_memories",
    f"POST {_MEMORY}/forget": "forget_memories",
    f"POST {_MEMORY}/{{memory_id}}": "get_memory",
    f"PUT {_MEMORY}/{{memory_id}}": "update_memory",
    f"DELETE {_MEMORY}/{{memory_id}}": "delete_memory",
    "POST /v1/files/upload": "upload_file",
    "GET /v1/files/{file_id}": "get_file",
    "GET /v1/files/{file_id}/info": "get_file_info",
    "GET /v1/files/{file_id}/url": "get_file_url",
    "GET /v1/config/multimodal": "get_multimodal_config",
}

OPERATIONS: Final[Operations] = {
    key: Described("not configured", None, operation_id=name) for key, name in _NAMES.items()
}
