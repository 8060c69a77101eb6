"""Skill 4.1.1: pruning, lossless structure, conversation window, answer size, templates.

May import the shared ground only.
"""
