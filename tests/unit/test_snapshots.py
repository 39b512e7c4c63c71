"""Goal: no snapshot stays open that nobody reads from: each pins the pages that a writer could use again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.ext.verify import public_key
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers import writer as writer_module
from dispersy.workers.loop import Loop
from dispersy.workers.worker import WorkerRole
from dispersy.workers.writer import WriterRole

SEED = bytes(range(32))
MASTER = public_key(SEED)
LIMIT_S = 60.0


class Until:
    """A role that ends the loop when something has happened, and fails when it does not."""

    name = "until"

    def __init__(self, happened: Callable[[], bool]) -> None:
        self._happened = happened

    def open(self, loop: Loop) -> None:
        limit = monotonic() + LIMIT_S

        def look() -> None:
            assert monotonic() < limit, "it did not happen"
            if self._happened():
                loop.stop()

        loop.every(0.01, look)

    def close(self) -> None:
        pass


@pytest.fixture
def settings(tmp_path: Path) -> RoleSettings:
    return RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1)


@pytest.fixture
def reader(settings: RoleSettings) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a snapshot of the store."""
    LmdbStore(settings.store_path).close()
    program = (
        "import sys; from dispersy.storage.lmdb_reader import LmdbReader\n"
        "reader = LmdbReader(sys.argv[1]); reader.refresh(); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-P", "-c", program, str(settings.store_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_the_writer_clears_readers_that_are_killed_while_it_runs(
    settings: RoleSettings, reader: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed must not make the file grow until the next start of the writer."""
    monkeypatch.setattr(writer_module, "READERS_CHECKED_S", 0.01)
    role = WriterRole(settings)

    def cleared() -> bool:
        if reader.poll() is None:
            # The writer is open by now: what its start clears is not what is tested.
            reader.kill()
            reader.wait(LIMIT_S)
        return bool(role._reporter.counters["readers-cleared"])

    Loop().run(role, Until(cleared))


def test_a_worker_has_no_snapshot_open_while_it_waits(settings: RoleSettings) -> None:
    """Taking communities in reads the store more than once: all of it is let go."""
    definition = create_message(
        CommunityId(MASTER),
        SEED + MASTER,
        kind=0,
        global_time=1,
        sequence=1,
        payloads=[encode_definition(default_definition("test"))],
        previous=NO_PREVIOUS,
    )
    store = LmdbStore(settings.store_path)
    store.commit(Batch(communities=[CommunityRecord(1, MASTER, "test", MASTER, definition)]))
    role = WorkerRole(settings, 0)

    def opened() -> bool:
        assert role._reader._txn is None, "a snapshot is open"
        return True

    Loop().run(role, Until(opened))
    store.close()
