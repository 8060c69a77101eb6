"""Skill 4.1.1 measured: counting, pruning, lossless structure, conversation window, templates, answer size."""
