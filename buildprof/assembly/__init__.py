"""Folds events into builds. Pure: no I/O, and time comes in as an argument."""
