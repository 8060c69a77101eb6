"""The learning token estimator.

May import stores, protocols, catalog and core.
"""
