"""HTTP/1.1 (RFC 9110, 9112) without sockets: framing, heads and request targets, for server and client alike.

Every reading that two hops could take differently is refused, never guessed. `tests/protocols/http1` compares the
parsers byte for byte with those of h11 and llhttp, and lists where ours is stricter and why.
"""
