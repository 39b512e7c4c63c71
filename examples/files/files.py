"""Send files into a community, and receive them: a manifest with the SHA-256 of every piece, and the pieces.

    python files.py [--home HOME] send COMMUNITY FILE
    python files.py [--home HOME] receive COMMUNITY-OR-INVITE FOLDER [--count N]

`send` makes the community if this node has none of that name, and prints its invite. `receive` goes on until
it is interrupted, or has N files. What it has of a file stays in FOLDER/.pieces, so it may be ended and begun
again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from dispersy import BlockingCommunity, Client, UsageError, kind

PIECE_SIZE = 60_000
PIECES_MAX = 2_000
"""Their digests fit one message: 120 MB of file."""
DIGEST_SIZE = 32
DEFINITION_LIMIT_S = 60.0


class Manifest(msgspec.Struct):
    """A file: its name without folders, its size, and the SHA-256 of each piece, in order, one after
    another."""

    name: str
    size: int
    digests: bytes


class Files(BlockingCommunity):
    manifest = kind(64, Manifest, size_max=65_416)
    piece = kind(65, bytes, size_max=PIECE_SIZE)


def pieces_of(path: Path) -> Iterator[bytes]:
    """The pieces of a file, one by one: it need not fit into memory."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_SIZE):
            yield piece


def send(client: Client, name: str, path: Path) -> None:
    """Publish the manifest of a file, and then its pieces."""
    size = path.stat().st_size
    if size > PIECES_MAX * PIECE_SIZE:
        raise UsageError(f"{path} has {size} bytes; at most {PIECES_MAX * PIECE_SIZE} are sent", code="count")
    known = {entry["name"] for entry in client.communities()}
    files = Files.open(client, name) if name in known else Files.create(client, name)
    digests = b"".join(sha256(piece).digest() for piece in pieces_of(path))
    files.manifest.publish(Manifest(path.name, size, digests))
    count = files.piece.publish_many(pieces_of(path))
    print(f"{path.name}: {size} bytes in {count} pieces")
    peers = client.status()["addresses"]
    print(f"dispersy:{files.id.hex()}" + (f"?peer={peers[0]}" if peers else ""))


class Folder:
    """Where files are put together. A piece is taken by its digest, whoever sent it and whenever it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pieces = folder / ".pieces"
        self._pieces.mkdir(parents=True, exist_ok=True)
        self._wanted: dict[Path, Manifest] = {}

    def take_piece(self, piece: bytes) -> None:
        """Keep a piece until its file is whole."""
        self._keep(self._pieces / sha256(piece).hexdigest(), piece)

    def take_manifest(self, manifest: Manifest) -> None:
        """A file is to come. Its name is somebody else's word: it must not lead out of the folder."""
        name = Path(manifest.name).name
        is_whole = len(manifest.digests) % DIGEST_SIZE == 0
        if not name or name.startswith(".") or not is_whole:
            print(
                f"left out: {manifest.name!r} is no name of a file, or its digests are cut", file=sys.stderr
            )
        elif not (self._folder / name).exists():
            self._wanted[self._folder / name] = manifest

    def complete(self) -> list[Path]:
        """Put together all files whose pieces are here; they."""
        done = [path for path, manifest in self._wanted.items() if self._assemble(path, manifest)]
        for path in done:
            del self._wanted[path]
        return done

    def _assemble(self, path: Path, manifest: Manifest) -> bool:
        starts = range(0, len(manifest.digests), DIGEST_SIZE)
        parts = [self._pieces / manifest.digests[start : start + DIGEST_SIZE].hex() for start in starts]
        if not all(part.exists() for part in parts):
            return False
        whole = self._pieces / "whole"
        with whole.open("wb") as file:
            for part in parts:
                file.write(part.read_bytes())
        if whole.stat().st_size != manifest.size:
            print(f"left out: {path.name} says another size than its pieces have", file=sys.stderr)
            return True
        whole.replace(path)
        for part in parts:
            with suppress(FileNotFoundError):
                part.unlink()
        return True

    def _keep(self, path: Path, piece: bytes) -> None:
        # Under its name only when all of it is there: an interrupted write must not pass for a piece.
        half = self._pieces / "half"
        half.write_bytes(piece)
        half.replace(path)


def receive(client: Client, name: str, folder: Path, count: int | None) -> None:
    """Put files together as their pieces come, until there are so many."""
    if name.startswith("dispersy:"):
        community = name.removeprefix("dispersy:").partition("?")[0]
        peers = [part.removeprefix("peer=") for part in name.partition("?")[2].split("&") if part]
        client.join(bytes.fromhex(community), peers=peers)
        client.wait_for_definition(community, timeout_s=DEFINITION_LIMIT_S)
        name = community
    files, taken = Files.open(client, name), Folder(folder)
    for message in files.follow(since="begin"):
        if isinstance(message.payload, Manifest):
            taken.take_manifest(message.payload)
        else:
            taken.take_piece(message.payload)
        for path in taken.complete():
            print(path, flush=True)
            count = None if count is None else count - 1
        if count is not None and count <= 0:
            return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", default=None)
    commands = parser.add_subparsers(dest="command", required=True)
    sender = commands.add_parser("send")
    sender.add_argument("community")
    sender.add_argument("file", type=Path)
    receiver = commands.add_parser("receive")
    receiver.add_argument("community")
    receiver.add_argument("folder", type=Path)
    receiver.add_argument("--count", type=int, default=None)
    chosen = parser.parse_args()
    try:
        with Client(chosen.home) as client:
            if chosen.command == "send":
                send(client, chosen.community, chosen.file)
            else:
                receive(client, chosen.community, chosen.folder, chosen.count)
    except (UsageError, OSError) as error:
        sys.exit(f"files: {error}")


if __name__ == "__main__":
    main()
