"""Skill 4.2.1: latency budget, degradation, parallel sub-requests."""
