"""Scenarios of skill 4.2.1."""
