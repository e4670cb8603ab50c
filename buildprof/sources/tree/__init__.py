"""Directories that builds are made from: an index of their files kept by inotify, and how they stood at each build."""
