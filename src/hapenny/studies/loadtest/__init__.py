"""Load tests of a server that speaks a model API: when requests are sent, what came of each, what that says in sum."""
