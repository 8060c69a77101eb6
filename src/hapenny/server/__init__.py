"""The server: HTTP, SSE and WebSocket in, an Exchange through the gateway, events out.

No optimisation happens here. May import the gateway, protocols and the shared ground.
"""
