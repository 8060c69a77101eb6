"""Calls to providers: bedrock, openai, anthropic, sagemaker, simulated. I/O only.

May import simulation, protocols, catalog, stores and core.
"""
