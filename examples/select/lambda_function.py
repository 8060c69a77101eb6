"""An AWS Lambda that answers with our decision alone; the caller makes the model call itself.

Event: {"text": ..., "intent": ..., "session": ...}. The trained router's file travels with the deployment package.
"""

import os
from pathlib import Path

from hapenny.routing.router import Router
from hapenny.routing.select import Question, select
from hapenny.routing.training import load_router

_file = os.environ.get("HAPENNY_ROUTER")
ROUTER = Router(trained=load_router(Path(_file).read_bytes()) if _file else None)
MODELS = {
    "fast": os.environ.get("MODEL_FAST", "anthropic.claude-3-haiku-20240307-v1:0"),
    "strong": os.environ.get("MODEL_STRONG", "anthropic.claude-3-sonnet-20240229-v1:0"),
}


def handler(event, context):
    """The tier and model for one question."""
    asked = Question(text=event["text"], intent=event.get("intent", "unknown"), session=event.get("session", ""))
    found = select(asked, ROUTER, MODELS)
    return {"tier": found.tier, "modelId": found.model or MODELS["strong"], "why": found.why}
