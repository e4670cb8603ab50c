"""Metrics for Prometheus: the catalog, the series in memory, and the text."""
