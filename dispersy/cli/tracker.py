"""`dispersy tracker`: a process that makes members of any community known to each other."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from dispersy.cli.output import examples, out
from dispersy.endpoint import parse_endpoint
from dispersy.protocol.address import format_address
from dispersy.service.logs import set_up
from dispersy.workers.loop import Loop
from dispersy.workers.tracker import TrackerRole

EXAMPLES = examples("dispersy tracker", "dispersy tracker --listen 0.0.0.0:7000")


def tracker(
    listen: Annotated[str, typer.Option(help="UDP address HOST:PORT; port 0: any free one.")] = "[::]:6421",
) -> None:
    """Make members of any community known to each other until Ctrl-C. It is itself a member of none."""
    set_up("tracker", log_format="auto", level="info")
    role = TrackerRole(str(parse_endpoint(listen, port_zero=True)))
    out.print(f"[bold]Dispersy[/bold] tracker on UDP {escape(format_address(role.address))}")
    out.print("  nodes find each other here by --peer HOST:PORT, or by ?peer=HOST:PORT in an invite")
    out.file.flush()
    Loop().run(role)
