"""Skill 4.2.4: parameter sets and experiment arms.

May import the shared ground only.
"""
