"""The nouns: frozen dataclasses that know nobody, do no I/O and read no clock."""
