"""What builds are compared with their past by, and the regressions that were found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_RowKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables; builds that are stored already are no part of a baseline."""
    op.create_table(
        "readings",
        sa.Column(
            "build_key", _RowKey, sa.ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("builder", sa.Text, nullable=False),
        sa.Column("dockerfile", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("completed_ns", sa.BigInteger, nullable=False),
        sa.Column("is_cold", sa.Boolean, nullable=False),
        sa.Column("duration_seconds", sa.Double),
        sa.Column("executed_seconds", sa.Double),
        sa.Column("hit_ratio", sa.Double),
        sa.Column("image_size_bytes", sa.Double),
        sa.Column("context_bytes", sa.Double),
        sa.Column("steps_lost", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("readings_by_project", "readings", ["project", "target", "started_ns"])
    op.create_table(
        "regressions",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
