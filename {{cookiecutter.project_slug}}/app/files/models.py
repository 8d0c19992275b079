"""The table of files."""

from datetime import datetime

from saaskit.db import Base
from sqlalchemy import CheckConstraint, LargeBinary, String, func
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column


class File(Base):
    """A small file with a path such as `guides/getting-started.md`."""

    __tablename__ = "files"
    __table_args__ = (CheckConstraint("octet_length(content) <= 1048576", name="content_at_most_1_mib"),)

    path: Mapped[str] = mapped_column(String(500), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(100))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
