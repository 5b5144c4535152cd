"""Bodies of the token and issuer routes."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, model_validator

from agentflow_api.keys.schemas import Scopes
from agentflow_tenancy.token_reading import MAX_USER_BYTES, is_user_id
from agentflow_tenancy.tokens import MAX_TTL_S


def _shown(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("is blank, or holds characters that cannot be shown")
    return text


def _user(text: str) -> str:
    if not is_user_id(text):
        raise ValueError(f"must be printable text of at most {MAX_USER_BYTES} bytes")
    return text


Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_shown)]


class NewToken(BaseModel):
    """A token to mint. Without `scopes` it may do what the key may and such a token can."""

    model_config = ConfigDict(extra="forbid")

    scopes: Scopes | None = None
    user_id: Annotated[str, AfterValidator(_user)] | None = None
    ttl_s: StrictInt = Field(default=MAX_TTL_S, ge=1, le=MAX_TTL_S)


class NewIssuer(BaseModel):
    """An issuer to trust, with the address of its keys or the keys themselves."""

    model_config = ConfigDict(extra="forbid")

    issuer: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_shown)]
    audience: Word
    jwks_uri: Annotated[str, Field(max_length=1000), AfterValidator(_shown)] | None = None
    jwks: dict[str, Any] | None = None
    algorithms: list[Literal["RS256", "PS256", "ES256", "EdDSA"]] = Field(
        default=["RS256", "ES256"], min_length=1
    )
    scopes: Scopes
    user_claim: Word = "sub"
    scope_claim: Word | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "NewIssuer":
        if (self.jwks_uri is None) == (self.jwks is None):
            raise ValueError("give jwks_uri or jwks, one of both")
        return self
