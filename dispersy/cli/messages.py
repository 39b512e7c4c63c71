"""`dispersy publish`, `subscribe` and `count`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from threading import Event as Flag
from typing import Annotated, BinaryIO

import typer

from dispersy.cli.arguments import (
    AsOption,
    CommunityArgument,
    KindOption,
    KindsOption,
    SecondOption,
    ToOption,
)
from dispersy.cli.offered import words
from dispersy.cli.output import HomeOption, JsonOption, err, examples, out, show_json
from dispersy.cli.progress import progress_bar
from dispersy.client import PUBLISH_PORTION_MAX, PUBLISH_WINDOW, Client, Event
from dispersy.errors import INTERRUPTED, StorageError, UsageError

PUBLISH_EXAMPLES = examples(
    'dispersy publish chat "hello"',
    "dispersy publish chat --file lines.txt",
    'dispersy publish chat --kind whisper --to 192.0.2.7:6421 "psst"',
    'dispersy publish deals --kind contract --with 4f2a91 "we agree"',
    "seq 1000 | dispersy publish chat --file -",
)
SUBSCRIBE_EXAMPLES = examples(
    "dispersy subscribe chat",
    "dispersy subscribe chat --since now --json",
    "dispersy subscribe chat --since 1200 --no-follow > log.txt",
)
COUNT_EXAMPLES = examples("dispersy count chat", "dispersy count chat --json")


def publish(
    community: CommunityArgument,
    text: Annotated[str | None, typer.Argument(help="The message.", show_default=False)] = None,
    kind: KindOption = "text",
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="One message a line; - reads standard input.")
    ] = None,
    as_key: AsOption = "",
    to: ToOption = None,
    second: SecondOption = "",
    accept: Annotated[
        bool, typer.Option("--accept", help="With --with: sign whatever the other appends.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a message, or a file with one message a line. Ends when they are stored."""
    if (text is None) == (file is None):
        problem = "TEXT and --file together: give one" if file else "nothing to publish: give TEXT or --file"
        raise UsageError(problem, hint='dispersy publish chat "hello"')
    if second and file is not None:
        raise UsageError("--with and --file together: what two members sign is published one by one")
    with Client(home) as client:
        if text is not None:
            done = client.publish(
                community,
                [text.encode("utf-8", "surrogateescape")],
                kind=kind,
                as_key=as_key,
                to=to or (),
                second=second,
                appended=lambda payloads: accept or _agrees(payloads, asks=not json),
            )
            if json:
                show_json({"cursor": done.first_cursor, "id": done.ids[0]})
            else:
                # What is not stored has no cursor, and nobody who asks later will find it.
                how = "published" if done.first_cursor else "sent, and not stored"
                out.print(f"{how}, message {done.ids[0].hex()}")
            return
        assert file is not None
        lines = _read_lines(file)
        _check_lines(client, community, kind, lines, str(file))
        count = _publish_lines(client, community, kind, lines, as_key, to or (), shown=not json)
    if json:
        show_json({"published": count})
    else:
        out.print(f"published {count} message{'s' if count != 1 else ''}")
    if count < len(lines):
        err.print(f"interrupted: {_how_to_go_on(count)}", markup=False)
        raise typer.Exit(INTERRUPTED)


def subscribe(
    community: CommunityArgument,
    since: Annotated[
        str,
        typer.Option(
            help="begin: what is stored, then live; now: live only; N: what comes after cursor N.",
            autocompletion=words("begin", "now"),
        ),
    ] = "begin",
    follow: Annotated[
        bool, typer.Option(help="Go on with what comes, until Ctrl-C; or end where the stored ones do.")
    ] = True,
    kind: KindsOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a community's messages as they come, until Ctrl-C."""
    position = _position(since)
    try:
        with Client(home) as client:
            _say_awaited(client, community)
            for event in client.follow([community], kinds=kind or (), since=position, on_absence=_say_absent):
                if json:
                    _show_event_json(event)
                else:
                    _show_event(event, goes_on=follow)
                sys.stdout.flush()
                if event.event == "caught-up" and not follow:
                    break
    except KeyboardInterrupt:
        raise typer.Exit from None


def count(community: CommunityArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Print how many messages of a community this node holds."""
    with Client(home) as client:
        held = client.count(community)
        _say_awaited(client, community)
        known = client.community(community) if json else None
    if known is not None:
        show_json({"community": known["community"], "name": known["name"], "count": held})
    else:
        out.print(str(held))


def _agrees(payloads: Sequence[bytes], *, asks: bool) -> bool:
    """Whether the person at the terminal signs what the second author has appended."""
    if not asks or not sys.stdin.isatty():
        return False
    for payload in payloads:
        out.print(f"appended: {printable(payload)}", markup=False)
    return typer.confirm("sign it?")


def _position(since: str) -> str | int:
    if since in {"begin", "now"}:
        return since
    if since.isascii() and since.isdecimal():
        return int(since)
    raise UsageError(f"--since is begin, now or a cursor, not {since!r}", hint="--json shows cursors")


def _say_awaited(client: Client, community: str) -> None:
    """Why there is nothing to see in a community that was just joined."""
    if not client.community(community)["defined"]:
        err.print("its definition has not come yet: messages are shown and counted once it has")


def _say_absent() -> None:
    err.print("the node has gone; waiting for it to come back (Ctrl-C ends)")


def _publish_lines(
    client: Client,
    community: str,
    kind: str,
    lines: list[bytes],
    as_key: str = "",
    to: Sequence[str] = (),
    *,
    shown: bool = True,
) -> int:
    """How many were stored, always the first ones: all, or fewer after Ctrl-C.

    raises  UsageError that tells also how many lines are stored
    """
    stored = 0
    with progress_bar(shown=shown) as bar, _interruption() as interrupted:
        task = bar.add_task("publishing", total=len(lines))

        def show(sent: int) -> None:
            nonlocal stored
            stored = sent
            bar.update(task, completed=sent)

        # What is under way when it is interrupted is still waited for: then it is known where to go on.
        wanted = takewhile(lambda _: not interrupted.is_set(), lines)
        try:
            return client.publish_many(community, wanted, kind=kind, progress=show, as_key=as_key, to=to)
        except UsageError as error:
            raise UsageError(
                f"{error}; {_what_is_stored(stored, len(lines))}", code=error.code, hint=error.hint
            ) from None
        except KeyboardInterrupt:
            err.print(f"interrupted; {_what_is_stored(stored, len(lines))}", markup=False)
            raise typer.Exit(INTERRUPTED) from None


def _what_is_stored(stored: int, total: int) -> str:
    unknown = min(total - stored, PUBLISH_WINDOW * PUBLISH_PORTION_MAX)
    return f"of the next {unknown} lines it is not known (`dispersy count` tells); {_how_to_go_on(stored)}"


def _how_to_go_on(stored: int) -> str:
    rest = stored + 1
    return f"the first {stored} lines are stored; go on with those from line {rest} (tail -n +{rest})"


@contextmanager
def _interruption() -> Iterator[Flag]:
    """Set by the first Ctrl-C; the second one interrupts."""
    interrupted = Flag()

    def note(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _read_lines(file: Path) -> list[bytes]:
    """The lines without their ends; empty ones are messages too."""
    if str(file) == "-":
        return list(_lines(sys.stdin.buffer))
    try:
        with open(file, "rb") as source:
            return list(_lines(source))
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from None


def _lines(source: BinaryIO) -> Iterator[bytes]:
    for line in source:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _check_lines(client: Client, community: str, kind: str, lines: list[bytes], file: str) -> None:
    """Name the first line that would be refused, before anything is published."""
    entry = client.community(community)
    rule = next((each for each in entry["kinds"] if each["name"] == kind), None)
    if rule is None:
        # The node's own words say what kinds there are, or that the definition is still to come.
        return
    for number, line in enumerate(lines, start=1):
        if len(line) > rule["size_max"]:
            raise UsageError(
                f"{file}: line {number} has {len(line)} bytes; {kind} allows {rule['size_max']}",
                hint="nothing was published; shorten the line",
            )
        if rule["payload"] == "utf-8":
            try:
                line.decode()
            except UnicodeDecodeError:
                raise UsageError(
                    f"{file}: line {number} is not UTF-8 text, which {kind} in {community} takes",
                    hint="nothing was published; convert the file, for example with iconv",
                ) from None


def _show_event(event: Event, *, goes_on: bool) -> None:
    if event.event == "caught-up":
        if goes_on and err.is_terminal:
            err.print("[dim]that is all so far; waiting for more (Ctrl-C ends)[/dim]")
        return
    for payload in event.payloads or (event.payload,):
        text = printable(payload)
        # Not through the console: it takes ten times as long, and a replay may have a million lines.
        if event.event == "message":
            sys.stdout.write(f"{authors_text(event.author, event.second_author)} {text}\n")
        else:
            sys.stdout.write(f"{event.event} {event.message_id.hex()[:16]} {text}".rstrip() + "\n")


def authors_text(author: bytes, second_author: bytes) -> str:
    """Who signed a message, as a line shows it."""
    return "+".join(key.hex()[:8] for key in (author, second_author) if key) or "nobody"


def printable(payload: bytes) -> str:
    """A payload as one safe line: a peer's bytes must not move the cursor or set the title of a terminal."""
    text = payload.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _show_event_json(event: Event) -> None:
    shown = {name: getattr(event, name) for name in _EVENT_JSON[event.event]}
    shown["event"] = event.event
    if "payload" in shown:
        try:
            shown["text"] = event.payload.decode()
        except UnicodeDecodeError:
            shown["text"] = None
    if event.second_author:
        shown["second_author"] = event.second_author
    show_json(shown)


_ALWAYS = ("cursor", "community", "kind", "author", "global_time", "sequence", "message_id")
_EVENT_JSON = {
    "message": (*_ALWAYS, "index", "payload", "arrival_ms"),
    "denied": (*_ALWAYS, "index", "message_cursor", "reason"),
    "undone": (*_ALWAYS, "index", "message_cursor", "reason"),
    "restored": (*_ALWAYS, "index", "message_cursor", "reason", "payloads"),
    "removed": ("cursor", "low"),
    "caught-up": ("cursor",),
}
