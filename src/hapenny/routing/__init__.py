"""Skill 4.1.2: complexity, tiers, cascade, price-performance, live latency choice.

May import the shared ground only.
"""
