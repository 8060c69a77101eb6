"""The words of the house: messages, events, exchange, stage, answer, flight, errors, money, clock.

Imports no other room.
"""
