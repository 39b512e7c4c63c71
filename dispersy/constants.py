"""The limits of every queue, table, loop and retry, in one place, each with why; asserted against each other."""

DATAGRAM_SIZE_MAX = 1232
"""Fits IPv6's smallest MTU of 1,280 bytes with its headers."""
FRAMES_SIZE_MAX = 1182
"""What frames may fill of a datagram; the rest is kept free for link encryption."""
DATAGRAM_HEADER_SIZE = 18
TOKEN_SIZE = 8
TOKEN_DATAGRAM_SIZE = 28
MESSAGE_SIZE_MAX = 1090
"""A message fits one datagram with its messages frame (envelope of at most 82 bytes)."""
PAYLOADS_MAX = 255
TOKEN_EPOCH_S = 600.0

FILTER_FILL_MAX = 0.60
SCAN_MAX = 100_000
"""No request examines more ids than this."""
ANSWER_BUDGET_MAX = 64
"""Datagrams one request may ask for: what the default receive buffer of a Linux socket surely holds."""
CLOCK_AHEAD_MAX = 10_000
"""How far ahead of our clock a message may lift it; also bounded by pruning."""
WAITING_MAX = 1_000
WAITING_AUTHOR_MAX = 100
"""Messages that wait per community, and per author in it; the oldest leaves first."""
REQUESTS_KEPT = 100_000
"""Publish requests whose answer can be repeated; older request ids are refused."""
CANDIDATES_MAX = 1_000
"""Per community; the least useful leaves first."""

STEP_INTERVAL_S = 5.0
WALKED_LIFETIME_S = 57.5
STUMBLED_LIFETIME_S = 57.5
INTRODUCED_LIFETIME_S = 27.5
DISCOVERED_LIFETIME_S = 57.5
REVISIT_S = 27.5
PUNCTURES_PER_REQUEST_MAX = 3

AUDIT_IDS_MAX = 100_000
AUDIT_CHANCE = 1 / 256
AUDIT_INTERVAL_S = 3600.0

SOCKET_PATH_MAX = 107
"""sockaddr_un.sun_path, less its terminating zero."""
LMDB_MAP_SIZE = 1 << 40

assert DATAGRAM_HEADER_SIZE + FRAMES_SIZE_MAX <= DATAGRAM_SIZE_MAX
assert MESSAGE_SIZE_MAX + 2 + 82 <= FRAMES_SIZE_MAX
assert TOKEN_DATAGRAM_SIZE == DATAGRAM_HEADER_SIZE + 2 + TOKEN_SIZE
assert AUDIT_IDS_MAX <= SCAN_MAX
