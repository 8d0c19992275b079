"""Who is signed in, and where."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, LargeBinary, String, func
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class Session(Base):
    """One browser in which somebody is signed in. The cookie's token is kept as its SHA-256 only."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    methods: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    """How the user proved to be who they are, in the words of RFC 8176: `pwd`, `fed`."""
    signed_in_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
    """Written at most once a minute."""
    idle_seconds: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    address: Mapped[str] = mapped_column(String(45))
    user_agent: Mapped[str] = mapped_column(String(200))
