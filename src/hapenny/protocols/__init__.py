"""Sans-IO codecs: openai, anthropic, bedrock (Converse), invoke (InvokeModel with Anthropic-native bodies), and with
them the event-stream framing and AWS signatures. Both sides use the same codec.

May import catalog and core. `codec(name)` gives a codec; the contract is `Codec`.
"""

from hapenny.protocols.codec import Codec, StreamDecoder, StreamEncoder, Wire
from hapenny.protocols.registry import codec

__all__ = ["Codec", "StreamDecoder", "StreamEncoder", "Wire", "codec"]
