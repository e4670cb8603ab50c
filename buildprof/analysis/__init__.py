"""Questions asked of builds. Pure."""
