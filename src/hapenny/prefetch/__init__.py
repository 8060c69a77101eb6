"""Answers to predictable questions, asked for before they are needed: memory, forecast, budget, and the planner.

May import caching and the shared ground; knows no gateway (`contract` says what it needs of one).
"""
