"""`python -m buildprof`."""

from buildprof.cli.main import main

main()
