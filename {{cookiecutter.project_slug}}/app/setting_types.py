"""The types of settings that are more than text and numbers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

from app.unsafe import DEVELOPMENT_KEY


def url(*schemes: str) -> AfterValidator:
    """Refuse other schemes."""

    def check(value: str) -> str:
        if value and value.partition("://")[0] not in schemes:
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


List = Annotated[str, BeforeValidator(lambda value: str(value).replace(" ", ""))]


HttpUrl = Annotated[str, url("http", "https"), AfterValidator(lambda value: value.rstrip("/"))]


class Provider(BaseModel):
    """Where people may sign in with an account that they have elsewhere."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr = SecretStr("")
    issuer: HttpUrl = ""
    """OpenID Connect issuer; known for google, not needed for github."""
    label: str = ""
    """Its name for people."""
    keep_tokens: bool = False
    """Store the provider's access and refresh token, encrypted, for calls to its API."""


def keyring(secret: SecretStr) -> list[str]:
    """The keys of a comma-separated list, the newest first; the one for development if there is none."""
    keys = [key.strip() for key in secret.get_secret_value().split(",")]
    return [key for key in keys if key] or [DEVELOPMENT_KEY]
