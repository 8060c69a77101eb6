"""HTML pages and SVG charts: the report, and the charts of experiments and routing.

May import evidence, telemetry and everything below them.
"""
