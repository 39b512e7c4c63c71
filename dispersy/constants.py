"""The limits of queues, tables, loops and retries, each with why, and asserted against each other."""

DATAGRAM_SIZE_MAX = 1232
"""Fits IPv6's smallest MTU of 1,280 bytes with its headers."""
FRAMES_SIZE_MAX = 1182
"""What frames may fill of a datagram; the rest is kept free for link encryption."""
FRAMES_PER_DATAGRAM_MAX = 8
"""A frame can be two bytes, and each costs a look; nobody has reason to send more than a few."""
DATAGRAM_HEADER_SIZE = 18
TOKEN_SIZE = 8
TOKEN_DATAGRAM_SIZE = 28
MESSAGE_SIZE_MAX = 65_536
"""No message is longer, in any version."""
DATAGRAM_MESSAGE_SIZE_MAX = 1_090
"""A message of this size fits one datagram with its messages frame (envelope of at most 82 bytes). Longer
ones are *large*: answers name them, and they travel by fragments when asked for."""
FRAGMENT_SIZE = 1_152
"""Of every fragment of a message but its last: with its frame a datagram has room for a token frame beside
it."""
PAYLOADS_MAX = 255
SEQUENCE_MAX = GLOBAL_TIME_MAX = (1 << 63) - 1
"""A reader in a language without unsigned numbers of 64 bits can hold them."""
TOKEN_EPOCH_S = 600.0

FILTER_FILL_MAX = 0.60
FILTER_UNCODED_SIZE_MAX = 128 << 10
"""Bytes of a filter that comes coded: one datagram describes some 800 ids at the least error rate."""
FILTER_BITS_PER_SET_MAX = 2_048
"""Bits of a coded filter for each that is set, about twice what the least error rate takes: else a few bytes
would ask for 128 KiB."""
SCAN_MAX = 100_000
"""No request examines more ids than this."""
SELECTED_SCAN_MAX, SELECTED_SIZE_MAX = SCAN_MAX // 20, 4 << 20
"""Messages, and bytes of them, that one request for certain kinds makes its answerer read: honest ones ask
for what is rare, too."""
ANSWER_BUDGET_MAX = 64
"""Datagrams one request may ask for: what the default receive buffer of a Linux socket surely holds."""
ANSWERS_MAX = 128
"""Requests that a responder works off at once; to more the answer is busy."""
ANSWERS_PER_SOURCE_MAX = 32
"""Of these, of one address: so some four transfers are served at once."""
BUSY_PER_SECOND_MAX = 4
"""That one address is told: who asks in spite of it hears nothing."""
FRAGMENTS_AGAIN_MAX = 4
"""How many times all fragments of a message are given to one address: each may be lost now and then."""
FRAGMENTS_GIVEN_MAX = 4_096
FRAGMENTS_GIVEN_S = 3_600.0
"""Of how many messages and addresses it is remembered, and for how long."""
CLOCK_AHEAD_MAX = 10_000
"""How far ahead of our clock a message may lift it; also bounded by pruning."""
CLOCK_AHEAD_MIN = 100
"""It is never less: numbers that nobody stores, or that stopped counting, would hold our clock back. Whoever
signs one message could as well sign a hundred."""
LANE_ALLOWANCE = 64
LANE_ALLOWANCE_MAX = 200_000
"""Stored messages of misbehaving authors that may be looked at again: gained with every message taken in
(64 cost about what its signature does), and at most so many at once."""
LANE_MESSAGES_MAX = 1 << 30
LANE_SIZES_MAX = 1_024
"""Long irregular lanes whose length is remembered."""
WAITING_MAX = 2_048
WAITING_SOURCE_MAX = 1_024
WAITING_AUTHOR_MAX = 512
"""Messages that wait per community, and of them from one bucket of hosts and of one author: a newcomer that
fills from one neighbour may well get more from it at once than is permitted yet."""
WAITING_SIZE_MAX = 4 << 20
WAITING_SOURCE_SIZE_MAX = 2 << 20
WAITING_AUTHOR_SIZE_MAX = 1 << 20
"""Their bytes: as many as all of them have that fit a datagram, and some that do not."""
WANTED_MAX = 64
"""Things of each sort that a community asks its neighbours for by name at once."""
REFUSALS_MAX = 1_000
"""Refused messages per community of which it is remembered why: some 150 KB."""
BLOCKED_MAX = 1_024
"""Members and addresses that this node does not listen to: the whole list is written with each change."""
IMPORT_PORTION_MAX = 128
"""Messages of a file that a node is given at once: one batch for a verifier. A few of them, decided in any
order, still fit a waiting room."""
PURGE_ENTRIES_MAX = 1_024
"""Entries of the log that one commit looks at to remove a community's: some 20 ms, and others wait for it."""
PRUNED_PER_COMMIT_MAX = 1_024
"""Messages that one commit looks at, and that it removes, because they are old: some 20 ms."""
PRUNED_READ_MAX = 64
"""Of these, messages that are in memory at a time: at most 4 MiB, where all at once may be 64 MiB."""
SWEPT_PAGES_MAX, SWEPT_SIZE_MAX = 32, 4 << 20
"""Pages of sorted runs that a commit which removes messages looks through for what is gone, and the bytes of
the log that it reads for that."""
WAKE_INTERVAL_S = 10.0
"""Between two times that one community is asked to be loaded because somebody speaks to it."""
TRACKED_MAX, TRACKED_PEERS_MAX = 1_000, 100
"""Communities that a tracker knows, and members that it knows of each: some 100 MB if all are there."""
TRACKED_PER_HOST_MAX = 32
"""Communities that one host may have brought to a tracker: then the first of them makes room."""
TRACKER_STEP_S = 20.0
"""Between two steps of a tracker in one community: two or three members stay known where nobody asks."""
REQUESTS_KEPT = 100_000
"""Publish requests whose answer can be repeated; older request ids are refused."""
CANDIDATES_MAX = 1_000
"""Per community; the least useful leaves first."""
CANDIDATES_PER_HOST_MAX = 64
"""As many as may well share an address behind one NAT; loopback has no such limit, here and below."""

STEP_INTERVAL_S = 5.0
WALKED_LIFETIME_S = 57.5
STUMBLED_LIFETIME_S = 57.5
INTRODUCED_LIFETIME_S = 27.5
DISCOVERED_LIFETIME_S = 57.5
REVISIT_S = 27.5
FORMER_MAX = 16
"""Neighbours that were lost and are asked again: a few of either side join what was parted."""
FORMER_AGAIN_S, FORMER_AGAIN_MAX_S, FORMER_S = 30.0, 120.0, 86_400.0
"""After how long at first, and at most; for a day. All of them gone cost less than 200 bytes a second."""
PUNCTURES_PER_REQUEST_MAX = 3
PUNCTURE_TARGETS_MAX = 256
"""Addresses punctured a second, per community: what a flood of puncture-requests can make us send."""
EARLY_STEPS_MAX = 5
EARLY_STEP_INTERVAL_S = 0.4
"""A newcomer's first steps once it has met somebody: short sessions meet nobody at 5 s a step."""
LONELY_INTERVALS_S = (0.2, 0.5, 1.0, 2.0, STEP_INTERVAL_S)
"""Between steps while nobody is known; the last one repeats."""
SETTLING_S = 15.0
"""Without anything new, until a community counts as settled: three steps that found nothing."""
SETTLED_NEIGHBOURS = 8
"""From so many on a community is settled though it still finds more: in a large one that never ends."""
SETTLED_STEP_SHARE_S = 12.0
"""By how much every further settled community of a node lengthens the time between the steps of each."""
SETTLED_STEP_INTERVAL_MAX_S = 560.0
"""Well within the lifetime of tokens, which pings renew besides."""
TICK_S = 5.0
"""Between the moments at which a node does for all its communities what is not urgent."""
KEEP_ALIVE_S = 36.0
"""Of silence, after which a neighbour may be pinged; a tick later it is, and there is time for repetitions
and for an introduction-request before it would be forgotten."""
KEPT_MAX = 10
"""Neighbours kept alive per community: about as many as steps every 5 s keep."""
PING_RETRY_S = 1.0
"""Doubles with each retry."""
PING_RETRIES_MAX = 2
PINGS_ANSWERED_PER_SECOND_MAX = 4
"""Per address."""
CHALLENGE_S = 5.0
"""A neighbour that signed so lately is not asked whether it is still where it was."""
TWIN_TOLD_S = 10.0
"""Between two introductions of one member to its other address."""
TWINS_MAX = 64
"""Members within TWIN_TOLD_S that are told of their other address."""
WALK_REQUESTS_MAX = 64
WALK_REQUEST_LIFETIME_S = 10.0
"""As long as the slowest mobile links take for three datagrams each way."""
WALK_RETRIES_MAX = 3
WALK_RETRY_S = 1.0
"""Doubles with each retry."""
WALK_FAILURES_MAX = 2
"""Requests in a row without answer after which a candidate that once answered is dropped."""
TOKENS_MAX = 2 * CANDIDATES_MAX
"""Addresses whose token we keep; candidates' tokens leave last."""
INTRODUCTIONS_PER_SECOND_MAX = 10
"""Per address: 4 nudges, 4 answers to ours, and steps."""
INTRODUCTION_SOURCES_MAX = 1_024
"""Addresses a second whose signatures we check; only known candidates beyond it."""
INTRODUCTIONS_PER_HOST_MAX = 64
"""A second, from addresses of one host that are no candidates yet."""
VOTE_COUNT_S = 0.005
"""Per candidate, until votes on our address are counted again: a count looks at every candidate."""
NUDGE_INTERVAL_S = 0.25
NUDGED_MAX = 5
NUDGES_MAX = 64
"""Nudges whose answer is still taken."""
NUDGES_ANSWERED_MAX, NUDGES_ANSWERED_S = 2, 4.0
"""Nudges of one address that are answered in so many seconds: the others are heard all the same."""
BOOTSTRAP_ADDRESSES_MAX = 64
"""Addresses that a community is first looked for at."""

UPLOAD_RATE_MIN = 1_000
"""Bytes a second that a node may be held to: the walk of one community alone takes some hundred."""
UPLOAD_RATE_MAX = 1_250_000_000
UPLOADED_ANSWER_S = 0.75
"""Of the upload budget that one answer may take up: its asker waits a second or so for the whole of it."""

PULL_SOURCES_MAX = 64
"""Neighbours whose summaries wait to be pulled from, per community; the one heard longest ago leaves."""
PULL_SOURCES_PER_HOST_MAX = 8
PULL_SOURCE_LIFETIME_S = 120.0
PULL_BUDGET_MIN = 4
PARTNERS_MAX = 3
"""Neighbours that take part in what is pulled from one: four uplinks fill most downlinks, and more would ask
each for little."""
PARTNERS_MISSING_MIN = 1_000
"""Messages: less is here before a second neighbour's path is known."""
BACKLOG_MAX = 3_000
"""Messages on their way to the store above which no more are asked for: what two cores verify between three
commits."""
BACKLOG_STALL_S = 1.0
"""A backlog that does not move for so long is forgotten: its counts were lost with a role."""
REQUEST_TIMEOUT_START_S = 1.0
REQUEST_TIMEOUT_MIN_S = 0.2
REQUEST_TIMEOUT_MAX_S = 10.0
REQUEST_TIMEOUTS_MAX = 3
"""In a row, after which another source has its turn."""
LONE_TIMEOUTS_MAX = 8
"""In a row, after which a source is left alone although there is no other."""
ANSWER_TIME_MAX_S = 3.0
"""After a request its answer is over, whatever is still to come, unless the time-out is longer."""
IDLE_ANSWERS_MAX = 64
"""Answers with messages in a row of which the store takes none, after which a source is left alone."""
TURN_S = 5.0
TURN_MESSAGES_MIN = 256
"""A source whose messages reach the store slower than so many in TURN_S makes room for another's turn."""
TURN_MAX_S = 30.0
"""A turn ends after it in any case where others wait, and goes on later where it stopped."""
FRUITFUL_SHARE = 0.75
"""How often the next turn goes to those that brought something lately, where strangers wait too."""
SELECTIONS_RETRY_S = 30.0
"""Until a neighbour that did not answer for certain kinds is asked so again; meanwhile it gives all alike."""
PULL_GAPS_MAX = 1_024
"""Intervals that one transfer keeps for asking again; what overflows is found by the next pass."""
BACK_OFF_START_S = 0.25
BACK_OFF_MAX_S = 30.0
BEHIND_S = 15.0
"""How long a neighbour whose horizon is earlier than ours has to come up to it before we pull from it."""
TRANSFER_INTERVAL_S = 0.05
"""Between two transfers from one source: one that has something new all the time is still not alone."""
SETTLE_S = 0.1
"""How long we wait for a commit that shows what arrived, when all of it is said to be dealt with."""
SETTLE_MAX_S = 3.0
"""How long what arrived, and a full backlog, keep us from asking on in all."""
TIP_SIZE = 64
"""Of our newest messages: nearly every difference is above them."""
REPAIRS_MAX = 16
MET_MAX = 64
MET_PER_HOST_MAX = 8
"""Neighbours that a machine remembers to ask for something by name, in all and of one host."""
NAMED_IDS_MAX = 32
"""Ids of one request by name: they fit a datagram."""
NAMED_BUDGET_MAX = 32
"""Datagrams that one request by name asks for."""
NAMED_OUT_MAX = 128
"""Datagrams that all requests by name of a community may bring at once."""
NAMED_PER_NEIGHBOUR_MAX = 3
NAMED_PER_SECOND_MAX = 16
"""Requests by name a second, to one neighbour (which answers one more) and to all."""
NAMED_ROUNDS_MAX = 4
"""Times that all neighbours are asked for a thing; later only those that are met anew."""
NAMED_SETTLE_S = 0.5
"""What an answer brought is given so long to reach the store, before the next neighbour is asked."""
NAMED_EMPTY_SETTLE_S = 0.1
"""The same of an answer without messages to a fetch: the name of a large one may follow it."""
FETCH_MAX_S = 25.0
"""For how long an application may wait for what neighbours are asked for: less than its client waits."""
MISSING_PER_SECOND_MAX, MISSING_IN_ALL_MAX = 4, 256
MISSING_SOURCES_MAX = 256
"""Requests by name that are looked at a second, of one address, of all, and from how many: each brings many
datagrams for its few bytes."""
MISSING_DATAGRAMS_MAX = 128
MISSING_DATAGRAMS_IN_ALL_MAX = 1_024
"""Datagrams a second that answer requests by name, to one address and to all."""
LARGE_NAMED_MAX = 2_048
LARGE_NAMED_PER_SOURCE_MAX = 256
"""Large messages of a community that are to be fetched, in all and named by one source: what overflows is
named again when sets are compared the next time."""
LARGE_FAILED_MAX = 1_024
LARGE_FAILED_S = 60.0
"""What a source did not deliver is not asked of it again for so long, and of how many it is remembered."""
LARGE_SILENCE_S = 10.0
"""A source that was asked and sent no fragment for so long is left alone: for 2 s, and twice as long with
each further one between which it gave less than FRAGMENTS_FIRST fragments, up to LARGE_FAILED_S."""
LARGE_STORED_S = 10.0
"""A whole message is given so long to reach the store; then it was no good, or waits for what permits it."""
ASSEMBLIES_SIZE_MAX = 4 << 20
ASSEMBLY_SIZE_PER_SOURCE_MAX = 256 << 10
"""Bytes of large messages that are not whole yet, of a process and of one source: what 20 Mbit/s take in a
round trip of 100 ms."""
REMAINS_SIZE_MAX = 4 << 20
REMAINS_TIME_MAX_S = 86_400.0
SEPARATED_MAX, SEPARATED_PER_HOST_MAX = 4_096, 64
"""Bytes of what came of large messages that were interrupted, of a process, of one host as above, and for how
long it is kept; messages of which it is remembered that what several gave of them was not what was named, in
all, and of those that one host gave the last part of."""
ASSEMBLY_EVICTED_S = 5.0
"""After which one makes room for others, where there is none."""
ASSEMBLY_TIME_MAX_S = 300.0
"""64 KiB at 5 kbit/s take 105 s with nothing beside them."""
FRAGMENTS_PER_REQUEST_MAX = 16
FRAGMENTS_FIRST = 8
"""That one request asks for at most, and the very first one of a source."""
SYMBOL_SETS_MAX = 4
"""Sets of a community that were described lately and of which further symbols may be asked: 104 KB."""
SYMBOL_BURST_MAX = 256
"""Datagrams with messages that follow symbols at once: what 20 Mbit/s carry in some 100 ms."""
SYMBOL_ROUNDS_MAX = 3
"""Times that what symbols told is asked for without any of it coming."""
SYMBOL_SETS_CHANGED_MAX = 2
"""Times that a neighbour's set may change under our hands."""
SYMBOL_SILENCES_MAX = 2
"""In a row, after which other means are tried: some version may not speak of symbols."""
ASKED_FIRST_S = 0.25
HELD_BACK_MAX_S = 1.0
"""Whoever is not the first to ask leaves it to the other for so long, and for so long in twice that time."""
SYMBOL_SET_MIN = 1_000
"""Messages below which a filter of all of them is no larger than symbols are."""
SYMBOL_DIFFERENCES_MAX = 1_400
"""What the symbols that are kept can tell; of more, ranges are cheaper too."""
SYMBOLS_ANSWERED_MAX = 32
SYMBOLS_ANSWERED_IN_ALL_MAX = 128
SYMBOLS_SOURCES_MAX = 256
"""Symbols-requests a second that are answered, of one address, of all, and from how many: what follows a
large description are some ten of them at once."""
KEYED_RANGE_MAX = 4_096
KEYED_RANGE_MIN = 64
"""Messages of ours that one description under a key of its own sums up, and those that are told cheaper by a
filter."""
KEYED_DIFFERENCES = 32
"""That a range is cut to: its symbols tell 48 in 95 of 100 cases."""
KEYED_SCAN_MAX = 2 * KEYED_RANGE_MAX
"""Ids that such a request makes its answerer look at: some 20 ms."""
KEYED_UNDER_WAY_MAX = 4
KEYED_TRIES_MAX = 3
"""Times that one range is described before it is left to filters: its answer may be lost, or be no good."""
KEYED_REQUESTS_MAX = 64
"""In one course, beside twice as many as there are ranges: who answers always that too much differs makes us
describe everything in ever smaller parts."""
KEYED_SILENCES_MAX = 2
KEYED_BUSY_MAX = 64
"""Answers that are busy, in one course."""
KEYED_GIVEN_MAX = 2_048
"""Messages that a neighbour is given unasked because symbols said that it lacks them, in one course."""
KEYED_ANSWERED_MAX = 8
KEYED_ANSWERED_IN_ALL_MAX = 32
"""Ranges a second whose symbols are answered, of one address and of all."""
TREE_SET_MIN = 8_192
"""Messages below which a filter of all of them is little more than what a tree tells."""
TREE_NODES_MAX = 64
"""That are looked into, below the first: what more would cost is about what filters do."""
TREE_PARTLY_MAX = 4
"""Children of one node that differ and are partly held, and are looked into even if all of them are."""
TREE_GAPS_MAX = 64
"""Ranges that one course is given."""
TREE_SILENCES_MAX = 2
"""In a row, after which other means are tried: some version may not speak of trees."""
TREES_ANSWERED_MAX = 16
TREES_ANSWERED_IN_ALL_MAX = 64
TREES_SOURCES_MAX = 256
"""Tree-requests a second that are answered, of one host, of all, and from how many: a million messages are
narrowed down with some five, and each costs up to a thousand look-ups."""
SHARED_EXCHANGE_S = 2.0
"""For so long a neighbour that has described its set to us is not asked: it sends us what we lack."""
DRAWS_S = 1.0
"""For so long whoever asked us for ranges is taken to be fetching what it lacks."""
FILTER_ERROR_MIN = 0.001
FILTER_ERROR_MAX = 0.3
FILTER_ERROR_RATIO = 0.0055
"""Error rate = this times held / missing, between the two above: a wrong positive costs some 27 bytes of
symbols, and half the rate a bit for every held id."""
FILTER_ERROR_ALONE = 1 / 128
"""At most, where no other request will find a wrong positive: it costs another round trip."""
FILTER_SIZE_MIN = 64
"""Bytes of one that is not coded; the fill of a smaller one strays too far from its mean and is refused."""

AUDIT_IDS_MAX = 100_000
AUDIT_CHANCE = 1 / 256
AUDIT_INTERVAL_S = 3600.0
AUDITED_MAX = 1_024
"""Neighbours whose last audit is remembered."""
AUDIT_TIMEOUT_S = 5.0

SOCKET_PATH_MAX = 107
CLIENT_SOCKETS = frozenset({"control", "events"})
"""Those that applications use: always files, whatever processes the roles are in."""
"""sockaddr_un.sun_path, less its terminating zero."""
LMDB_MAP_SIZE = 1 << 40
STORE_READERS_MAX = 254
"""Read transactions of all processes at once; a reader's slot is 64 bytes."""
SYMBOLS_KEPT = 2_048
"""Coded symbols of each community's live set that the store keeps: they tell about 1,400 differences."""
SYMBOL_CHANGES_MAX = 200
"""Changes of a live set that the store lists before it writes all symbols anew: with more the list would fill
a page of its own."""
SORTED_INSERT_MAX = 64
"""Up to this many entries are put into a sorted list one by one; more are cheaper to sort in."""
RUN_RECORDS = 32_768
"""Messages between two sorted runs of the store: what a start replays, and what the tail in memory holds."""
RUNS_MERGED = 8
"""Runs that are merged into one, once; a look-up seeks in each run there is."""

assert DATAGRAM_HEADER_SIZE + FRAMES_SIZE_MAX <= DATAGRAM_SIZE_MAX
assert DATAGRAM_MESSAGE_SIZE_MAX + 2 + 82 <= FRAMES_SIZE_MAX
assert FRAGMENT_SIZE + 3 + 8 + 10 <= FRAMES_SIZE_MAX  # Frame header, number, size and index, a token frame.
# A request names fragments in 64 bits, and may ask for all of a message.
assert -(-MESSAGE_SIZE_MAX // FRAGMENT_SIZE) <= ANSWER_BUDGET_MAX
assert TOKEN_DATAGRAM_SIZE == DATAGRAM_HEADER_SIZE + 2 + TOKEN_SIZE
assert AUDIT_IDS_MAX <= SCAN_MAX
assert SELECTED_SCAN_MAX <= SCAN_MAX
assert KEYED_RANGE_MIN < KEYED_RANGE_MAX <= KEYED_SCAN_MAX <= SCAN_MAX
assert MESSAGE_SIZE_MAX <= ASSEMBLY_SIZE_PER_SOURCE_MAX <= ASSEMBLIES_SIZE_MAX
assert FRAGMENTS_PER_REQUEST_MAX <= ANSWER_BUDGET_MAX
assert LARGE_NAMED_PER_SOURCE_MAX < LARGE_NAMED_MAX
assert MESSAGE_SIZE_MAX <= WAITING_AUTHOR_SIZE_MAX <= WAITING_SOURCE_SIZE_MAX <= WAITING_SIZE_MAX
assert WANTED_MAX <= WAITING_AUTHOR_MAX <= WAITING_SOURCE_MAX < WAITING_MAX
assert PULL_BUDGET_MIN <= ANSWER_BUDGET_MAX
assert PULL_SOURCES_PER_HOST_MAX < PULL_SOURCES_MAX
assert MET_PER_HOST_MAX < MET_MAX
assert NAMED_BUDGET_MAX <= ANSWER_BUDGET_MAX <= MISSING_DATAGRAMS_MAX
assert NAMED_PER_NEIGHBOUR_MAX < MISSING_PER_SECOND_MAX
assert CANDIDATES_PER_HOST_MAX < CANDIDATES_MAX
assert INTRODUCTIONS_PER_HOST_MAX < INTRODUCTION_SOURCES_MAX
assert TURN_S <= TURN_MAX_S
assert WALK_REQUEST_LIFETIME_S < REVISIT_S
# A ping at the latest tick, its repetitions, and an introduction-request repeated twice: then it lapses.
_LAST_PING_S = KEEP_ALIVE_S + 2 * TICK_S
assert _LAST_PING_S + PING_RETRY_S * (2 ** (PING_RETRIES_MAX + 1) - 1) + 3 * WALK_RETRY_S < WALKED_LIFETIME_S
assert WALKED_LIFETIME_S <= STUMBLED_LIFETIME_S
assert SETTLED_STEP_INTERVAL_MAX_S < TOKEN_EPOCH_S
