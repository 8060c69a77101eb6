"""Sans-IO codecs: openai, anthropic, bedrock (with eventstream and sigv4), invoke. Both banks use the same codec.

May import catalog and core. Start at `registry.codec(name)`; the contract is `codec.Codec`.
"""
