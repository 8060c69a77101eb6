"""A simulated provider, fleet, faults and the virtual event loop.

May import vectors and everything below them. Nothing outside may read its latents.
"""
