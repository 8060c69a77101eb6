"""A Lambda node for Amazon Bedrock Prompt Flows whose output feeds a Condition node (`tier == "fast"`).

Flows hand a node its inputs under `node.inputs`, each with a name and a value, and take the return value as output.
"""

from hapenny.routing.router import Router
from hapenny.routing.select import Question, select

ROUTER = Router()

CONDITION = {
    "type": "Condition",
    "configuration": {
        "condition": {
            "conditions": [
                {"name": "cheap", "expression": 'tier == "fast"'},
                {"name": "default"},
            ]
        }
    },
    "inputs": [{"name": "tier", "type": "String", "expression": "$.data.tier"}],
}


def handler(event, context):
    """The tier for a flow's `text` input."""
    inputs = {one["name"]: one["value"] for one in event["node"]["inputs"]}
    found = select(Question(text=inputs["text"], intent=inputs.get("intent", "unknown")), ROUTER)
    return {"tier": found.tier, "score": found.score}
