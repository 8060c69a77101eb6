"""Sans-IO codecs: openai, anthropic, bedrock (with eventstream and sigv4). Both banks use the same codec.

May import catalog and core.
"""
