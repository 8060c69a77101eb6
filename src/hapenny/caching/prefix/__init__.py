"""Provider prompt caching: where cache points pay, and what keeps the provider's prefix intact.

`reuse` learns how often a prefix comes again, `placement` sets cache points by it, `lint` names what breaks a prefix,
`marks` writes points into a request and proves that the bytes before them stayed, `stage` ties it to the pipeline.
"""
