"""Builds whose cause of missing the cache is known: what `explain` is measured by."""
