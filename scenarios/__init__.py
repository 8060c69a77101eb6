"""Fifty operating scenarios, five for each skill: what happens, what hapenny does, what the operator sees and does.

Each file is run: `python -m scenarios [NAME ...]`. They are the sources of the runbooks under `docs/runbooks`.
"""
