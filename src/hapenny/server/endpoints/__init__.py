"""One file an endpoint: a request of one kind in, a response out.

May import the gateway and the transport's messages.
"""
