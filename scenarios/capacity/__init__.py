"""Scenarios of skill 4.1.3."""
