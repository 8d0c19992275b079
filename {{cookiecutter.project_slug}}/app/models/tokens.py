"""What a link in a mail is worth."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class Token(Base):
    """Good for one purpose, once, until it expires; kept as its SHA-256. A newer one replaces it."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("purpose", "subject"),)

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(300))
    """Whom it is about: the user's id, or who has none yet: the address, and from where it was asked for."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), index=True)
