"""Searches one collection: both legs, their fusion, rules, the learned ranker, and what of it leaves."""
