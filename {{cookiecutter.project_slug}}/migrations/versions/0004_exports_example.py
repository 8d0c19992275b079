"""Exports become a resource with an owner, a status and an expiry. Existing files are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    """Replace the table, and copy the files of users who still exist."""
    op.rename_table("exports", "exports_by_job")
    op.execute("ALTER TABLE exports_by_job RENAME CONSTRAINT pk_exports TO pk_exports_by_job")
    op.execute("ALTER TABLE exports_by_job RENAME CONSTRAINT fk_exports_job_id TO fk_exports_by_job_job_id")
    op.create_table(
        "exports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("resource", sa.String(length=40), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", _TIME, nullable=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_exports_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_exports_owner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint("owner_id", "idempotency_key", name=op.f("uq_exports_owner_id_idempotency_key")),
    )
    op.create_index(op.f("ix_exports_expires_at"), "exports", ["expires_at"])
    op.create_index(op.f("ix_exports_job_id"), "exports", ["job_id"])
    op.create_index(op.f("ix_exports_owner_id_id"), "exports", ["owner_id", "id"])
    op.execute(
        """
        INSERT INTO exports (owner_id, resource, job_id, rows, content, created_at, completed_at, expires_at)
        SELECT users.id, split_part(old.name, '.', 1), jobs.id, (jobs.result ->> 'rows')::integer, old.content,
            old.created_at, old.created_at, now() + interval '7 days'
        FROM exports_by_job old JOIN jobs ON jobs.id = old.job_id JOIN users ON users.id::text = jobs.owner
        """
    )
    op.drop_table("exports_by_job")


def downgrade() -> None:
    """Restore the table whose files belong to jobs. Exports without a file are lost."""
    op.create_table(
        "exports_by_job",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, server_default=sa.text("now()"), nullable=False),
    )
    op.execute(
        """
        INSERT INTO exports_by_job SELECT DISTINCT ON (job_id) job_id, resource || '.csv',
            'text/csv; charset=utf-8', content, created_at
        FROM exports WHERE job_id IS NOT NULL AND content IS NOT NULL ORDER BY job_id, id
        """
    )
    op.drop_table("exports")
    op.rename_table("exports_by_job", "exports")
    op.create_primary_key("pk_exports", "exports", ["job_id"])
    op.create_foreign_key("fk_exports_job_id", "exports", "jobs", ["job_id"], ["id"], ondelete="CASCADE")
