"""One surface: a codec, and bodies it has read before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from hapenny.core.messages import Protocol, Request
from hapenny.protocols.registry import codec

_MEMO_BYTES = 8_000_000
"""Bodies a surface remembers, by their size."""
_MEMO_BODY = 65_536
"""The largest body that is remembered."""
_READ_BY_CODECS = ("anthropic-", "x-amzn-bedrock-")
"""How the headers begin that codecs read into a request."""


class Surface:
    """A codec, and what its path says about streaming (None: the body says it).

    The same bytes decode to the same request, which is frozen: bodies that come again, as those of cache hits do, are
    decoded once.
    """

    def __init__(self, protocol: Protocol, stream: bool | None = None) -> None:
        self.codec = codec(protocol)
        self.stream = stream
        self._known: OrderedDict[tuple[object, ...], tuple[Request, int]] = OrderedDict()
        self._held = 0

    def decode(self, body: bytes, model: str | None, headers: Mapping[str, str]) -> Request:
        """The request in `body`. Raises `Failure`."""
        if len(body) > _MEMO_BODY:
            return self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        key = (body, model, *[pair for pair in headers.items() if pair[0].startswith(_READ_BY_CODECS)])
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[0]
        request = self.codec.decode_request(body, model=model, stream=self.stream, headers=headers)
        self._known[key] = (request, 2 * len(body))  # as it came, and as it was read
        self._held += 2 * len(body)
        while self._held > _MEMO_BYTES:
            self._held -= self._known.popitem(last=False)[1][1]
        return request
