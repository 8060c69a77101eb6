"""A whole deployment: everything that is wired together, and the life of a request.

May import every pipeline room and the shared ground; knows neither the server nor jobs.
"""
