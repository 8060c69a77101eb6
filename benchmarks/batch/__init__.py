"""Batch jobs under kill -9: nothing lost, nothing paid twice, no orphans, no deadline missed, half saved."""
