"""A simulated provider, fleet, faults and the virtual event loop.

`workload` is the traffic it is asked. May import vectors, protocols and what lies below them. Nothing outside may
read its latents.
"""
