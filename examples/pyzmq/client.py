"""A client of a Dispersy node, from docs/interface.md alone.

    python client.py publish chat hello
    python client.py follow chat
"""

from __future__ import annotations

import json
import subprocess
import sys

from connection import Connection
from follow import Follow


def main(command: str, community: str, *texts: str) -> None:
    """What a person types: publish COMMUNITY TEXT..., or follow COMMUNITY."""
    control = json.loads(subprocess.check_output(["dispersy", "status", "--json"]))["sockets"]["control"]
    if command == "publish":
        payloads = [text.encode() for text in texts]
        print(Connection(control).publish("publish-many", community, "text", payloads))
        return
    follow = Follow(control, since="begin", communities=[community])
    while True:
        event = follow.next(60)
        if event is not None and event["event"] == "message":
            print(event["author"].hex()[:8], event["payload"].decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
