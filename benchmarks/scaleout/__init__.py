"""Several gateways as one: overspend, double calls, shared hits, faults of every part, cost of sharing, batch."""
