"""Placeholder floor, filled by the pipeline: config."""
