"""One file or folder per place that facts come from."""
