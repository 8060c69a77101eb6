"""Keys, tenants, budgets and limits: who may cross, and how much.

May import the shared ground only.
"""
