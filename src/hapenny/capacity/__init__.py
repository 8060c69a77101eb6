"""Skill 4.2.5: forecast, sizing and the scaling controller. Holds no stage.

May import the rooms below it on the shared ground. Waits for its issue.
"""
