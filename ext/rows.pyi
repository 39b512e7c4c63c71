"""Rows of the store's databases, made and taken apart in C over whole batches; layout: storage/layout.py."""

CONSTANTS: dict[str, int]
"""The numbers that the kernel is compiled with, under their names in Python, for comparing them."""

def block_rows(
    records: bytes, arena: bytes, marks: bytes, first_cursor: int, community: int, heads: dict[int, bytes]
) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]], bytes, bytes]:
    """(rows of the log, rows of the order, packed entries of the slots table, packed native u64 cursors) of
    messages with authors: the order's rows rise, all else is as the records are.

    records        packed message_records into arena
    marks          one byte a record; with ERASED the arena has a stripped message, and the row how many
                   payloads it had; ON_REQUEST puts it into the order's other part
    first_cursor   of the first one; each takes as many as it has payloads
    heads          what a row of the log begins with, by mark (layout.message_head)
    raises         ValueError for sizes that do not fit, records outside the arena, and messages without
                   payloads; KeyError for another mark
    """

def scanned(rows: list[tuple[bytes, bytes]], bound: bytes, *, descends: bool = False) -> tuple[bytes, bytes]:
    """(packed 40-byte keys, packed native u64 cursors) of rows of the order, as far as the bound.

    bound      with the community: keys below it are inside, or where rows descend those that are not
    raises     ValueError for what is no row of the order
    """

def id_keys(records: bytes) -> bytes:
    """The first 16 bytes of the ids of packed message_records; ValueError where these are not whole."""

def joined(batches: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """(packed message_records, arena) of several such pairs, one behind the other.

    raises     ValueError for records that are not whole, and arenas of more than 4 GB in all
    """

def has_author(records: bytes, arena: bytes, author: bytes) -> bool:
    """Whether one of the messages of packed message_records has this first author (32 bytes); what has no
    author at all may be taken for one that has. ValueError for sizes that do not fit, and records outside the
    arena."""

def ids_of(keys: bytes | bytearray) -> bytes:
    """The packed 32-byte ids of packed 40-byte keys; ValueError where these are not whole."""
