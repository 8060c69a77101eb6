"""Capacity: what a trace needs of a quota, which capacity pays, how many servers hold an objective."""
