"""Goal: what a bundle brings is judged as if neighbours had sent it, and its reader is told the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispersy.bundle import BundleReader
from dispersy.bundling import Imported
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.address import format_address
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.sync.means import Means
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch
from dispersy.testing import Network, Node
from dispersy.workers import importing

DEFINITION = encode_definition(
    Definition(
        "wiki",
        kinds=(
            Kind(number=64, name="text"),
            Kind(number=65, name="page", resolution=choose("resolution", "linear")),
        ),
    )
)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(seed=5) as network:
        yield network


LONG_PAYLOAD = choose("payload", "bytes", size_max=65_000)


def two_apart(network: Network) -> tuple[Node, Node]:
    """A founder, and one who shall never meet it."""
    here, there = network.nodes(2)
    network.partition([here], [there])
    here.client.create("wiki", DEFINITION)
    me = here.client.community("wiki")["member"]
    here.client.authorize("wiki", [me], kinds=["page"])
    return here, there


def outcome(done: Imported) -> tuple[int, int, int, dict[str, int]]:
    return done.new, done.known, done.waiting, dict(done.refused)


def test_permissions_and_erased_messages_arrive_with_nothing_left_to_wait(
    network: Network, tmp_path: Path
) -> None:
    here, there = two_apart(network)
    file = tmp_path / "wiki.bundle"
    for number in range(100):
        here.client.publish("wiki", [b"page %d" % number], kind="page")
        if number % 10 == 0:
            here.client.undo("wiki", here.client.publish("wiki", [b"slip"]).ids[0])
    exported = here.client.export_bundle("wiki", file)
    assert exported.count == here.client.community("wiki")["live"]
    with BundleReader(file) as bundle:
        kinds = [each.is_stripped for each in bundle]
    assert kinds == [False] * (exported.count - 10) + [True] * 10
    done = there.client.import_bundle(file, join=True)
    assert outcome(done) == (exported.count, 0, 0, {})
    assert next(iter(here.summaries().values())) == next(iter(there.summaries().values()))


def test_what_waits_is_told_and_counts_as_new_when_it_no_longer_does(
    network: Network, tmp_path: Path
) -> None:
    """Stripped messages come before the undos that they wait for."""
    here, there = two_apart(network)
    file = tmp_path / "wiki.bundle"
    for _ in range(60):
        here.client.undo("wiki", here.client.publish("wiki", [b"slip"]).ids[0])
    here.client.export_bundle("wiki", file)
    with BundleReader(file) as bundle:
        definition, *rest = bundle
    name = here.client.community("wiki")["community"].hex()
    there.client.join(bytes.fromhex(name))
    there.client.request("import", community=name, messages=[definition.data])
    stripped = [each.data for each in rest if each.is_stripped][:30]
    reply = there.client.request("import", community=name, stripped=stripped)
    assert (reply["new"], reply["known"], reply["waiting"], reply["refused"]) == (0, 0, 30, {})
    done = there.client.import_bundle(file)
    # Whether those 30 were stored before the file brings them a second time is a matter of moments.
    assert (done.new + done.known, done.waiting, done.refused) == (122, 0, {})
    assert done.known < 32


def test_it_is_told_by_which_means_messages_came(network: Network) -> None:
    """Known ones too, so at least as many as there are."""
    here, there = network.nodes(2)
    made = here.client.create("wiki", DEFINITION)
    here.client.publish_many("wiki", [b"%d" % number for number in range(300)])
    there.client.join(made["community_id"], peers=[format_address(here.address)])
    name = made["community_id"].hex()
    there.client.wait_for_count(name, 300, timeout_s=60.0)
    network.run(5.0)
    came_by = there.client.community(name)["came_by"]
    assert sum(came_by.values()) >= 300, came_by
    assert came_by.keys() <= {*Means, "push", "name", "fragments"}
    assert not here.client.community("wiki")["came_by"]


def test_what_is_refused_is_told_by_reason(network: Network, tmp_path: Path) -> None:
    """Before the definition is there; by the rules; and once more when it was refused a moment ago."""
    here, there = two_apart(network)
    file = tmp_path / "wiki.bundle"
    here.client.publish_many("wiki", [b"one", b"two"])
    here.client.export_bundle("wiki", file)
    with BundleReader(file) as bundle:
        messages = [each.data for each in bundle]
    name = here.client.community("wiki")["community"].hex()
    there.client.join(bytes.fromhex(name))
    for _ in range(2):
        reply = there.client.request("import", community=name, messages=messages[1:])
        assert reply["refused"] == {"definition-unknown": 2}
    assert outcome(there.client.import_bundle(file)) == (3, 1, 0, {})


def test_what_came_to_count_again_goes_with_the_next_bundle(network: Network, tmp_path: Path) -> None:
    """It was denied when the first was made, and its cursor is older than the end of that one."""
    founder, editor, author, reader = network.nodes(4)
    network.partition([founder], [editor], [author], [reader])
    founder.client.create("wiki", DEFINITION)
    file = tmp_path / "wiki.bundle"

    def carry(source: Node, *targets: Node, since: int = 0) -> int:
        exported = source.client.export_bundle("wiki", file, since=since, overwrite=True)
        for target in targets:
            target.client.import_bundle(file, join=True)
        return exported.cursor

    carry(founder, editor, author)
    me = author.client.community("wiki")["member"]
    their = editor.client.community("wiki")["member"]
    founder.client.authorize("wiki", [me], kinds=["page"])
    founder.client.authorize("wiki", [their], kinds=["page"], permissions=["revoke"])
    carry(founder, editor, author)
    page = author.client.publish("wiki", [b"a page"], kind="page").ids[0]
    # Neither holds the page when it revokes.
    editor.client.revoke("wiki", [me], kinds=["page"], force=True)
    carry(editor, author)
    assert author.client.explain("wiki", page)["state"] == "denied"
    cursor = carry(author, reader)
    founder.client.revoke("wiki", [their], kinds=["page"], permissions=["revoke"], force=True)
    carry(founder, author)
    assert author.client.explain("wiki", page)["state"] == "shown"
    assert not reader.client.last("wiki", kind="page")
    carry(author, reader, since=cursor)
    assert [each.message_id for each in reader.client.last("wiki", kind="page")] == [page]
    with BundleReader(file) as bundle:
        assert len(list(bundle)) == 3


def test_a_full_disk_is_told_and_nothing_is_taken_for_stored(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = two_apart(network)
    file = tmp_path / "wiki.bundle"
    here.client.publish_many("wiki", [b"%d" % number for number in range(300)])
    here.client.export_bundle("wiki", file)
    commit = MemoryStore.commit

    def refuse(store: MemoryStore, batch: Batch) -> tuple[int, int]:
        if store.last_cursor() > 100:
            raise StorageError("the disk is full")
        return commit(store, batch)

    there.client.join(here.client.community("wiki")["community"])
    monkeypatch.setattr(MemoryStore, "commit", refuse)
    with pytest.raises(UsageError, match="129 messages were dealt with before, 129 of them new") as raised:
        there.client.import_bundle(file)
    assert raised.value.code == "storage"
    monkeypatch.undo()
    assert outcome(there.client.import_bundle(file)) == (173, 129, 0, {})


def test_a_portion_that_is_lost_is_sent_again(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker dies with it; and no more portions than there is room for are taken."""
    here, there = two_apart(network)
    file = tmp_path / "wiki.bundle"
    here.client.publish_many("wiki", [b"%d" % number for number in range(500)])
    count = here.client.export_bundle("wiki", file).count
    there.client.join(here.client.community("wiki")["community"])
    receive, losses = importing.Importing.receive, iter([False, True, True])

    def lose(own: importing.Importing, header: bytes, dropped: dict[str, int], records: bytes) -> int:
        if next(losses, False):
            return 0
        return receive(own, header, dropped, records)

    monkeypatch.setattr(importing.Importing, "receive", lose)
    monkeypatch.setattr(importing, "IMPORTS_MAX", 2)
    done = there.client.import_bundle(file)
    assert outcome(done) == (count, 0, 0, {})
    assert network.now >= importing.IMPORT_LIMIT_S


def test_long_messages_go_by_file_as_small_ones_do(network: Network, tmp_path: Path) -> None:
    """Larger than a page holds together, among small ones, one of them taken back."""
    here, there = network.nodes(2)
    network.partition([here], [there])
    definition = Definition("album", kinds=(Kind(number=64, name="photo", payload=LONG_PAYLOAD),))
    community = here.client.create("album", encode_definition(definition))["community_id"]
    sent = [bytes([number]) * (60_000 if number % 2 else 100) for number in range(40)]
    ids = [here.client.publish("album", [each], kind="photo").ids[0] for each in sent]
    here.client.undo("album", ids[7])
    file = tmp_path / "album.bundle"
    exported = here.client.export_bundle("album", file)
    there.client.join(community, name="album")
    done = there.client.import_bundle(file)
    assert outcome(done) == (exported.count, 0, 0, {})
    for number in (*range(7), *range(8, len(ids))):
        [held] = there.client.get("album", ids[number])
        assert held.payloads == (sent[number],)
    assert outcome(there.client.import_bundle(file)) == (0, exported.count, 0, {})
