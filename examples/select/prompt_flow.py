"""A Lambda node for Amazon Bedrock Prompt Flows whose output feeds a Condition node (`tier == "fast"`).

Flows hand a node its inputs under `node.inputs`, each with a name and a value, and take the return value as output.
"""

from hapenny.routing.router import Router
from hapenny.routing.select import Question, select

ROUTER = Router()

CONDITION = {
    "type": "Condition",
    "name": "by_tier",
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


def definition(lambda_arn: str, cheap: str, strong: str) -> dict:
    """A complete flow, as `CreateFlow` takes it: the question, its tier by this Lambda, one of two models, the answer.

    Args:
        lambda_arn: of the function that runs `handler`.
        cheap: model id or inference profile for the tier `fast`.
        strong: the same for every other tier.
    """
    return {
        "nodes": [
            {"type": "Input", "name": "question", "outputs": [{"name": "document", "type": "String"}]},
            {
                "type": "LambdaFunction",
                "name": "tier",
                "configuration": {"lambdaFunction": {"lambdaArn": lambda_arn}},
                "inputs": [{"name": "text", "type": "String", "expression": "$.data"}],
                "outputs": [{"name": "functionResponse", "type": "Object"}],
            },
            CONDITION,
            *(_prompt(name, model) for name, model in (("cheap_model", cheap), ("strong_model", strong))),
            *(
                {
                    "type": "Output",
                    "name": f"answer_of_{name}",
                    "inputs": [{"name": "document", "type": "String", "expression": "$.data"}],
                }
                for name in ("cheap_model", "strong_model")
            ),
        ],
        "connections": [
            _data("question", "document", "tier", "text"),
            _data("tier", "functionResponse", "by_tier", "tier"),
            _chosen("cheap", "cheap_model"),
            _chosen("default", "strong_model"),
            _data("question", "document", "cheap_model", "question"),
            _data("question", "document", "strong_model", "question"),
            _data("cheap_model", "modelCompletion", "answer_of_cheap_model", "document"),
            _data("strong_model", "modelCompletion", "answer_of_strong_model", "document"),
        ],
    }


def _prompt(name: str, model: str) -> dict:
    template = {"text": "{{question}}", "inputVariables": [{"name": "question"}]}
    inline = {"templateType": "TEXT", "templateConfiguration": {"text": template}, "modelId": model}
    return {
        "type": "Prompt",
        "name": name,
        "configuration": {"prompt": {"sourceConfiguration": {"inline": inline}}},
        "inputs": [{"name": "question", "type": "String", "expression": "$.data"}],
        "outputs": [{"name": "modelCompletion", "type": "String"}],
    }


def _data(source: str, output: str, target: str, input: str) -> dict:
    return {
        "type": "Data",
        "name": f"{source}_to_{target}",
        "source": source,
        "target": target,
        "configuration": {"data": {"sourceOutput": output, "targetInput": input}},
    }


def _chosen(condition: str, target: str) -> dict:
    return {
        "type": "Conditional",
        "name": f"{condition}_{target}",
        "source": "by_tier",
        "target": target,
        "configuration": {"conditional": {"condition": condition}},
    }


def handler(event, context):
    """The tier for a flow's `text` input."""
    inputs = {one["name"]: one["value"] for one in event["node"]["inputs"]}
    found = select(Question(text=inputs["text"], intent=inputs.get("intent", "unknown")), ROUTER)
    return {"tier": found.tier, "score": found.score}
