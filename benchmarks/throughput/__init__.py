"""Throughput: quotas, own servers, outages, hedging, micro-batches, in virtual time with the code that serves."""
