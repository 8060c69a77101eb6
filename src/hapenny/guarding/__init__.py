"""Guardrails on input, on retrieved context and on output.

May import the shared ground only. `detector` finds what a text holds, `streaming` does the same for a text that is
still being written, and three stages (`input_stage`, `context_stage`, `output_stage`) act on it.
"""
