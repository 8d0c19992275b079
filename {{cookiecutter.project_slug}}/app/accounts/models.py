"""The tables of accounts."""

from datetime import datetime
from typing import Any

from saaskit.db import Base
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

_TIME = TIMESTAMP(timezone=True)


class User(Base):
    """A user account. The row is created once the e-mail address is verified."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email", info={"problem": "This e-mail address is already in use."}),
        CheckConstraint("email = lower(email)", name="email_canonical"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())
    disabled_at: Mapped[datetime | None] = mapped_column(_TIME)
    """Set by an operator, or when the account is erased. A disabled user cannot sign in."""
    device_epoch: Mapped[int] = mapped_column(server_default="0")
    """Incremented when all sessions end: devices that were known before are unknown again (browser.py)."""
    delete_at: Mapped[datetime | None] = mapped_column(_TIME, index=True)
    """When the account will be erased. Until then the user can cancel the deletion."""


class Password(Base):
    """A password credential. Users who only sign in with a provider have none."""

    __tablename__ = "passwords"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(200))
    """The Argon2 hash."""
    changed_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())


class Session(Base):
    """A signed-in browser."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    """SHA-256 of the cookie's token."""
    methods: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    """How the user authenticated, in the terms of RFC 8176: `pwd`, `fed`."""
    signed_in_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())
    """Updated at most once a minute."""
    idle_seconds: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(_TIME)
    address: Mapped[str] = mapped_column(String(45))
    """The client's IP address."""
    user_agent: Mapped[str] = mapped_column(String(200))


class Token(Base):
    """A single-use token in an e-mailed link. A newer one for the same purpose and subject replaces it."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("purpose", "subject"),)

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """SHA-256 of the token."""
    purpose: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(300))
    """The user's id, or before there is one, the e-mail address and the network that asked."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    expires_at: Mapped[datetime] = mapped_column(_TIME, index=True)


class LinkedIdentity(Base):
    """An account at an OAuth provider that can sign in as this user."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject", info={"problem": "This identity belongs to another account."}),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    """The provider's permanent id of the account."""
    email: Mapped[str | None] = mapped_column(String(254))
    linked_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.now())
    tokens: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The provider's access and refresh token, encrypted. Only stored with the setting `keep_tokens`."""
    tokens_key: Mapped[str | None] = mapped_column(String(16))
    """The id of the key that encrypted them."""


class OAuthFlow(Base):
    """A pending OAuth sign-in, bound to one browser by a cookie."""

    __tablename__ = "identity_flows"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    provider: Mapped[str] = mapped_column(String(40))
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    """The session in which a signed-in user links an identity. Null for a sign-in."""
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(_TIME, server_default=func.clock_timestamp())


class Event(Base):
    """An entry of the audit log. The application can insert and read rows; the migration enforces that.

    There is no foreign key to `users`: entries stay when an account is erased.
    """

    __tablename__ = "events"
    __table_args__ = (Index(None, "user_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(_TIME, server_default=func.clock_timestamp())
    kind: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(45))
    """The client's IP address."""
    user_agent: Mapped[str] = mapped_column(String(200))
    request_id: Mapped[str | None] = mapped_column(String(64))
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
