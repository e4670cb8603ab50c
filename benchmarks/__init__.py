"""Programs that measure buildprof on real engines; `README.md` here says how to read what they print."""
