"""The table of posts."""

from datetime import datetime

from saaskit.db import Base
from sqlalchemy import BigInteger, ForeignKey, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column


class Post(Base):
    """A published article with tags."""

    __tablename__ = "posts"
    __table_args__ = (
        UniqueConstraint("slug", info={"problem": "Another post has this slug."}),
        Index(None, "tags", postgresql_using="gin"),
        Index(None, "published_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(String(60))
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(String(60)))
    author_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("users.id"), index=True)
    published_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
