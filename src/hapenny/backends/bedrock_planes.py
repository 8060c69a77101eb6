"""Bedrock's planes: which host answers a path, signed for which service.

Hosts and signing names are those of botocore's service models (endpoint prefix, `signingName`); `bedrock-mantle` is
documented under "Endpoints supported by Amazon Bedrock".
"""

from __future__ import annotations

from typing import NamedTuple

from hapenny.core.patterns import pattern


class Plane(NamedTuple):
    """One of the services behind the name Bedrock."""

    name: str
    """How its host begins."""
    service: str
    """For which service its requests are signed."""
    domain: str = "amazonaws.com"

    def url(self, region: str) -> str:
        """The regional address."""
        domain = "amazonaws.com.cn" if self.domain == "amazonaws.com" and region.startswith("cn-") else self.domain
        return f"https://{self.name}.{region}.{domain}"


RUNTIME = Plane("bedrock-runtime", "bedrock")
CONTROL = Plane("bedrock", "bedrock")
AGENT_RUNTIME = Plane("bedrock-agent-runtime", "bedrock")
AGENT = Plane("bedrock-agent", "bedrock")
MANTLE = Plane("bedrock-mantle", "bedrock-mantle", "api.aws")
PLANES = (RUNTIME, CONTROL, AGENT_RUNTIME, AGENT, MANTLE)

_RUNTIME = pattern(r"/(?:model|openai|async-invoke)(?:/|$)|/guardrail/[^/]+/version/")
_AGENT_RUNTIME = pattern(
    r"/(?:rerank|retrieveAndGenerate|retrieveAndGenerateStream|optimize-prompt|generateQuery|sessions|"
    r"agenticRetrieveStream)(?:/|$)|/knowledgebases/[^/]+/retrieve$|/flows/[^/]+/aliases/[^/]+(?:/executions|$)|"
    r"/agents/[^/]+(?:/agentAliases/[^/]+/(?:sessions|memories)|$)"
)
_AGENT = pattern(r"/(?:prompts|knowledgebases|flows|agents)(?:/|$)")
_MANTLE = pattern(r"/(?:v1|anthropic)(?:/|$)")


def plane(path: str) -> Plane:
    """The plane that answers a path, which begins with "/" and may have a query."""
    path = path.partition("?")[0]
    if _RUNTIME.match(path):
        return RUNTIME
    if _AGENT_RUNTIME.match(path):
        return AGENT_RUNTIME
    if _AGENT.match(path):
        return AGENT
    if _MANTLE.match(path):
        return MANTLE
    return CONTROL
