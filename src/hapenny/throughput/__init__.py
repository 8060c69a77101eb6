"""Skills 4.1.3, 4.2.3: queue, adaptive concurrency, endpoints and regions, retry, hedging, micro-batches, batch jobs.

May import the shared ground only.
"""
