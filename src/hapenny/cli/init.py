"""`hapenny init`: a first configuration, from three questions or from another gateway's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hapenny.cli.printable import say
from hapenny.config.strategy import STRATEGIES


@click.command()
@click.option("--provider", type=click.Choice(["bedrock", "openai", "anthropic", "own"]), help="Who serves the models.")
@click.option(
    "--client", type=click.Choice(["boto3", "openai", "anthropic", "claude-code"]), help="What your application uses."
)
@click.option("--run", "runs", type=click.Choice(["chat", "rag", "agent"]), help="What it does.")
@click.option("--region", default="us-east-1", show_default=True, help="Of Bedrock.")
@click.option("--preset", "strategy", type=click.Choice(STRATEGIES), help="A whole strategy instead of questions.")
@click.option("--from-litellm", type=click.Path(dir_okay=False, path_type=Path), help="A litellm proxy's config.yaml.")
@click.option("--from-portkey", type=click.Path(dir_okay=False, path_type=Path), help="A Portkey config, JSON.")
@click.option(
    "--from-bifrost", type=click.Path(dir_okay=False, path_type=Path), help="A Bifrost gateway's config.json."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("hapenny.yaml"),
              show_default=True, help="File to write; - is standard output.")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(
    provider: Any,
    client: Any,
    runs: Any,
    region: str,
    strategy: Any,
    from_litellm: Path | None,
    from_portkey: Path | None,
    from_bifrost: Path | None,
    output: Path,
    force: bool,
) -> None:
    """Write a first configuration with a comment on every choice. Asks three questions, or none with their options."""
    if str(output) != "-" and output.exists() and not force:
        raise click.ClickException(f"{output} is there already. Fix: --force, or another -o FILE")
    foreign = [("litellm", from_litellm), ("portkey", from_portkey), ("bifrost", from_bifrost)]
    for name, path in foreign:
        if path is not None:
            _write(_carried(name, path), output)
            return
    if strategy is not None:
        from hapenny.config.strategy import strategy_text

        _write(strategy_text(strategy, region), output)
        if str(output) != "-":
            say(f"next: set what its head names, then: hapenny doctor -c {output} && hapenny serve -c {output}")
        return
    from hapenny.config.starter import CLIENTS, PROVIDERS, RUNS, starter

    provider = provider or _ask("Who serves your models? (own: vLLM and other OpenAI-compatible servers)", PROVIDERS)
    client = client or _ask("Which client does your application use?", CLIENTS)
    runs = runs or _ask("What does it do?", RUNS)
    _write(starter(provider, client, runs, region), output)
    if str(output) != "-":
        say(f"next: set what its head names, then: hapenny doctor -c {output} && hapenny serve -c {output}")


def _ask(question: str, words: tuple[str, ...]) -> str:
    return str(click.prompt(question, type=click.Choice(words), default=words[0]))


def _carried(name: str, path: Path) -> str:
    import yaml

    from hapenny.config import foreign

    read = {"litellm": foreign.from_litellm, "portkey": foreign.from_portkey, "bifrost": foreign.from_bifrost}[name]
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
        if not isinstance(raw, dict):
            raise ValueError("no mapping. Fix: name the gateway's own configuration file")
        carried = read(raw)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}. Fix: the path of a file") from None
    except (yaml.YAMLError, ValueError, AttributeError, TypeError) as error:
        raise click.ClickException(f"{path}: {' '.join(str(error).split())}") from None
    for line in carried.left:
        say(f"not carried over: {line}", err=True)
    models = carried.config.get("models", {})
    say(f"carried over: {len(models)} models, {len(carried.config.get('fallbacks', {}))} fallbacks", err=True)
    return carried.text(path.name)


def _write(text: str, output: Path) -> None:
    if str(output) == "-":
        say(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    say(f"written: {output}")
