"""What steps are made of, why they missed, and what the cache lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_RowKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns and tables; what is stored already stays without them."""
    op.add_column("builds", sa.Column("snapshot", sa.Text))
    op.add_column("steps", sa.Column("recipe", sa.Text))
    op.create_table(
        "recipes",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("last_used_ns", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "explanations",
        sa.Column(
            "build_key", _RowKey, sa.ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "losses",
        sa.Column(
            "build_key", _RowKey, sa.ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("losses_by_project", "losses", ["project", "at_ns"])
    op.create_table(
        "lost_records",
        sa.Column("builder", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("until_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("by", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("lost_records_by_creation", "lost_records", ["builder", "created_ns"])
