"""`hapenny options`: the manual of the configuration, from the program itself."""

from __future__ import annotations

import click


@click.command()
@click.argument("prefix", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an option.")
@click.option("--markdown", "as_page", is_flag=True, help="The whole manual as a page.")
def options(prefix: str, as_json: bool, as_page: bool) -> None:
    """Every option of the configuration, or those under PREFIX: kind, default, meaning.

    `hapenny options routes` and `hapenny options stages.semantic` are two ways to begin.
    """
    import msgspec

    from hapenny.config import manual

    if as_page:
        click.echo(manual.markdown(), nl=False)
        return
    found = [each for each in manual.options() if each.path.startswith(prefix)]
    if not found:
        raise click.ClickException(f"no option begins with {prefix!r}; `hapenny options` lists them all")
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(each))
        return
    for each in found:
        if each.section:
            click.echo(f"\n{click.style(each.path, bold=True)}  {each.meaning}")
        else:
            default = f"default {each.default}" if each.default else "required"
            kind = each.kind.replace("`", "")
            click.echo(f"  {each.path}  " + click.style(f"{kind}; {default}", dim=True))
            if each.meaning:
                click.echo(click.wrap_text(each.meaning, 96, "      ", "      "))
