"""Key-value, counters (the one token bucket with reserve and settle), rows and blobs: memory, sqlite, redis, postgres.

May import core.
"""
