"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_ByteText = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_RowKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables and indexes."""
    op.create_table(
        "builds",
        sa.Column("key", _RowKey, primary_key=True, autoincrement=False),
        sa.Column("ref", _ByteText, nullable=False),
        sa.Column("builder", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("engine_name", sa.Text, nullable=False),
        sa.Column("engine_version", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("completed_ns", sa.BigInteger),
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("dockerfile", sa.Text, nullable=False),
        sa.Column("dockerfile_digest", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("platforms", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("image", sa.Text),
        sa.Column("image_size_bytes", sa.BigInteger),
        sa.Column("vcs", sa.Text),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("cacheable_steps", sa.Integer),
        sa.Column("cache_hits", sa.Integer),
        sa.Column("cache_misses", sa.Integer),
        sa.Column("executed_seconds", sa.Double),
        sa.Column("saved_seconds", sa.Double),
        sa.Column("critical_path_seconds", sa.Double),
        sa.Column("context_bytes", sa.BigInteger),
        sa.Column("context_seconds", sa.Double),
        sa.Column("export_seconds", sa.Double),
        sa.Column("cache_import_seconds", sa.Double),
        sa.Column("cache_export_seconds", sa.Double),
        sa.Column("base_pull_seconds", sa.Double),
    )
    op.create_index("builds_by_ref", "builds", ["ref", "builder"], unique=True)
    op.create_index("builds_by_start", "builds", ["started_ns", "ref", "project", "target", "status"])
    op.create_index(
        "builds_by_project",
        "builds",
        [
            "project",
            "target",
            "started_ns",
            "status",
            "completed_ns",
            "cache_hits",
            "cache_misses",
            "executed_seconds",
            "saved_seconds",
            "image_size_bytes",
        ],
    )
    op.create_index("builds_by_end", "builds", ["builder", "completed_ns", "started_ns", "ref", "status", "generation"])
    op.create_table(
        "steps",
        sa.Column(
            "build_key", _RowKey, sa.ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
        ),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("of", sa.Integer),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("instruction", sa.Text, nullable=False),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("first_line", sa.Integer),
        sa.Column("last_line", sa.Integer),
        sa.Column("inputs", sa.Text),
        sa.Column("cacheable", sa.Boolean, nullable=False),
        sa.Column("started_ns", sa.BigInteger),
        sa.Column("completed_ns", sa.BigInteger),
        sa.Column("duration_seconds", sa.Double),
        sa.Column("on_critical_path", sa.Boolean, nullable=False),
        sa.Column("slack_seconds", sa.Double),
        sa.Column("saved_seconds", sa.Double),
        sa.Column("transferred_bytes", sa.BigInteger),
        sa.Column("layer_digest", sa.Text),
        sa.Column("layer_size_bytes", sa.BigInteger),
        sa.Column("layer_compressed_bytes", sa.BigInteger),
        sa.Column("stored_bytes", sa.BigInteger),
        sa.Column("resources", sa.Text),
        sa.Column("error", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counted_builds",
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("builder", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "series",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("metric", sa.Text, primary_key=True),
        sa.Column("labels", sa.Text, primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("exemplar_value", sa.Double),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("series_by_seq", "series", ["scope", "seq"])
    op.create_table(
        "step_history",
        sa.Column("identity", sa.Text, primary_key=True),
        sa.Column("durations", sa.Text, nullable=False),
        sa.Column("last_ns", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dockerfiles",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("last_used_ns", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engine_events",
        sa.Column("at_ns", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("builder", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("action", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("attributes", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "builders",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "projects",
        sa.Column("directory", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sqlite_with_rowid=False,
    )
