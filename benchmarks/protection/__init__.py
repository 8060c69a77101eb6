"""Live protection: how much goes wrong between a change for the worse and the step back from it."""
