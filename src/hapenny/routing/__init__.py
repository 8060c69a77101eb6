"""Skill 4.1.2: complexity, tiers, cascade, price-performance, live latency choice.

`intents` says what kind of question a request is. May import the shared ground only.
"""
