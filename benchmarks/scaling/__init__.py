"""Capacity: scaling policies, forecasts, plans, quotas and what-if against the best in hindsight."""
