"""Drives a whole Gateway in either clock: what-if, plan, bench, proof, scenarios.

May import the gateway and everything below it.
"""
