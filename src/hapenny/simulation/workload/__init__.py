"""Who asks, what, how often, and what a right answer is: the traffic mix, a fictional shop, its shoppers, their truth.

May import core alone; the simulated provider reads the truth, studies and benchmarks send the messages.
"""
