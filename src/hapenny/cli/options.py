"""`hapenny options`: the manual of the configuration, from the program itself."""

from __future__ import annotations

import click


@click.command()
@click.argument("prefix", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an option.")
@click.option("--markdown", "page", flag_value="options", help="The whole manual as a page.")
@click.option("--life", "page", flag_value="life", help="The life of a request, stage by stage, as a page.")
@click.option("--endpoints", "page", flag_value="endpoints", help="Every endpoint, and who may call it, as a page.")
@click.option("--schema", "page", flag_value="schema", help="The configuration as a JSON schema, for editors.")
@click.option("--presets", "page", flag_value="presets", help="What each preset switches on, as a page.")
def options(prefix: str, as_json: bool, page: str | None) -> None:
    """Every option of the configuration, or those under PREFIX: kind, default, meaning.

    `hapenny options routes` and `hapenny options stages.semantic` are two ways to begin.
    """
    import msgspec

    from hapenny.config import manual, stage_manual

    if page == "schema":
        click.echo(msgspec.json.format(msgspec.json.encode(manual.schema())))
        return
    if page is not None:
        pages = {"options": manual.markdown, "life": stage_manual.life, "presets": stage_manual.presets}
        if page == "endpoints":
            from hapenny.server.routes import manual as endpoints

            pages["endpoints"] = endpoints
        click.echo(pages[page](), nl=False)
        return
    chosen = [each for each in manual.options() if each.path.startswith(prefix)]
    if not chosen:
        raise click.ClickException(f"no option begins with {prefix!r}; `hapenny options` lists them all")
    if as_json:
        for each in chosen:
            click.echo(msgspec.json.encode(each))
        return
    for each in chosen:
        if each.section:
            click.echo(f"\n{click.style(each.path, bold=True)}  {each.meaning}")
        else:
            default = f"default {each.default}" if each.default else "required"
            kind = each.kind.replace("`", "")
            click.echo(f"  {each.path}  " + click.style(f"{kind}; {default}", dim=True))
            if each.meaning:
                click.echo(click.wrap_text(each.meaning, 96, "      ", "      "))
