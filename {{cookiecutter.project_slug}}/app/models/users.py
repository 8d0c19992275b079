"""People."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, String, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class User(Base):
    """Somebody who reads the mail of `email`: a row is made when that is proved, and not before."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email", info={"problem": "Somebody has this e-mail address already."}),
        CheckConstraint("email = lower(email)", name="email_canonical"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
    disabled_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    """Set by an operator, or when the account was erased: nobody gets in any more."""
    device_epoch: Mapped[int] = mapped_column(server_default="0")
    """Counts what ended all sessions: devices known before are strange again (core/devices.py)."""
    delete_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True), index=True)
    """When the account is to be erased; until then its owner can cancel that."""
