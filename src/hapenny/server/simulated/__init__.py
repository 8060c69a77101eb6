"""The HTTP of the simulated provider: jobs, account and faults, served by hapenny simulate alone.

Never mounted by hapenny serve.
"""
