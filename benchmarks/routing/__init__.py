"""Routing on recorded outcomes: how well the score orders prompts, what certificates promise and keep, cascades."""
