"""What Alembic runs: the connection comes from the caller, which has begun a transaction and will commit it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
