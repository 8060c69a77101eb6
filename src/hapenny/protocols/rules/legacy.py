"""A prompt of OpenAI's older completions on its way to a model that is asked by turns."""

from __future__ import annotations

from msgspec.structs import replace

from hapenny.core.errors import invalid
from hapenny.core.messages import Opaque
from hapenny.protocols.openai.completions.request import DEFAULT_TOKENS
from hapenny.protocols.rules.draft import Draft


def prompted(draft: Draft) -> None:
    """The prompt is a turn of the user; what only a text that goes on can be asked is refused or noted.

    Raises:
        Failure: for a suffix, and for tokens in place of text.
    """
    request = draft.request
    if any(isinstance(block, Opaque) for message in request.messages for block in message.content):
        raise invalid("Token arrays mean nothing to this model.", "prompt", "send text")
    if request.extras.get("suffix"):
        raise invalid(
            "This model does not write in front of a suffix.", "suffix", "ask for the insertion in the prompt"
        )
    if "echo" in request.extras:  # the gateway puts the prompt before the answer
        draft.change(extras={key: value for key, value in request.extras.items() if key != "echo"})
    if request.parameters.max_tokens is None:
        draft.change(parameters=replace(request.parameters, max_tokens=DEFAULT_TOKENS))
    draft.note("prompt=sent as a turn of the user")
