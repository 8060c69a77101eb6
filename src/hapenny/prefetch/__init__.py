"""Answers to predictable questions, computed before they are asked: demand, forecast, budget and schedule.

May import caching and the shared ground; knows no gateway.
"""
