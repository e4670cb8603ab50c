"""Real Docker Engines of three generations, made on this machine from Debian's packages."""
