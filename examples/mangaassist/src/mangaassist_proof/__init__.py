"""The proof of MangaAssist: its whole mix in virtual time, with the simulated provider and the workload's own truth.

No part of the application: it drives it, and may use all of hapenny.
"""
