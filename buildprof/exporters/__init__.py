"""What others read of the builds: metrics."""
