"""Statistics, judges, audits, certificates and the step-back switch.

May import telemetry and everything below it.
"""
