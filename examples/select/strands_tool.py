"""A tool for a Strands agent: "which model should this sub-task go to?".

`strands` is not a dependency of ours: with it installed the function becomes a tool, without it it stays a function.
"""

from hapenny.routing.router import Router
from hapenny.routing.select import Question, select

try:
    from strands import tool
except ImportError:

    def tool(function):
        """Leaves the function as it is."""
        return function


ROUTER = Router()


@tool
def choose_model(task: str, intent: str = "unknown") -> dict:
    """Say which tier of model a sub-task deserves.

    Args:
        task: the sub-task in full.
        intent: its kind, e.g. summarization, classification, code, expert_reasoning.
    """
    found = select(Question(text=task, intent=intent), ROUTER)
    return {"status": "success", "content": [{"text": f"{found.tier}: {found.why}"}], "tier": found.tier}
