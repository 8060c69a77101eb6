"""HTTP/1.1 connections: bytes in, requests and responses out.

Knows no endpoint.
"""
