"""The tables. Times are nanoseconds since the epoch; a list or a dict is JSON text that `rows` writes and reads.

JSON is text rather than a type of the database: it is dumped and parsed once, the same way on both databases.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

# Prefixes are looked up as a range of bytes, which PostgreSQL's index can serve under the C collation only.
ByteText = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite keeps the rows of an INTEGER key in the table's own tree; PostgreSQL needs 64 bits.
RowKey = BigInteger().with_variant(Integer(), "sqlite")

builds = Table(
    "builds",
    metadata,
    Column("key", RowKey, primary_key=True, autoincrement=False),
    Column("ref", ByteText, nullable=False),
    Column("builder", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("engine_name", Text, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("completed_ns", BigInteger),
    Column("group_id", Text, nullable=False),
    Column("directory", Text, nullable=False),
    Column("dockerfile", Text, nullable=False),
    Column("dockerfile_digest", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("platforms", Text, nullable=False),
    Column("error", Text),
    Column("image", Text),
    Column("image_size_bytes", BigInteger),
    Column("vcs", Text),
    Column("options", Text, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("cacheable_steps", Integer),
    Column("cache_hits", Integer),
    Column("cache_misses", Integer),
    Column("executed_seconds", Double),
    Column("saved_seconds", Double),
    Column("critical_path_seconds", Double),
    Column("context_bytes", BigInteger),
    Column("context_seconds", Double),
    Column("export_seconds", Double),
    Column("cache_import_seconds", Double),
    Column("cache_export_seconds", Double),
    Column("base_pull_seconds", Double),
    Column("snapshot", Text),
)

# Ref first, so that one index finds a build and all refs with a prefix.
Index("builds_by_ref", builds.c.ref, builds.c.builder, unique=True)
# Holds all that a list filters by: any filter is a walk over this index, and only what is shown is fetched.
Index(
    "builds_by_start",
    builds.c.started_ns,
    builds.c.ref,
    builds.c.project,
    builds.c.target,
    builds.c.status,
)
# The builds that are compared with each other. Holds all that `list_projects` adds up, which thus reads no row.
Index(
    "builds_by_project",
    builds.c.project,
    builds.c.target,
    builds.c.started_ns,
    builds.c.status,
    builds.c.completed_ns,
    builds.c.cache_hits,
    builds.c.cache_misses,
    builds.c.executed_seconds,
    builds.c.saved_seconds,
    builds.c.image_size_bytes,
)
# Which builds of a builder ran at a given time. Holds all that `stored_generations` gives.
Index(
    "builds_by_end",
    builds.c.builder,
    builds.c.completed_ns,
    builds.c.started_ns,
    builds.c.ref,
    builds.c.status,
    builds.c.generation,
)

# The rows of a build stand together, in order; there is no other way in, so there is no other index.
steps = Table(
    "steps",
    metadata,
    Column("build_key", RowKey, ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("position", Integer),
    Column("of", Integer),
    Column("platform", Text, nullable=False),
    Column("instruction", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("first_line", Integer),
    Column("last_line", Integer),
    Column("inputs", Text),
    Column("cacheable", Boolean, nullable=False),
    Column("started_ns", BigInteger),
    Column("completed_ns", BigInteger),
    Column("duration_seconds", Double),
    Column("on_critical_path", Boolean, nullable=False),
    Column("slack_seconds", Double),
    Column("saved_seconds", Double),
    Column("transferred_bytes", BigInteger),
    Column("layer_digest", Text),
    Column("layer_size_bytes", BigInteger),
    Column("layer_compressed_bytes", BigInteger),
    Column("stored_bytes", BigInteger),
    Column("resources", Text),
    Column("error", Text),
    Column("recipe", Text),
    sqlite_with_rowid=False,
)

# What steps are made of, once for all builds that have it.
recipes = Table(
    "recipes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("last_used_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Why a build's steps missed, as the document of `explain` has it, without sentences.
explanations = Table(
    "explanations",
    metadata,
    Column("build_key", RowKey, ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)

# The same by the things at fault, to be added up over time.
losses = Table(
    "losses",
    metadata,
    Column("build_key", RowKey, ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("project", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    sqlite_with_rowid=False,
)
Index("losses_by_project", losses.c.project, losses.c.at_ns)

# Cache records that one reading showed and a later one did not.
lost_records = Table(
    "lost_records",
    metadata,
    Column("builder", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("until_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("by", Text),
    sqlite_with_rowid=False,
)
Index("lost_records_by_creation", lost_records.c.builder, lost_records.c.created_ns)

# What was found in images. `document` is the JSON of `image`; the figures that lists need stand beside it.
images = Table(
    "images",
    metadata,
    Column("builder", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("analysed_ns", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("wasted_bytes", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("images_by_time", images.c.analysed_ns)

# What a completed build is compared with its past by. Stands apart from `builds`, since it is read of many at once.
readings = Table(
    "readings",
    metadata,
    Column("build_key", RowKey, ForeignKey("builds.key", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("project", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("builder", Text, nullable=False),
    Column("dockerfile", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("completed_ns", BigInteger, nullable=False),
    Column("is_cold", Boolean, nullable=False),
    Column("duration_seconds", Double),
    Column("executed_seconds", Double),
    Column("hit_ratio", Double),
    Column("image_size_bytes", Double),
    Column("context_bytes", Double),
    Column("steps_lost", Text),
    sqlite_with_rowid=False,
)
Index("readings_by_project", readings.c.project, readings.c.target, readings.c.started_ns)

# The active regressions of a target, as a JSON list; no row without one.
regressions = Table(
    "regressions",
    metadata,
    Column("project", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)

# That a build's contributions are in `series`. Outlives the build: the engine may tell of it again after retention.
counted_builds = Table(
    "counted_builds",
    metadata,
    Column("ref", Text, primary_key=True),
    Column("builder", Text, primary_key=True),
    sqlite_with_rowid=False,
)

series = Table(
    "series",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("labels", Text, primary_key=True),
    Column("value", Double, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("exemplar_value", Double),
    Column("seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("series_by_seq", series.c.scope, series.c.seq)

# `durations` is a JSON list of [at_ns, seconds], newest first, five at most.
step_history = Table(
    "step_history",
    metadata,
    Column("identity", Text, primary_key=True),
    Column("durations", Text, nullable=False),
    Column("last_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

dockerfiles = Table(
    "dockerfiles",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("directory", Text, nullable=False),
    Column("last_used_ns", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

engine_events = Table(
    "engine_events",
    metadata,
    Column("at_ns", BigInteger, primary_key=True, autoincrement=False),
    Column("builder", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("attributes", Text, nullable=False),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

# What each followed builder is called, by who follows it and where it is.
builders = Table(
    "builders",
    metadata,
    Column("address", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    sqlite_with_rowid=False,
)

projects = Table(
    "projects",
    metadata,
    Column("directory", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    sqlite_with_rowid=False,
)

__all__ = [
    "builds",
    "counted_builds",
    "cursors",
    "dockerfiles",
    "engine_events",
    "explanations",
    "images",
    "losses",
    "lost_records",
    "metadata",
    "projects",
    "readings",
    "recipes",
    "regressions",
    "series",
    "step_history",
    "steps",
]
