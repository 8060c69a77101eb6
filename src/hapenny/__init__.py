"""hapenny: a bridge between an application and its foundation models."""
