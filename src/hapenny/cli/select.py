"""`hapenny select`: the routing decision alone."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from hapenny.cli.printable import say, say_json


@click.command()
@click.argument("text")
@click.option("--intent", default="unknown", help="What kind of question it is.")
@click.option("--route", default="default", help="Whose certificate counts.")
@click.option("--trained", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="From `train router`.")
@click.option("-c", "--config", help="Configuration whose tiers and thresholds are used.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def select(text: str, intent: str, route: str, trained: Path | None, config: str | None, as_json: bool) -> None:
    """Say which tier and model TEXT would be sent to, and why. Nothing is sent."""
    from hapenny.config import ConfigError, load
    from hapenny.routing.options import TIERS_STAGE
    from hapenny.routing.router import Router
    from hapenny.routing.select import Question
    from hapenny.routing.select import select as decide
    from hapenny.routing.training import load_router

    mode = baseline = None
    try:
        loaded = load(config)
        if config is not None:
            # As this deployment decides; what it learnt since it started, only the gateway knows (POST /v1/select).
            from hapenny.gateway.gateway import Gateway

            if trained is not None:
                loaded.stages[TIERS_STAGE].trained = str(trained)
            loaded.ledger = loaded.content = loaded.traces = None
            gateway = Gateway(loaded)
            router = gateway.parts.router
            models = {tier: target.model for tier, target in gateway.names.tiers.items()}
            if route not in loaded.routes:
                raise click.ClickException(f"no route {route!r}. Fix: one of {', '.join(sorted(loaded.routes))}")
            mode, baseline = loaded.routes[route].mode(TIERS_STAGE), gateway.parts.resolver.baselines[route].model
        else:
            read = load_router(trained.read_bytes()) if trained is not None else None
            router = Router(loaded.stages[TIERS_STAGE], read)
            models = dict(loaded.tiers)
    except ConfigError as error:
        raise click.ClickException("\n".join(error.problems)) from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise click.ClickException(f"the trained router cannot be read: {error}") from None
    choice = decide(Question(text=text, intent=intent, route=route), router, models, mode=mode, baseline=baseline)
    if as_json:
        say_json(msgspec.json.encode(choice).decode())
        return
    say(f"{choice.tier}  {choice.model or '(no model configured)'}  score {choice.score:.3f}  {choice.why}")
    if choice.serves != choice.model:
        say(
            f"on route {route} the stage `tiers` is in {choice.mode}: {choice.serves} answers `auto` there. "
            f"Fix: stages: {{tiers: on}} on that route, or preset: balanced"
        )
    if choice.certificate:
        say(f"certificate: {choice.certificate}")
