"""`dispersy bundle`: a community's messages by file, where no network is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispersy.bundling import Imported
from dispersy.cli.arguments import CommunityArgument
from dispersy.cli.output import HomeOption, JsonOption, err, examples, out, show_json, size_text
from dispersy.cli.progress import progress_bar
from dispersy.client import Client
from dispersy.errors import INTERRUPTED

EXAMPLES = examples(
    "dispersy bundle export chat /media/stick/chat.bundle",
    "dispersy bundle import /media/stick/chat.bundle --join",
)
EXPORT_EXAMPLES = examples(
    "dispersy bundle export chat /media/stick/chat.bundle",
    "dispersy bundle export chat new.bundle --since 1200",
)
IMPORT_EXAMPLES = examples(
    "dispersy bundle import /media/stick/chat.bundle",
    "dispersy bundle import chat.bundle --join",
)

app = typer.Typer(
    help="Carry messages by file, where no network is.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("export", epilog=EXPORT_EXAMPLES)
def export_file(
    community: CommunityArgument,
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    since: Annotated[
        int, typer.Option(min=0, help="Only what came after the cursor that the export before has printed.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file of this name.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a community's messages to a file, for import on another node."""
    with Client(home) as client:
        # How many come after a cursor only the end tells.
        total = None if since else client.community(community)["live"]
        with progress_bar(shown=not json) as bar:
            task = bar.add_task("exporting", total=total)
            done = client.export_bundle(
                community,
                file,
                since=since,
                overwrite=force,
                progress=lambda count: bar.update(task, completed=count),
            )
    if json:
        show_json(
            {
                "community": done.community,
                "messages": done.count,
                "bytes": done.size,
                "cursor": done.cursor,
            }
        )
        return
    out.print(f"{_messages(done.count)}, {size_text(done.size)}, in {file}", markup=False)
    out.print(f"the next one goes on with --since {done.cursor}")


@app.command("import", epilog=IMPORT_EXAMPLES)
def import_file(
    file: Annotated[Path, typer.Argument(help="The file to read.", show_default=False)],
    join: Annotated[
        bool, typer.Option("--join", help="Join its community first, where that has not been done.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take in the messages of a file, each verified like any other."""
    last: Imported | None = None

    def note(done: Imported) -> None:
        nonlocal last
        last = done
        bar.update(task, completed=done.position, total=done.size)

    try:
        with Client(home) as client, progress_bar(shown=not json) as bar:
            task = bar.add_task("importing", total=None)
            done = client.import_bundle(file, join=join, progress=note)
    except KeyboardInterrupt:
        if last is not None:
            err.print(f"interrupted: {_told(last)}; import it once more for the rest", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    if json:
        show_json(
            {
                "community": done.community,
                "new": done.new,
                "known": done.known,
                "waiting": done.waiting,
                "refused": dict(done.refused),
            }
        )
        return
    out.print(f"{_messages(done.count)}: {_told(done)}", markup=False)


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"


def _told(done: Imported) -> str:
    told = [f"{done.new} new", f"{done.known} known"]
    if done.waiting:
        told.append(f"{done.waiting} waiting for what they rest on")
    if done.refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(done.refused.items()))
        told.append(f"{sum(done.refused.values())} refused ({reasons})")
    return ", ".join(told)
