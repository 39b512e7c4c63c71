"""What goes on by itself after a command: shown at a terminal, until it ends or Ctrl-C is pressed."""

from __future__ import annotations

from time import monotonic, sleep

from dispersy.cli.output import err, waiting
from dispersy.cli.progress import progress_bar
from dispersy.client import Client

POLL_S = 0.2
STALL_LIMIT_S = 10.0
"""After so long without another message nobody is kept: what a neighbour claims need not be there."""


def watch_filling(client: Client, community: str) -> None:
    """How many messages have come, of as many as neighbours say there are."""
    moved_at, held_before = monotonic(), -1
    with progress_bar() as bar:
        task = bar.add_task("messages", total=None)
        while True:
            entry = client.community(community)
            held, claimed = entry["live"], entry["messages_claimed"]
            bar.update(task, completed=held, total=claimed)
            if claimed is not None and held >= claimed:
                return
            if held > held_before:
                moved_at, held_before = monotonic(), held
            elif monotonic() > moved_at + STALL_LIMIT_S:
                break
            sleep(POLL_S)
    err.print(f"no more for {STALL_LIMIT_S:.0f} s ({entry['state']}); the rest comes by itself", markup=False)


def watch_removal(client: Client, community_id: bytes, messages: int) -> bool:
    """Wait until nothing is left of a community that is being purged; False: not waited for any longer."""
    try:
        with waiting(f"removing {messages} messages (Ctrl-C: it goes on by itself)"):
            while any(entry["community"] == community_id for entry in client.communities(left=True)):
                sleep(POLL_S)
    except KeyboardInterrupt:
        return False
    return True
