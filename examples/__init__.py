"""Projects to build, and the demonstration that builds them."""
