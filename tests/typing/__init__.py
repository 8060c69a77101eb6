"""Code that must type-check as users write it: run by mypy in `make check`, never executed."""
