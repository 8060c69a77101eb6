"""Placeholder floor, filled by the pipeline: gateway."""
