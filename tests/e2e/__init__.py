"""The agent as users have it: a process beside a real engine, asked by its commands and over HTTP."""
