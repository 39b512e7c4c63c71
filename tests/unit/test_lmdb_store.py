"""What only a store on disk has to stand: crashes, full disks, foreign files, two writers, dead readers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path

import lmdb
import msgspec
import pytest

from dispersy.errors import StorageError
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.storage import answered
from dispersy.storage.lmdb_store import LmdbReader, LmdbStore
from dispersy.storage.store import Batch, CommunityRecord, RequestRecord
from tests.oracle.store import Sample, block

AUTHOR = b"a" * 32
JOINED = CommunityRecord(1, b"c" * 32, "name", b"m" * 32)
DEADLINE_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(path, run_records=100)
    opened.commit(Batch(communities=[JOINED]))
    yield opened
    opened.close()


def commit_samples(store: LmdbStore, first: int, number: int, *, size: int = 0) -> None:
    samples = [Sample(AUTHOR, 64, at, at, size=size) for at in range(first, first + number)]
    store.commit(Batch(blocks=[block(1, samples)]))


def sequences(store: LmdbStore) -> list[int]:
    return [entry.sequence for entry in store.lane(1, AUTHOR, 64)]


def write_stamp(path: Path, stamp: object) -> None:
    environment = lmdb.open(str(path), max_dbs=8)
    with environment.begin(write=True) as txn:
        txn.put(b"format", msgspec.msgpack.encode(stamp), db=environment.open_db(b"meta", txn=txn))
    environment.close()


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


WRITER = """
import sys
from hashlib import sha256
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, MessageBlock
store = LmdbStore(sys.argv[1], run_records=20)
number = store.state(1).summary.count
while True:
    number += 1
    message = bytes([64, 0]) + b"a" * 32 + bytes([number & 127 | 128, number >> 7]) * 2 + bytes([1, 0])
    if number < 128:
        message = bytes([64, 0]) + b"a" * 32 + bytes([number]) * 2 + bytes([1, 0])
    name = sha256(message).digest()
    record = MESSAGE.pack(0, len(message), number, number, 0, 64, 0, 1, 1, 0, 0, name, bytes(32))
    store.commit(Batch(blocks=[MessageBlock(1, record, message, bytes(1), 0)], clocks={1: number}))
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_kill(path: Path) -> None:
    """Goal: kill -9 in the middle of commits loses nothing that commit() returned for, and no wholeness."""
    with_community = LmdbStore(path)
    with_community.commit(Batch(communities=[JOINED]))
    with_community.close()
    acknowledged = 0
    for round_number in range(4):
        writer = start(WRITER, str(path))
        assert writer.stdout is not None
        assert writer.stdin is not None
        for _ in range(37 + 20 * round_number):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.wait(DEADLINE_S)
        writer.stdout.close()
        writer.stdin.close()
        store = LmdbStore(path, run_records=20)
        number = store.state(1).summary.count
        # One more may have become durable without the writer's word.
        assert acknowledged <= number <= acknowledged + 1
        assert sequences(store) == list(range(1, number + 1))
        keys, _, ended = store.scan(1, ORDER_LOW, ORDER_TOP, 1 << 20)
        assert (len(keys) // 40, ended) == (number, True)
        assert store.heads.get(1, AUTHOR, 64) == (number, number, False)
        assert store.state(1).clock == number
        assert store.last_cursor() == number
        store.close()


def test_a_second_writer_is_refused(store: LmdbStore, path: Path) -> None:
    """Goal: two writers can never interleave, in one process or in two, and the message says who holds it."""
    with pytest.raises(StorageError, match=f"{path}: a second writer; process {os.getpid()}"):
        LmdbStore(path)
    other = start(WRITER, str(path))
    assert other.wait(DEADLINE_S) != 0
    assert other.stdout is not None
    assert other.stdin is not None
    other.stdout.close()
    other.stdin.close()
    commit_samples(store, 1, 1)
    assert sequences(store) == [1]


def test_a_full_map_takes_nothing_and_the_store_goes_on(path: Path) -> None:
    """Goal: a batch that does not fit leaves no trace, on disk or in memory, and smaller ones still fit."""
    store = LmdbStore(path, map_size=1 << 20, run_records=50)
    store.commit(Batch(communities=[JOINED]))
    commit_samples(store, 1, 10, size=500)
    before = (store.state(1), store.last_cursor(), sequences(store))
    with pytest.raises(StorageError, match=f"{path}: the store's map is full"):
        commit_samples(store, 11, 5_000, size=1_000)
    assert (store.state(1), store.last_cursor(), sequences(store)) == before
    with pytest.raises(StorageError, match="reload"):
        commit_samples(store, 11, 1)
    store.reload()
    assert (store.state(1), store.last_cursor(), sequences(store)) == before
    commit_samples(store, 11, 1)
    assert sequences(store) == list(range(1, 12))
    store.close()


def test_a_full_disk_is_named(path: Path) -> None:
    """Goal: a disk that takes no more is a StorageError with the path; here by a limit on file sizes."""
    program = """
import resource, signal, sys
from dispersy.errors import StorageError
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = LmdbStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    for number in range(1000):
        store.commit(Batch(communities=[CommunityRecord(number, bytes(32), "x" * 4096, bytes(32))]))
except StorageError as error:
    print(error)
"""
    process = start(program, str(path))
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert output.startswith(f"{path}: ")
    assert process.returncode == 0


def test_our_own_bug_changes_nothing(store: LmdbStore) -> None:
    """Goal: a batch with a message that is live already is refused whole."""
    commit_samples(store, 1, 3)
    with pytest.raises(AssertionError, match="live already"):
        commit_samples(store, 3, 2)
    store.reload()
    assert sequences(store) == [1, 2, 3]
    assert store.last_cursor() == 3


def test_a_foreign_file_is_refused(path: Path) -> None:
    """Goal: neither garbage nor another program's database is taken for a store, or changed."""
    path.mkdir()
    (path / "data.mdb").write_bytes(b"garbage" * 3000)
    with pytest.raises(StorageError, match=f"^{path / 'data.mdb'}: not an LMDB file; restore a backup"):
        LmdbStore(path)
    (path / "data.mdb").unlink()
    environment = lmdb.open(str(path))
    with environment.begin(write=True) as txn:
        txn.put(b"somebody", b"else's")
    environment.close()
    for opener in (LmdbStore, LmdbReader):
        with pytest.raises(StorageError, match="not a store of Dispersy"):
            opener(path)


@pytest.mark.parametrize(
    ("stamp", "words"),
    [
        ({"name": "dispersy store", "version": 5}, "newer Dispersy"),
        ({"name": "dispersy store", "version": 0}, "older Dispersy"),
        ({"name": "shop", "version": 1}, "'shop', not a store"),
        ({"version": 1}, "not a store"),
        (["dispersy store"], "not a store"),
    ],
)
def test_another_format_is_refused(path: Path, stamp: object, words: str) -> None:
    """Goal: a store of another format is left alone, and the user learns which way it differs."""
    path.mkdir()
    write_stamp(path, stamp)
    with pytest.raises(StorageError, match=words):
        LmdbStore(path)


def go_back_to(version: int, path: Path) -> None:
    """Make a store what an older version wrote."""
    environment = lmdb.open(str(path), max_dbs=8)
    with environment.begin(write=True) as txn:
        for name in (b"control", b"retired")[version - 1 :]:
            txn.drop(environment.open_db(name, txn=txn))
        stamp = {"name": "dispersy store", "version": version, "created": 1}
        txn.put(b"format", msgspec.msgpack.encode(stamp), db=environment.open_db(b"meta", txn=txn))
    environment.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_a_version_before_is_brought_up_to_date(path: Path, version: int) -> None:
    """Goal: its control messages are found, and what is not live; a reader says what to do first."""
    control = [Sample(AUTHOR, kind, 10 - kind, 1 + kind) for kind in range(5)]
    with closing(LmdbStore(path, run_records=2)) as store:
        store.commit(Batch(communities=[JOINED]))
        store.commit(Batch(blocks=[block(1, control)]))
        commit_samples(store, 1, 3)
        store.commit(Batch(unlive=[2, 7]))
        expected = store.control(1)
        assert store.retired(1, 64, 1_000, 9) == ([7], True)
    assert [entry.cursor for entry in expected] == [5, 4, 3, 2, 1]
    go_back_to(version, path)
    with pytest.raises(StorageError, match=f"{path}: written by an older Dispersy; start the node once"):
        LmdbReader(path)
    for _ in range(2):
        with closing(LmdbStore(path)) as store, closing(LmdbReader(path)) as reader:
            assert store.control(1) == reader.control(1) == expected
            # All but the one that is not live.
            assert list(store.live_control(1)) == list(reader.live_control(1)) == [4, 3, 2, 0]
            assert store.retired(1, 64, 1_000, 9) == ([7], True)
            assert sequences(store) == [1, 3]
            assert store.state(1).summary.count == 6


def test_a_message_that_an_older_version_stored_twice_is_one(path: Path) -> None:
    """Goal: of what was stored anew after it was no longer live, lanes tell the one that counts."""
    with closing(LmdbStore(path)) as store:
        store.commit(Batch(communities=[JOINED]))
        commit_samples(store, 1, 3)
        for end_again in (False, True):
            store.commit(Batch(unlive=[store.slot(1, AUTHOR, 64, 2)[0].cursor]))
            commit_samples(store, 2, 1)
            if end_again:
                store.commit(Batch(unlive=[5]))
            lane = list(store.lane(1, AUTHOR, 64, unlive=True))
            assert [(entry.sequence, entry.cursor, entry.live) for entry in lane] == [
                (1, 1, True),
                (2, 5 if end_again else 4, not end_again),
                (3, 3, True),
            ]
            assert store.slot(1, AUTHOR, 64, 2, unlive=True) == [lane[1]]


def test_what_is_no_longer_live_is_found_after_a_restart(path: Path) -> None:
    """Goal: whatever has become of a message, its lane knows it, and it can live again under its cursor."""
    with closing(LmdbStore(path)) as store:
        store.commit(Batch(communities=[JOINED]))
        commit_samples(store, 1, 3)
        store.commit(Batch(unlive=[3]))
    with closing(LmdbStore(path)) as store:
        assert [entry.live for entry in store.lane(1, AUTHOR, 64, unlive=True)] == [True, True, False]
        assert sequences(store) == [1, 2]
        assert store.heads.get(1, AUTHOR, 64) == (3, 3, False)
        store.commit(Batch(relive=[(3, 0)]))
        assert sequences(store) == [1, 2, 3]
        assert store.last_cursor() == 3


def test_nothing_there_is_no_store_for_a_reader(path: Path) -> None:
    """Goal: a reader never makes a store, and says what to do."""
    with pytest.raises(StorageError, match="no store here"):
        LmdbReader(path)
    assert not path.exists()


def test_a_reader_sees_its_snapshot_until_it_refreshes(store: LmdbStore, path: Path) -> None:
    """Goal: a reader's answers belong together, and refresh() or release() brings the news."""
    reader = LmdbReader(path)
    reader.refresh()
    commit_samples(store, 1, 5)
    assert (reader.last_cursor(), reader.state(1).summary.count) == (0, 0)
    reader.refresh()
    assert (reader.last_cursor(), reader.state(1).summary.count) == (5, 5)
    commit_samples(store, 6, 1)
    reader.release()
    assert reader.last_cursor() == 6
    reader.close()


def test_killed_readers_are_cleared(store: LmdbStore, path: Path) -> None:
    """Goal: the snapshot of a killed reader does not pin pages for ever."""
    program = (
        "import sys; from dispersy.storage.lmdb_store import LmdbReader\n"
        "reader = LmdbReader(sys.argv[1]); reader.refresh(); print('open', flush=True); sys.stdin.read()"
    )
    process = start(program, str(path))
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "open\n"
    process.kill()
    process.wait(DEADLINE_S)
    process.stdout.close()
    process.stdin.close()
    assert store.clear_dead_readers() == 1
    assert store.clear_dead_readers() == 0


def test_a_store_is_not_carried_across_fork(store: LmdbStore) -> None:
    """Goal: a forked child that reads dies of our assertion, not of a damaged file."""
    store.release()
    child = os.fork()
    if child == 0:
        try:
            store.last_cursor()
        except AssertionError:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


def test_old_requests_are_pruned_in_small_steps(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the newest requests are kept, older ones leave without a long commit."""
    monkeypatch.setattr(answered, "REQUESTS_KEPT", 1_000)
    all_requests = [RequestRecord(number.to_bytes(16, "big"), number, 1) for number in range(1, 5_001)]
    store.commit(Batch(requests=all_requests[:1_000]))
    monkeypatch.setattr(answered, "REQUESTS_KEPT", 100)
    assert store.requests() == all_requests[900:1_000]
    left = []
    for number in range(1_000, 1_020):
        store.commit(Batch(requests=[all_requests[number]]))
        left.append(store._environment.begin().stat(store._databases.requests)["entries"])
    removed = [before - after for before, after in pairwise(left)]
    assert all(0 <= number <= answered.REQUESTS_PRUNED_MAX for number in removed)
    assert left[-1] == 100
    assert store.requests() == all_requests[920:1_020]


def test_runs_are_merged_and_still_found(path: Path) -> None:
    """Goal: look-ups find what is in base runs, in merged ones and in the tail, after a restart too."""
    store = LmdbStore(path, run_records=300)
    store.commit(Batch(communities=[JOINED]))
    authors = [bytes([number]) * 32 for number in range(7)]
    samples = [Sample(authors[at * 31 % 7], 64, at, at) for at in range(1, 10_001)]
    numbers = count(0, 100)
    while chosen := samples[(at := next(numbers)) : at + 100]:
        store.commit(Batch(blocks=[block(1, chosen[::-1])]))
    for _ in range(2):
        ids = b"".join(sample.message_id for sample in samples)
        cursors = store.find_ids(ids)
        assert None not in cursors
        assert len(set(cursors)) == len(samples)
        assert store.find_ids(bytes(32)) == [None]
        for author in authors:
            expected = [sample.sequence for sample in samples if sample.author == author]
            assert [entry.sequence for entry in store.lane(1, author, 64)] == expected
            for sequence in expected[::97]:
                assert [entry.sequence for entry in store.slot(1, author, 64, sequence)] == [sequence]
                lower, higher = store.neighbours(1, author, 64, sequence)
                assert (lower.sequence if lower else 0) == max(
                    (s for s in expected if s < sequence), default=0
                )
                assert (higher.sequence if higher else 0) == min(
                    (s for s in expected if s > sequence), default=0
                )
        assert store.slot(1, authors[0], 65, 7) == []
        store.close()
        store = LmdbStore(path, run_records=300)
    store.close()


@pytest.mark.parametrize("opener", [LmdbStore, LmdbReader])
def test_a_file_that_was_cut_off_is_refused(path: Path, opener: Callable[[Path], LmdbReader]) -> None:
    """Goal: whoever opens it is told, before a page that is not there ends the process by SIGBUS."""
    with closing(LmdbStore(path)) as store:
        store.commit(Batch(communities=[JOINED]))
        commit_samples(store, 1, 100, size=500)
    file = path / "data.mdb"
    os.truncate(file, file.stat().st_size - 4096)
    with pytest.raises(StorageError, match=f"{file}: cut off, .*restore a backup"):
        opener(path)


def test_a_broken_record_is_named(store: LmdbStore, path: Path) -> None:
    """Goal: what LMDB cannot see, a record with flipped bits, is a StorageError too, and not our own bug."""
    with store._environment.begin(write=True) as txn:
        txn.put(b"community" + (1).to_bytes(4, "big"), b"\xc1 rubbish", db=store._databases.meta)
    store.refresh()
    with pytest.raises(StorageError, match=f"{path}: a record in the store is damaged"):
        store.communities()


def test_runs_do_not_grow_with_what_is_gone(path: Path) -> None:
    """Goal: however many messages came and went, the runs name about what is there, and it is found."""
    kept, portion, rounds = 200, 100, 16
    with closing(LmdbStore(path, run_records=100)) as store:
        store.commit(Batch(communities=[JOINED]))
        for last in range(portion, rounds * portion + 1, portion):
            commit_samples(store, last + 1 - portion, portion)
            old = [entry.cursor for entry in store.lane(1, AUTHOR, 64) if entry.sequence <= last - kept]
            store.commit(Batch(inactive=old))
            store.commit(Batch(removed=old))
        left = list(range(1 + rounds * portion - kept, 1 + rounds * portion))
        assert sequences(store) == left
    with closing(lmdb.open(str(path), max_dbs=16)) as environment, environment.begin() as txn:
        runs = environment.open_db(b"runs", txn=txn, create=False)
        size = sum(len(page) for _, page in txn.cursor(runs))
    assert size < 2 * 64 * kept
    with closing(LmdbStore(path)) as again:
        assert sequences(again) == left


@pytest.mark.parametrize(
    "read",
    [
        lambda reader: reader.last_cursor(),
        lambda reader: reader.refresh(),
        lambda reader: reader.communities(),
        lambda reader: list(reader.lane(1, AUTHOR, 64)),
        lambda reader: reader.slot(1, AUTHOR, 64, 1),
    ],
    ids=["last_cursor", "refresh", "communities", "lane", "slot"],
)
def test_whatever_a_read_meets_names_the_path(
    read: Callable[[LmdbStore], object], store: LmdbStore, path: Path
) -> None:
    """Goal: an error of LMDB is one of the store wherever it comes up: here the file is closed under it."""
    commit_samples(store, 1, 3)
    store.last_cursor()
    environment = store._environment
    environment.lmdb.close()
    try:
        with pytest.raises(StorageError, match=f"{path}: .*closed"):
            read(store)
    finally:
        environment.lmdb = lmdb.open(str(path), max_dbs=8)
