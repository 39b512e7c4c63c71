"""Every error code that a client may get, what it means, and what to do about it when nobody says it better.

docs/interface.md lists the same codes; a test compares both, and the codes in the source. A code is for
programs, so it never changes its meaning; new ones may come.
"""

from __future__ import annotations

from typing import NamedTuple

DEFINITION = "definition-..."
"""Stands for all codes that begin so: what is wrong with a definition has some twenty names."""
_AGAIN = "send the same again in a moment"


class Code(NamedTuple):
    """meaning: what was wrong; hint: what would be right."""

    meaning: str
    hint: str


CODES = {
    "malformed": Code(
        "no request, or a field is wrong; the message names it",
        "docs/interface.md lists the fields of every operation",
    ),
    "op-unknown": Code("no operation is called so", "docs/interface.md lists the operations"),
    "community-unknown": Code(
        "no community on this node is called so", "`dispersy community list` shows what there is"
    ),
    "community-ambiguous": Code("several communities fit", "write more digits of the id"),
    "community-unloaded": Code("joined and not loaded", "load it: `dispersy community load`"),
    "purging": Code("what was held of the community is still being removed", "join again in a moment"),
    "removed": Code(
        "what this request_id published was removed: it was old, or its community was left",
        "publish it under a new one",
    ),
    "blocked": Code("this node does not show what its author writes", "`dispersy unblock` shows it again"),
    "own-key": Code("this node's own key cannot be blocked", "block another's"),
    "second-missing": Code("messages of this kind are signed by two members", "name the other in `second`"),
    "second-refused": Code("messages of this kind are signed by one member", "leave `second` out"),
    "signature-pending": Code(
        "another message of these two members and kind waits for its signature", "publish it after that one"
    ),
    "signature-refused": Code("the second member does not sign it", "nothing was published"),
    "signature-unanswered": Code("the second member has not answered", "nothing was published: ask again"),
    "signature-unknown": Code("no message waits for this decision", "its first author may ask again"),
    "to-missing": Code("messages of this kind go to one member: none was named", "name one in `to`"),
    "to-unknown": Code(
        "no neighbour is known as one that `to` names, or there is none at all", "`dispersy peers` lists them"
    ),
    "to-ambiguous": Code("several neighbours fit", "write more digits of the key"),
    "to-self": Code("`to` names this node's own key", "name another member"),
    "definition-unknown": Code(
        "joined, but the definition has not come", "it comes from the first neighbour found"
    ),
    "kind-unknown": Code(
        "the definition names no such kind", "`dispersy community show` lists the kinds of a community"
    ),
    "fetch-unanswered": Code(
        "not held, and no neighbour has given it in time", "ask again later, or with a longer `fetch`"
    ),
    "message-unknown": Code("no such message is held", "`explain` says what is known of it"),
    "payload-size": Code("a payload is longer than its kind allows", "split it, or send a shorter one"),
    "payload-format": Code(
        "a payload has not the format of its kind", "encode it as the kind's definition says"
    ),
    "message-size": Code("the payloads together do not fit one message", "publish them as several messages"),
    "message-too-long": Code(
        "with what surrounds its payloads a message is longer than its kind allows",
        "send less at once",
    ),
    "control-too-long": Code(
        "a control message names more than fits one datagram",
        "name fewer members, kinds or sequences at once",
    ),
    "count": Code(
        "a list of the request is too short or too long", "ask in portions; the message names the limit"
    ),
    "refused": Code(
        "the rules of the community refuse a message", "the message says which; `community show` the rules"
    ),
    "community-destroyed": Code(
        "its founder has destroyed it: nothing is published in it any more", "make a new community"
    ),
    "not-permitted": Code(
        "the key that signs does not hold the permission that this takes, or the kind is frozen",
        "ask somebody who does: `dispersy permissions` lists them",
    ),
    "not-founder": Code(
        "only the founder's key can do this", "do it on the node that made the community, or name the key"
    ),
    "not-dynamic": Code(
        "the definition says once and for all who may publish this kind",
        "only a kind of dynamic resolution changes",
    ),
    "not-undoable": Code(
        "what governs a community is not taken back",
        "revoke what was authorized; change a policy again; publish a newer definition",
    ),
    "not-in-sync": Code(
        "neighbours hold something else, or nobody says what; what is not held here would be hidden",
        "wait until `dispersy community show` says in sync, or force it",
    ),
    "nothing-to-revoke": Code(
        "the members hold no such permission that this key may revoke",
        "`dispersy permissions` shows who holds what, and how deep",
    ),
    "pin-too-long": Code(
        "what goes on counting does not fit the messages", "force it to keep the newest that fit"
    ),
    "member-unknown": Code(
        "no member is called so", "`dispersy members` lists those that are known; a key has 64 hex digits"
    ),
    "member-ambiguous": Code("several members fit", "write more digits of the key"),
    DEFINITION: Code(
        "a definition that makes no sense, or asks for what this version does not enforce",
        "docs/definition.md says what a definition may hold",
    ),
    "key-unknown": Code(
        "no such key can be read from the keyring", "choose one of those that the message names"
    ),
    "key-name": Code("no key file can be named so", "choose another name for the community"),
    "key-exists": Code("there is a key file of this name", "choose another name"),
    "name-taken": Code("another community has this name on this node", "choose another name"),
    "address-malformed": Code("no numeric HOST:PORT", "write it like 192.0.2.1:6421 or [2001:db8::1]:6421"),
    "request-id": Code("no usable request_id", "6 bytes unix milliseconds, then 10 random ones"),
    "request-old": Code(
        "a request_id too old to know what became of it", "look whether the message is there"
    ),
    "cursor-ahead": Code(
        "`since` lies behind the end of this node's log: another home, or an older state of it was restored",
        "follow again since begin, and know messages by their message_id",
    ),
    "follow-exists": Code("a follow with this id is running", "cancel it first"),
    "too-many": Code("too many follows, or blocks", "one follow may name many communities"),
    "starting": Code("the node is starting", _AGAIN),
    "busy": Code("too much waits just now, or the client does not read its replies", _AGAIN),
    "no-answer": Code("the writer did not answer", "look whether it was done before you repeat it"),
    "storage": Code("the disk refused; nothing was stored", "make room, mend disk or file, then send again"),
}
CLIENT_CODES = {
    "file-exists": Code("there is a file of this name already", "choose another name, or overwrite it"),
    "bundle-foreign": Code("the file is no bundle", "`dispersy bundle export` makes one"),
    "bundle-version": Code("a bundle of another version", "use a newer version of Dispersy"),
    "bundle-truncated": Code("the bundle breaks off", "what came before is good; copy the file once more"),
    "bundle-malformed": Code("the bundle was damaged", "what came before is good; copy the file once more"),
    "not-running": Code("no node is running on this home", "start it with `dispersy run`"),
    "closed": Code("this client was closed", "make a new one"),
    "timeout": Code("no answer came in time", "see how the node is: `dispersy status`"),
    "signature-appended": Code(
        "the second member has appended payloads, and the client does not accept them",
        "nothing was published; look at the payloads and ask again",
    ),
}
"""Those that the Python clients add."""


def listed(code: str) -> Code | None:
    """What a code means; None for one that is not listed, which no client may get."""
    return CODES.get(code) or (CODES[DEFINITION] if code.startswith("definition-") else None)
