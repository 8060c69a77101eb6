"""The semantic layer: answers found again under other words, with a stated and kept bound on how often wrongly.

`terms` reads a text, `features` compares a question with its neighbours, `model` estimates the chance that the found
answer is wrong, `bound` turns verified labels into a threshold, `decider` puts them together for one route, `memory`
holds the questions of one namespace, `layer` ties it to requests and answers.
"""
