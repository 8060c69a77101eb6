"""Our prices beside other people's: every disagreement, with our reason for it."""
