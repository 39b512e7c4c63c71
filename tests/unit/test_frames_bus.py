"""What roles say to each other comes out as it went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispersy.bus import frames as bus

addresses = st.binary(min_size=18, max_size=18)


@given(st.lists(st.tuples(addresses, st.binary(max_size=1232)), max_size=20))
def test_outbound_datagrams(items: list[tuple[bytes, bytes]]) -> None:
    """Goal: many datagrams in one part, empty ones too."""
    assert list(bus.unpack_outbound(bus.pack_outbound(items))) == items


@given(
    st.integers(0, 2**32 - 1),
    addresses,
    st.binary(min_size=8, max_size=8),
    st.integers(0, 255),
    st.binary(max_size=1182),
    st.binary(min_size=24, max_size=24) | st.just(b""),
)
def test_rare_frames(
    number: int, source: bytes, token: bytes, frame_type: int, body: bytes, summary: bytes
) -> None:
    """Goal: introductions, frames and neighbours come through, whatever bytes peers put into them."""
    introductions = [bus.Introduction(number, source, token, frame_type, body)] * 2
    assert bus.introductions_decoder.decode(bus.encode(introductions)) == introductions
    frames = [bus.SyncFrame(source, frame_type, body)]
    assert bus.sync_decoder.decode(bus.encode(frames)) == frames
    peers = [bus.PeerHeard(source, summary)]
    assert bus.peers_decoder.decode(bus.encode(peers)) == peers


@given(
    st.integers(0, 2**53),
    st.integers(0, 2**63),
    st.dictionaries(st.integers(0, 2**32 - 1), st.integers(0, 2**53)),
    st.dictionaries(st.integers(0, 2**32 - 1), st.binary(min_size=24, max_size=24)),
)
def test_commit_notes(
    last_cursor: int, version: int, processed: dict[int, int], summaries: dict[int, bytes]
) -> None:
    """Goal: numbers of communities stay numbers as keys of a map."""
    note = bus.CommitNote(last_cursor, version, processed, summaries)
    assert bus.commit_decoder.decode(bus.encode(note)) == note
