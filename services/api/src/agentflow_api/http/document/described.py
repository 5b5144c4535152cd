"""What the document says of an operation beside its handler's name and docstring."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentflow_api.http.document.parameters import IDEMPOTENCY_KEY
from agentflow_api.http.document.shapes import Shape


@dataclass(frozen=True, slots=True)
class Described:
    """One operation.

    Attributes:
        tag: The group it stands in.
        answer: What a good answer holds; of an enveloped one, its `data`. None if there never is one.
        status: Of a good answer.
        also: Other statuses that the same answer may have.
        body: What it takes.
        takes: The same of what is no JSON, by its media type.
        needs_body: Whether a request without one is refused.
        parameters: Of the query and header, as the document has them.
        repeatable: Whether it knows `Idempotency-Key`.
        errors: Statuses that follow neither from the path nor from the above.
        operation_id: Instead of the handler's name.
        streams: Instead of `answer`, what comes bit by bit, by its media type.
        enveloped: Whether the answer is in the envelope.
        headers: Of a good answer, by name.
        line_body: What each line of a body of JSON lines holds, where those are taken, too.
        line_answer: What each line of an answer of JSON lines holds, where those are asked for.
    """

    tag: str
    answer: Shape | None
    status: int = 200
    also: tuple[int, ...] = ()
    body: Shape | None = None
    needs_body: bool = True
    parameters: tuple[Mapping[str, Any], ...] = ()
    repeatable: bool = False
    errors: tuple[int, ...] = ()
    operation_id: str | None = None
    streams: Mapping[str, Shape] = field(default_factory=dict)
    enveloped: bool = True
    headers: Mapping[str, Any] = field(default_factory=dict)
    takes: Mapping[str, Shape] = field(default_factory=dict)
    line_body: Shape | None = None
    line_answer: Shape | None = None

    def all_parameters(self) -> tuple[Mapping[str, Any], ...]:
        """Of the query and header."""
        return (*self.parameters, IDEMPOTENCY_KEY) if self.repeatable else self.parameters

    def statuses(self, path: str) -> list[int]:
        """Those of its errors."""
        found = set(self.errors)
        found |= set(_OF_CREDENTIALS) if path.startswith("/v1/") else set()
        found |= {410, 429} if path.startswith("/v1/") and not path.startswith(OPERATORS) else set()
        takes = self.body is not None or bool(self.takes)
        found |= {410} if path.startswith(OF_A_TENANT) and takes else set()
        found |= {404, 422} if "{" in path else set()
        found |= {413, 415, 422} if self.body is not None else set()
        found |= {408} if self.line_body is not None else set()
        found |= {422} if self.parameters else set()
        found |= {409, 422} if self.repeatable else set()
        return sorted(found)


OPERATORS: Final = "/v1/admin/"
# Whose tenant may be gone when the body has come.
OF_A_TENANT: Final = "/v1/admin/tenants/{named}/"
_OF_CREDENTIALS: Final = (400, 401, 403, 503)

type Operations = Mapping[str, Described]
