"""Guardrails on input, on retrieved context and on output.

May import the shared ground only. Waits for its issue.
"""
