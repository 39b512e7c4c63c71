"""Which policies exclude one another in one kind, each with the reason; what is not here goes together.

A combination is refused where it could never work (a message that reaches nobody, an order that waits for
what will never come), or where one part of it would say nothing (a rate of what nobody keeps).
"""

from __future__ import annotations

from collections.abc import Iterator

from dispersy.protocol.definitions.kind import DEFAULT_CHOICES, Kind, is_on_request, is_stored


def contradiction(kind: Kind) -> str | None:
    """What excludes what, and what would be right; None if nothing does."""
    for rules in (_of_signing, _of_the_way, _of_the_unstored, _of_the_sequence, _of_what_is_on_request):
        for text in rules(kind):
            return text
    if kind.pruning.name == "global-time":
        inactive, prune = (kind.pruning.number(f"{name}_threshold") for name in ("inactive", "prune"))
        if prune <= inactive:
            return "prune_threshold must be above inactive_threshold"
    return None


def _of_signing(kind: Kind) -> Iterator[str]:
    """Who signs, against what is kept and who may."""
    distribution = kind.distribution.name
    if kind.authentication.name == "none":
        if is_stored(kind):
            # Nobody could be held to it: no sequence, no equivocation, no undo.
            yield f"authentication none needs distribution direct or relay, not {distribution}"
        if kind.resolution.name != "public":
            yield f"authentication none needs resolution public, not {kind.resolution.name}"
    if kind.authentication.name == "double-member" and not is_stored(kind):
        yield (
            "authentication double-member needs distribution full-sync or last-sync: "
            f"with {distribution} nobody would keep what the two agreed on"
        )


def _of_the_way(kind: Kind) -> Iterator[str]:
    """How far messages go, against whom they are meant for."""
    distribution, destination = kind.distribution.name, kind.destination.name
    if is_stored(kind) and destination != "community":
        yield f"distribution {distribution} needs destination community, not {destination}"
    if distribution == "direct" and destination == "n-hop":
        yield "distribution direct is never passed on: it needs destination candidate or community, not n-hop"
    if distribution == "direct" and destination == "community" and not kind.destination["fan_out"]:
        yield (
            "distribution direct to the community reaches nobody with fan_out 0: state a fan_out, "
            "or destination candidate"
        )
    if distribution == "relay" and destination != "n-hop":
        yield f"distribution relay needs destination n-hop, which says how far it goes, not {destination}"


def _of_the_unstored(kind: Kind) -> Iterator[str]:
    """What speaks of the store, where nothing is stored."""
    if is_stored(kind):
        return
    stores_nothing = f"distribution {kind.distribution.name} stores nothing, so"
    if kind.pruning.name != "none":
        yield f"{stores_nothing} pruning must be none"
    if kind.payload["rate"]:
        yield f"{stores_nothing} rate must be 0: it limits what counts of what is stored"
    if kind.batch_window_ms:
        yield f"{stores_nothing} batch_window_ms must be 0"
    for name in ("priority", "order"):
        if kind.distribution[name] != DEFAULT_CHOICES["distribution"][name]:
            yield f"{stores_nothing} {name} must be left out: it is how what is stored is synchronised"


def _of_the_sequence(kind: Kind) -> Iterator[str]:
    """Delivery in sequence waits for each message before: against what leaves gaps that nobody can fill."""
    if not kind.distribution["in_sequence"]:
        return
    if kind.distribution.name != "full-sync":
        yield f"in_sequence needs distribution full-sync, not {kind.distribution.name}"
    if kind.pruning.name != "none":
        yield "in_sequence needs pruning none: newcomers would wait for ever for what is pruned"
    if kind.payload["rate"]:
        yield "in_sequence needs rate 0: what is above the rate leaves gaps that would be waited for for ever"
    if kind.distribution["order"] != DEFAULT_CHOICES["distribution"]["order"]:
        yield "in_sequence needs order ascending: in any other order all but the first would wait"


def _of_what_is_on_request(kind: Kind) -> Iterator[str]:
    """What says how messages are offered, of those that are offered to nobody."""
    if not is_on_request(kind):
        return
    of_it = f"with priority {kind.distribution['priority']} messages are fetched only on request, so"
    if kind.distribution["in_sequence"]:
        yield f"{of_it} in_sequence must be false: to fetch one would be to fetch all before it"
    if kind.distribution["order"] != DEFAULT_CHOICES["distribution"]["order"]:
        yield f"{of_it} order must be left out: it is how what is offered is synchronised"
    if kind.destination["fan_out"]:
        yield f"{of_it} fan_out must be 0: nobody is sent what was not asked for"
