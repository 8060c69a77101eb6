"""Skills 4.1.3 and 4.2.3: queue, adaptive concurrency, endpoints, regions, retry, hedging, micro-batching, batch jobs.

May import the shared ground only.
"""
