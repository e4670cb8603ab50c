"""BuildKit: its connection, its messages as our events, what it tells of its builds."""
