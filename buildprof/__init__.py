"""buildprof: a daemon beside a Docker Engine that says why builds are slow."""

__version__ = "0.1.0"
