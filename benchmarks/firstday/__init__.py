"""The first days of three customers: does the report's own advice save what it says, and cost no quality?"""
