"""Skill 4.2.1: latency budget, degradation, parallel sub-requests.

May import the shared ground only. Waits for its issue.
"""
