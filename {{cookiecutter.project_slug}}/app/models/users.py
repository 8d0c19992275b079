"""People."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, String, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class User(Base):
    """Somebody with an address. `email` is stored in its canonical, lower-case form."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email", info={"problem": "Somebody has this e-mail address already."}),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
