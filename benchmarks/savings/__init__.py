"""What the bridge saves on real user text, to the nano-dollar, as the provider's own invoice confirms."""
