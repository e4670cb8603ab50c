"""Alembic runs the versions beside this file; `buildprof.store.migrate` calls it."""
