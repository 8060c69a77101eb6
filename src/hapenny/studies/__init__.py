"""Drives a whole Gateway in either clock: what-if, plan, proof, scenarios; `loadtest` drives any server.

May import the gateway and everything below it.
"""
