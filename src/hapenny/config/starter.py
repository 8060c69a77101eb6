"""A first configuration, with a comment on every choice: from three answers."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

Provider: TypeAlias = Literal["bedrock", "openai", "anthropic", "own"]
Client: TypeAlias = Literal["boto3", "openai", "anthropic", "claude-code"]
Runs: TypeAlias = Literal["chat", "rag", "agent"]

PROVIDERS, CLIENTS, RUNS = get_args(Provider), get_args(Client), get_args(Runs)


class _Known(NamedTuple):
    backend: str
    fast: str
    strong: str
    needs: str


_PROVIDERS: dict[Provider, _Known] = {
    "bedrock": _Known(
        "{kind: bedrock, region: %(region)s}",
        "%(geo)s.anthropic.claude-haiku-4-5-20251001-v1:0",
        "%(geo)s.anthropic.claude-sonnet-4-6",
        "AWS credentials as every AWS client finds them (environment, profile, role)",
    ),
    "openai": _Known(
        '{kind: openai, api_key: "${OPENAI_API_KEY}"}', "gpt-5.6-luna", "gpt-5.6-sol", "export OPENAI_API_KEY=…"
    ),
    "anthropic": _Known(
        '{kind: anthropic, api_key: "${ANTHROPIC_API_KEY}"}',
        "claude-haiku-4-5", "claude-sonnet-4-6", "export ANTHROPIC_API_KEY=…",
    ),
    "own": _Known(
        "{kind: openai, base_url: http://127.0.0.1:8000/v1}", "small", "large",
        "the address of your server (vLLM, TGI, SGLang, llama.cpp …), and its models' names below",
    ),
}  # fmt: skip

_GEO = {"us": "us", "ca": "us", "eu": "eu", "ap": "apac", "sa": "us", "me": "eu", "af": "eu"}

_CLIENTS: dict[Client, str] = {
    "openai": 'OpenAI(base_url="http://127.0.0.1:8790/v1", api_key=HAPENNY_KEY)',
    "anthropic": 'Anthropic(base_url="http://127.0.0.1:8790", api_key=HAPENNY_KEY)',
    "boto3": 'boto3.client("bedrock-runtime", endpoint_url="http://127.0.0.1:8790", region_name="us-east-1",\n'
    '#       aws_access_key_id="HAPENNYAPP", aws_secret_access_key=HAPENNY_KEY)',
    "claude-code": "ANTHROPIC_BASE_URL=http://127.0.0.1:8790 ANTHROPIC_AUTH_TOKEN=$HAPENNY_KEY claude",
}

_RUNS: dict[Runs, tuple[str, str]] = {
    "chat": (
        "    # Most clients send no temperature. This lets equal questions have equal answers:\n"
        "    # cache_any_temperature: true\n",
        "",
    ),
    "rag": (
        "    # Cuts passages to what the question needs; `hapenny report` says what it would save:\n"
        "    # stages: {prune: on}\n",
        "# Let hapenny retrieve: hapenny index build ./kb YOUR-FOLDER, then\n"
        "# collections: {kb: {path: ./kb}}\n"
        "# stages: {retrieval: {collection: kb}}      # and on the route: stages: {retrieval: on}\n",
    ),
    "agent": (
        "    # Long conversations: leaves out what is no longer needed; `hapenny report` says what it would save:\n"
        "    # stages: {window: on}\n",
        "",
    ),
}


def geography(region: str) -> str:
    """The geography of Bedrock's inference profiles that a region belongs to."""
    return _GEO.get(region.partition("-")[0], "us")


def starter(provider: Provider, client: Client, runs: Runs, region: str = "us-east-1") -> str:
    """A commented configuration, complete but for secrets, which come from the environment.

    Args:
        provider: who serves the models; `own` is any OpenAI-compatible server.
        client: what the application uses.
        runs: what it does.
        region: of Bedrock.
    """
    known = _PROVIDERS[provider]
    words = {"region": region, "geo": geography(region)}
    fast, strong, backend = (text % words for text in (known.fast, known.strong, known.backend))
    of_route, more = _RUNS[runs]
    signed = ", sigv4_access_key: HAPENNYAPP" if client == "boto3" else ""
    models = ""
    if provider == "own":
        models = (
            "models:                        # the names under which your server knows its models\n"
            "  small: {id: your-small-model}\n"
            "  large: {id: your-large-model}\n"
        )
    return f"""# hapenny: made by `hapenny init`. Check it with: hapenny doctor -c hapenny.yaml
# It needs: {known.needs}
#       and: export HAPENNY_KEY=$(openssl rand -hex 24)
#            export HAPENNY_FINGERPRINT=$(openssl rand -hex 24)
#
# Your client:
#   {_CLIENTS[client]}

backends:
  {provider}: {backend}
{models}
# What names mean: a client may ask for `fast`, `strong` or any model's own id; `auto` lets hapenny choose.
tiers:
  fast: {fast}
  strong: {strong}

# Who answers where a model cannot (throttled, down, prompt too long …). `hapenny doctor` tries them.
fallbacks: {{strong: [fast]}}

routes:
  default:
    baseline: strong           # what bills are compared with where a request names no model
    preset: safe               # nothing that can change an answer is on; the rest watches, and the report tells
    holdout: 0.01              # one session in a hundred with everything off: the proof
{of_route}
keys:
  - {{key: "${{HAPENNY_KEY}}", tenant: app{signed}}}

fingerprint_key: "${{HAPENNY_FINGERPRINT}}"   # so that what is learnt outlasts a restart
ledger: {{path: ./data/ledger.db}}          # no text, only counts and money: hapenny report -c hapenny.yaml
{more}"""
