"""`dispersy sign`: decide on messages that another member wants this node's member to sign, too."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from dispersy.cli.arguments import CommunityArgument, KindsOption
from dispersy.cli.messages import printable
from dispersy.cli.output import HomeOption, JsonOption, err, examples, out, show_json
from dispersy.client import Client, SignatureWanted
from dispersy.errors import UsageError

EXAMPLES = examples(
    "dispersy sign deals",
    "dispersy sign deals --kind contract --accept",
    'dispersy sign deals --count 1 --accept --append "but not on sunday"',
)


def sign(
    community: CommunityArgument,
    kind: KindsOption = None,
    accept: Annotated[bool, typer.Option("--accept", help="Sign all of them, without asking.")] = False,
    append: Annotated[
        list[str] | None,
        typer.Option(help="A payload to append to what is signed; its author decides again."),
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many; 0: with Ctrl-C.")] = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sign messages that need a second author, one by one, until Ctrl-C.

    While it runs this node answers for these kinds; what nobody answers for is refused.
    """
    if not accept and (json or not sys.stdin.isatty()):
        raise UsageError("there is nobody to ask", hint="--accept signs all of them")
    try:
        with Client(home) as client:
            if not json:
                err.print("waiting for messages to sign (Ctrl-C ends)")
            for number, wanted in enumerate(client.signature_requests([community], kinds=kind or ()), 1):
                _decide(client, wanted, accept=accept, append=append or [], json=json)
                if number == count:
                    break
    except KeyboardInterrupt:
        raise typer.Exit from None


def _decide(client: Client, wanted: SignatureWanted, *, accept: bool, append: list[str], json: bool) -> None:
    if not json:
        out.print(f"{wanted.author.hex()[:8]} wants to publish, as {wanted.kind}:", markup=False)
        for payload in wanted.payloads:
            out.print(f"  {printable(payload)}", markup=False)
    agreed = accept or typer.confirm("sign it?")
    try:
        signed = client.sign(
            wanted, accept=agreed, append=[text.encode() for text in append] if agreed else []
        )
    except UsageError as error:
        # One that is too late, or that a rule refuses, must not end the others.
        err.print(f"not signed: {error}", markup=False)
        return
    if json:
        show_json({**asdict(wanted), "accepted": agreed, "id": signed})
    elif agreed:
        out.print(f"signed, message {signed.hex()[:16]}")
    else:
        out.print("refused")
