"""`dispersy config check` and `show`: what the settings of a node are, before it runs."""

from __future__ import annotations

import grp
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from dispersy.bus.settings import NO_GROUP
from dispersy.cli.output import HomeOption, JsonOption, examples, out, show_json, show_table, table
from dispersy.errors import DONE, MISUSED
from dispersy.locations import home_path
from dispersy.service.home.home import Home
from dispersy.service.settings.config import SETTINGS, Rate, field_of
from dispersy.service.settings.config_sources import Loaded, load_config

CHECK_EXAMPLES = examples(
    "dispersy config check", "dispersy config check ./config.toml", "dispersy config check --json"
)
SHOW_EXAMPLES = examples("dispersy config show", "DISPERSY_WORKERS=2 dispersy config show --json")
app = typer.Typer(
    no_args_is_help=True,
    help="Look at the settings of a node.",
    rich_markup_mode="rich",
    epilog=examples("dispersy config check", "dispersy config show"),
)


@app.command("check", epilog=CHECK_EXAMPLES)
def check(
    file: Annotated[Path | None, typer.Argument(help="Default: config.toml of the home.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print every mistake in the settings, those of the environment included; status 2 when there are any."""
    path = file or Home(home_path(home)).config
    loaded = load_config(path, environment=os.environ)
    if json:
        show_json([asdict(mistake) for mistake in loaded.mistakes])
        raise typer.Exit(MISUSED if loaded.mistakes else DONE)
    loaded.checked()
    out.print(f"{escape(str(path))}: no mistakes")


@app.command("show", epilog=SHOW_EXAMPLES)
def show(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show every setting that holds, and where it comes from."""
    path = Home(home_path(home)).config
    loaded = load_config(path, environment=os.environ) if path.exists() else _defaults()
    loaded.checked()
    rows = _rows(loaded)
    if json:
        show_json([{"key": key, "value": value, "from": origin} for key, value, origin in rows])
        return
    shown = table("key", "value", "from")
    for key, value, origin in rows:
        shown.add_row(escape(key), escape(_text(value)), escape(origin))
    show_table(shown)


def _defaults() -> Loaded:
    """What a home without a file would have: the environment counts."""
    return load_config(Path(os.devnull), environment=os.environ)


def _rows(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(key, value as JSON has it, where from)."""
    rows = []
    for keys in SETTINGS:
        name = field_of(keys)
        value = getattr(loaded.config, name)
        if name == "group":
            # As it is written: the settings hold its number.
            value = None if value == NO_GROUP else grp.getgrgid(value).gr_name
        rows.append((".".join(keys), _plain(value), loaded.origin(name)))
    for community, settings in loaded.config.communities.items():
        for name, value in msgspec.structs.asdict(settings).items():
            origin = loaded.origin(f"{community}.{name}")
            rows.append((f"community.{community}.{name.replace('_', '.', 1)}", value, origin))
    return rows


def _plain(value: object) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Rate):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value in (None, "") else str(value)
