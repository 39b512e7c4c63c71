"""What the roles around the network count, by name: for the metrics, and for whoever reads `status`.

Counts rise from a role's start. Beside these a role counts what it drops under the reasons of docs/wire.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dispersy.protocol.sync.means import Means
from dispersy.protocol.wire.numbers import FRAMES_SPOKEN, FrameType
from dispersy.protocol.wire.packing import decode_uvarint

ROLE_COUNTERS = {
    "audit-refused": "audit requests that came while too many waited",
    "batches-to-verify": "batches of messages that went to verifiers",
    "bootstrap-unreadable": "stored bootstrap addresses that this version cannot read",
    "busy": "sync- and fragment-requests answered with busy, for too many were in work",
    "busy-upload": "requests answered with busy, for the answer would wait for the upload budget",
    "bytes-in": "bytes of datagrams received",
    "bytes-out": "bytes of datagrams handed to the kernel",
    "community-gone": "batches for a community that a worker no longer serves",
    "datagrams-in": "datagrams received",
    "datagrams-out": "datagrams that the kernel took",
    "in-dropped-blocked": "datagrams from addresses that are blocked here",
    "introduction-signature-wrong": "introductions whose signature does not hold",
    "introductions-dropped-blocked": "introductions of members that are blocked here",
    "introductions-dropped-full": "introductions that came while too many waited to be checked",
    "introductions-dropped-rate": "introductions of an address or host that sent too many in a second",
    "known-held": "messages received that were in the store",
    "known-recently": "messages received that were handled a moment before",
    "missing-refused": "requests for messages by name that came too often, or while too many waited",
    "neighbours-unreadable": "times the file of former neighbours could not be read, and was taken for empty",
    "neighbours-unwritten": "times it could not be written",
    "out-dropped-blocked": "datagrams for addresses that are blocked here",
    "out-dropped-full": "datagrams dropped because too many waited for the kernel",
    "out-dropped-token-missing": "frames for an address whose token is not known",
    "out-refused": "datagrams that the kernel refused, for their address cannot be reached",
    "outbound-dropped": "frames of a worker that the network role did not take",
    "reading-paused": "times the network role stopped reading, for verifiers had too much to do",
    "responder-gone": "frames for a worker that was not there",
    "signature-wrong": "messages whose signature does not hold",
    "symbols-refused": "symbols-requests not answered, for too many came or their address has had enough",
    "trees-refused": "tree-requests answered with busy, for too many came or their address has had enough",
    "token-repeated": "token frames beside another one in a datagram that proves nothing",
    "upload-bytes-answers": "bytes of answers that left within the upload budget, headers included",
    "upload-bytes-first": "bytes of the walk and of requests that did",
    "upload-bytes-news": "bytes of new messages and their announcements that did",
    "upload-dropped-answers": "datagrams of answers dropped, for too many waited for the upload budget",
    "upload-dropped-first": "datagrams of the walk and of requests dropped so",
    "upload-dropped-news": "datagrams of new messages and their announcements dropped so",
    "upload-waits-answers": "times that answers were left waiting for the upload budget",
    "upload-waits-first": "times that the walk or requests were",
    "upload-waits-news": "times that new messages or their announcements were",
    "verified": "messages whose signature holds",
    "woken": "communities asked to be loaded, for somebody spoke to them",
}
"""Of a whole role."""

CLIENT_COUNTERS = {
    "client-allowed": "handshakes over tcp of clients that are in the list",
    "client-cut": "clients disconnected that sent more than the process may hold",
    "client-gone": "clients that were gone when something was to be sent to them",
    "client-refused": "handshakes over tcp of who is not in the list of clients",
    "client-removed": "clients cut off over tcp, for they were taken off the list",
    "events-left-out": "large events not sent to subscribers, for too many wait for slow ones",
    "events-missed": "times that a follower missed a message that is not stored, for it had too much unread",
    "reply-dropped": "replies dropped, for the client did not read those before or was gone",
    "reply-unread": "large replies not sent, for the client had not read those before",
    "report-malformed": "reports of processes that could not be read",
    "store-not-ready": "times that the gateway looked for the store before the writer had made it",
    "subscription-malformed": "frames on the events socket that are no subscription",
    "subscription-refused": "subscriptions to topics beyond the number that is kept",
}
"""Of the processes that serve clients: of the gateway, the publisher, and who lets clients in over tcp."""

WRITER_COUNTERS = {
    "commit-failed": "commits that the disk refused",
    "commits": "transactions of the writer that reached the disk",
    "imported": "messages of bundles taken in",
    "publish-gathered": "publish requests held back for a moment, to be written in one commit with others",
    "publish-held": "publish requests that wait, for the home was restored and neighbours are asked first",
    "readers-cleared": "snapshots of processes that died, let go so that the store does not grow",
    "signature-request-full": "requests for our signature not taken, for too many wait for a decision",
    "signature-request-wrong": "requests for our signature that are not for us, or not well made",
    "signature-response-unasked": "answers of second authors that nobody has asked for",
    "signatures-gathered": "messages that got their second signature",
    "signatures-given": "messages of others that we signed, too",
    "signatures-refused": "messages of others that we did not sign",
    "unstored": "messages taken that are not stored, but told to whoever follows",
    "unstored-dropped-full": "messages that are not stored, dropped because too many waited",
}
"""Of the writer, beside the reasons of docs/wire.md for what it took from others."""

FRAME_COUNTERS = {
    f"{unit}-{way}-{frame.label}": f"{unit} of {frame.label} {'received' if way == 'in' else 'sent'}"
    for frame in sorted(FRAMES_SPOKEN)
    for unit in ("frames", "frame-bytes")
    for way in ("in", "out")
}
"""Of the network role, per frame kind; of messages received the bytes are those of the messages alone."""

COMMUNITY_COUNTERS = {
    "announced": "new messages announced, once for each neighbour that asked to be told",
    "announced-dropped-full": "announced messages not asked for, for too many were awaited",
    "announced-dropped-rate": "announced messages not looked at, of an address that announced too many",
    "announced-given-up": "announced messages that nobody who announced them gave",
    "announced-in-vain": "announced messages passed over, of an address that gave none of many before",
    "announced-unasked": "messages announced by neighbours that were not asked to",
    "answers": "sync-requests of neighbours whose answer was begun",
    "busy": "sync- and fragment-requests of neighbours answered with busy",
    **{f"by-{means}": f"times that a pull used the means `{means}`" for means in Means},
    **{f"came-by-{means}": f"messages that answers by the means `{means}` brought" for means in Means},
    "came-by-name": "messages that answers to requests by name brought",
    "came-by-push": "messages that were pushed, announced and asked for ones too, less those known by then",
    "filters": "sync-requests of ours with a new filter; none is used twice, for each has a salt of its own",
    "fragment-requests": "requests of ours for fragments of large messages",
    "fragment-timeouts": "requests of ours for fragments of which something was lost",
    "fragments-unasked": "fragments of large messages that were not asked for, or had come already",
    "introductions-dropped-blocked": "introductions of members that are blocked here",
    "introductions-dropped-rate": "introductions of an address or host that sent too many in a second",
    "large-forged": "large messages that came whole and were not those that had been named",
    "large-given-up": "large messages that nobody gave who had named them",
    "large-named": "large messages that neighbours named and that were not here",
    "large-whole": "large messages put together from fragments",
    "named-given-up": "things that no neighbour gave, asked for by name",
    "named-requests": "requests of ours for messages, gaps and proofs by name",
    "named-timeouts": "requests of ours by name whose answer did not come",
    "nudges-sent": "introduction-requests that only told a changed summary",
    "pings-answered": "pings of ours whose pong came",
    "pings-ignored": "pings of others not answered: of no neighbour, too many, or without a summary to give",
    "pings-sent": "pings of ours, repeated ones too",
    "pings-timed-out": "pings given up",
    "punctures-asked": "neighbours asked to open their NAT for one whom we introduced",
    "punctures-sent": "datagrams that open our NAT for one to whom we were introduced",
    "push-target-unknown": "neighbours that a publication named and that were gone by then",
    "pushes-dropped-full": "pushes of ours not sent, for too many were within a second",
    "pushes-dropped-rate": "pushes not looked at, of an address or host that sent too many in a second",
    "pushes-known": "pushes not looked at, of messages that had come already",
    "pushes-repeated": "pushes of messages of ours that no neighbour had spoken of yet",
    "relays": "n-hop messages of others that were passed on",
    "relays-dropped-rate": "n-hop messages of others not passed on, for too many came within a second",
    "repairs": "transfers of what an audit found different",
    "requests": "sync-requests of ours",
    "signatures-dropped-rate": "signature frames of an address that sent too many in a second",
    "skipped": "summaries of neighbours equal to ours, so that nothing was asked for",
    "symbols-answers": "symbols-requests of neighbours that were answered",
    "tree-answers": "tree-requests of neighbours that were answered",
    "symbols-given": "datagrams of messages that a neighbour lacked, as symbols told, and got unasked",
    "timeouts": "sync-requests of ours whose answer did not come, or not to its end",
    "unfiltered": "sync-requests of ours without a filter, for we hold nothing in their range",
    "wanted": "announced messages asked for",
    "wanted-given": "announced messages given to who asked for them",
    "wanted-refused": "announced messages not given, for too many were within a second",
    "wanted-unknown": "announced messages not given, for they are no longer at hand or never were",
    "walk-answered": "walks whose response came",
    "walk-bootstrap": "walks to a bootstrap address of which nothing else is known",
    "walk-discovered": "walks to an address found in our network",
    "walk-former": "walks to where a neighbour answered that was lost",
    "walk-introduced": "walks to an address that a neighbour named",
    "walk-named": "responses that named an address to walk to",
    "walk-stumbled": "walks to a neighbour that had walked to us",
    "walk-timed-out": "walks given up",
    "walk-walked": "walks to a neighbour that had answered before",
}
"""Of one community, from the network role and from its responder."""

ARRIVALS = {
    name.removeprefix("came-by-"): name for name in COMMUNITY_COUNTERS if name.startswith("came-by-")
} | {"fragments": "large-whole"}
"""By which means messages have come: the counter of each."""


def frame_size(body_size: int) -> int:
    """Of a frame with its type and length."""
    return body_size + (2 if body_size < 128 else 3)


def frames_in(content: bytes) -> Iterator[tuple[int, int]]:
    """(type, size) of the frames that a datagram is to have, types and lengths included."""
    position = 0
    while position < len(content):
        size, start = decode_uvarint(content, position + 1)
        yield content[position], start + size - position
        position = start + size


def count_sent(counters: Counter[str], frame_type: FrameType, size: int, *, count: int = 1) -> None:
    """So many frames of one kind leave, of so many bytes together, types and lengths included."""
    counters[f"frames-out-{frame_type.label}"] += count
    counters[f"frame-bytes-out-{frame_type.label}"] += size
