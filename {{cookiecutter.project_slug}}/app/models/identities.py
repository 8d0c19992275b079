"""Accounts elsewhere, and sign-ins with them that are on their way."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, LargeBinary, String, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class LinkedIdentity(Base):
    """An account at a provider that may sign in as this user. `subject` names it there, for ever."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject", info={"problem": "This identity belongs to another account."}),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(254))
    linked_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
    tokens: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The provider's access and refresh token, encrypted; only if its setting `keep_tokens` is on."""
    tokens_key: Mapped[str | None] = mapped_column(String(16))
    """Which key encrypted them."""


class Flow(Base):
    """A sign-in that went to a provider and has not come back. Bound to one browser by its cookie."""

    __tablename__ = "identity_flows"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary, index=True)
    provider: Mapped[str] = mapped_column(String(40))
    session_id: Mapped[int | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    """Set when a user who is signed in links an identity, in that very session."""
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(
        TIMESTAMP(timezone=True), server_default=func.clock_timestamp()
    )
