# Heads, the second class of table.pyx, with that file's imports, limits and hash.
# A lane is what one author, or one ordered pair of authors, says in one kind of one community.

cdef enum:
    LANE_WORDS = 5

cdef struct head:
    uint64_t lane[LANE_WORDS]  # name, then community << 8 | kind; all ones in the last marks a free slot
    uint64_t sequence
    uint64_t global_time
    uint8_t irregular
    uint8_t changed


cdef inline bint _is_free(const head *slot) noexcept nogil:
    return slot.lane[LANE_WORDS - 1] == UINT64_MAX


cdef inline void _set_lane(
    head *slot, const uint8_t *name, uint32_t community, uint8_t kind,
) noexcept nogil:
    memcpy(slot.lane, name, AUTHOR_SIZE)
    slot.lane[LANE_WORDS - 1] = <uint64_t>community << 8 | kind


cdef inline void _set_lane_of(
    head *slot, const uint8_t *message, uint32_t community, const message_record *record,
) noexcept nogil:
    """The lane of a message with an author; protocol.identifiers.lane_name() is its twin."""
    cdef uint8_t[PAIR_CONTEXT_SIZE + 2 * AUTHOR_SIZE] pair
    cdef uint8_t[AUTHOR_SIZE] name
    if record.flags & TWO_AUTHORS:
        memcpy(pair, PAIR_CONTEXT, PAIR_CONTEXT_SIZE)
        memcpy(&pair[PAIR_CONTEXT_SIZE], message + AUTHOR_OFFSET, 2 * AUTHOR_SIZE)
        blake2b(name, AUTHOR_SIZE, pair, PAIR_CONTEXT_SIZE + 2 * AUTHOR_SIZE, NULL, 0, NULL, NULL)
        _set_lane(slot, name, community, record.kind)
    else:
        _set_lane(slot, message + AUTHOR_OFFSET, community, record.kind)


@cython.final
cdef class Heads:
    """Newest sequence and global time of every lane: the in-order test of the intake."""

    cdef head *slots
    cdef uint64_t *changed_slots  # indices into slots; there is room for as many as slots may be used
    cdef size_t slot_count, used, changed_count
    cdef readonly bint was_put

    def __cinit__(self, *, Py_ssize_t capacity=1024):
        self._renew(_slots_for(capacity, sizeof(head)))

    def __dealloc__(self):
        free(self.slots)
        free(self.changed_slots)

    def __len__(self):
        return self.used

    @property
    def size_bytes(self):
        return self.slot_count * sizeof(head) + _limit(self.slot_count) * sizeof(uint64_t)

    cdef int _renew(self, size_t slot_count) except -1:
        """Begin with free slots; the caller owns those that were there."""
        cdef head *slots = <head *>_allocate(slot_count * sizeof(head))
        cdef uint64_t *changed_slots = <uint64_t *>malloc(_limit(slot_count) * sizeof(uint64_t))
        if changed_slots == NULL:
            free(slots)
            raise MemoryError(f"no memory for {slot_count} heads")
        free(self.changed_slots)
        self.slots = slots
        self.changed_slots = changed_slots
        self.slot_count = slot_count
        self.used = 0
        self.changed_count = 0
        return 0

    cdef int _move(self, size_t slot_count, uint64_t forgotten) except -1:
        """Move all heads, but those of the community `forgotten`, to as many new slots."""
        cdef head *old = self.slots
        cdef size_t index, old_count = self.slot_count
        cdef head *slot
        self._renew(slot_count)
        for index in range(old_count):
            if _is_free(&old[index]) or old[index].lane[LANE_WORDS - 1] >> 8 == forgotten:
                continue
            slot = self._find(old[index].lane, _position(old[index].lane, LANE_WORDS))
            slot[0] = old[index]
            self.used += 1
            if slot.changed:
                self.changed_slots[self.changed_count] = slot - self.slots
                self.changed_count += 1
        free(old)
        return 0

    cdef int _reserve(self, size_t more) except -1:
        """Make sure that `more` heads fit without growing, so that slots found stay where they are."""
        if self.used + more > _limit(self.slot_count):
            self._move(_slots_for(self.used + more, sizeof(head)), UINT64_MAX)
        return 0

    cdef inline head *_find(self, const uint64_t *lane, uint64_t position) noexcept:
        """The lane's slot, or the free one where it belongs."""
        cdef size_t mask = self.slot_count - 1
        cdef size_t index = position & mask
        cdef head *slot = &self.slots[index]
        while not _is_free(slot) and memcmp(slot.lane, lane, LANE_WORDS * 8):
            index = (index + 1) & mask
            slot = &self.slots[index]
        return slot

    cdef inline void _set(
        self, head *slot, const uint64_t *lane, uint64_t sequence, uint64_t global_time, bint irregular,
    ) noexcept:
        if _is_free(slot):
            memcpy(slot.lane, lane, LANE_WORDS * 8)
            slot.changed = 0
            self.used += 1
        if not slot.changed:
            slot.changed = 1
            self.changed_slots[self.changed_count] = slot - self.slots
            self.changed_count += 1
        slot.sequence = sequence
        slot.global_time = global_time
        slot.irregular = irregular

    def advance_many(
        self,
        const uint8_t[::1] records not None,
        const uint8_t[::1] arena not None,
        uint32_t community,
        const uint8_t[::1] wanted not None,
    ):
        """One byte a message_record: 1 in order, its head has been advanced to it; 0 look closer."""
        cdef Py_ssize_t count = _count_records(records, arena, wanted)
        cdef Py_ssize_t index, size, first = 0
        cdef const message_record *record
        cdef head[BLOCK] block
        cdef uint64_t[BLOCK] positions
        cdef head *slot
        if count == 0:
            return b""
        out = bytearray(count)
        cdef uint8_t[::1] in_order = out
        while first < count:
            size = min(BLOCK, count - first)
            self._reserve(size)
            for index in range(size):
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                if wanted[first + index] != 1 or record.flags & NO_AUTHOR:
                    continue
                _set_lane_of(&block[index], &arena[record.offset], community, record)
                positions[index] = _position(block[index].lane, LANE_WORDS)
                dispersy_prefetch(&self.slots[positions[index] & (self.slot_count - 1)])
            for index in range(size):
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                if wanted[first + index] != 1 or record.flags & NO_AUTHOR:
                    continue
                slot = self._find(block[index].lane, positions[index])
                if _is_free(slot) or (
                    not slot.irregular
                    and record.sequence > slot.sequence
                    and record.global_time > slot.global_time
                ):
                    self._set(slot, block[index].lane, record.sequence, record.global_time, False)
                    in_order[first + index] = 1
            first += size
        return bytes(out)

    def lanes(self, uint32_t community, uint8_t kind):
        """Names of all lanes of a kind, ascending."""
        cdef uint64_t wanted = <uint64_t>community << 8 | kind
        cdef size_t index
        names = []
        for index in range(self.slot_count):
            if self.slots[index].lane[LANE_WORDS - 1] == wanted:
                names.append((<const char *>self.slots[index].lane)[:AUTHOR_SIZE])
        names.sort()
        return names

    def get(self, uint32_t community, const uint8_t[::1] name not None, uint8_t kind):
        """(sequence, global time, irregular) or None."""
        cdef head wanted
        cdef head *slot
        _check_name(name)
        _set_lane(&wanted, &name[0], community, kind)
        slot = self._find(wanted.lane, _position(wanted.lane, LANE_WORDS))
        if _is_free(slot):
            return None
        return slot.sequence, slot.global_time, bool(slot.irregular)

    def put(
        self,
        uint32_t community,
        const uint8_t[::1] name not None,
        uint8_t kind,
        uint64_t sequence,
        uint64_t global_time,
        bint irregular,
    ):
        """Set a head, whatever it was."""
        cdef head wanted
        cdef head *slot
        _check_name(name)
        _set_lane(&wanted, &name[0], community, kind)
        self._reserve(1)
        slot = self._find(wanted.lane, _position(wanted.lane, LANE_WORDS))
        self._set(slot, wanted.lane, sequence, global_time, irregular)
        self.was_put = True

    def forget(self, uint32_t community):
        """Remove all of one community; changed() speaks of them no more."""
        self._move(self.slot_count, community)

    def clear(self):
        """Forget all heads; the memory stays."""
        memset(self.slots, 0xFF, self.slot_count * sizeof(head))
        self.used = 0
        self.changed_count = 0
        self.was_put = False

    def changed(self):
        """Heads changed since the last call: (community, name, kind, sequence, time, irregular), sorted."""
        cdef size_t index
        cdef head *slot
        cdef uint64_t lane_end
        heads = []
        for index in range(self.changed_count):
            slot = &self.slots[self.changed_slots[index]]
            lane_end = slot.lane[LANE_WORDS - 1]
            name = (<const char *>slot.lane)[:AUTHOR_SIZE]
            irregular = bool(slot.irregular)
            heads.append((lane_end >> 8, name, lane_end & 0xFF, slot.sequence, slot.global_time, irregular))
        for index in range(self.changed_count):
            self.slots[self.changed_slots[index]].changed = 0
        self.changed_count = 0
        self.was_put = False
        heads.sort()
        return heads


cdef Py_ssize_t _count_records(
    const uint8_t[::1] records, const uint8_t[::1] arena, const uint8_t[::1] wanted,
) except -1:
    """How many records there are, with one byte of `wanted` each."""
    cdef Py_ssize_t count = _count_within(records, arena)
    if wanted.shape[0] != count:
        raise ValueError(f"wanted is {wanted.shape[0]} bytes and must be one for each of {count} records")
    return count


cdef Py_ssize_t _count_within(const uint8_t[::1] records, const uint8_t[::1] arena) except -1:
    """How many records there are, each of them checked to lie inside the arena."""
    cdef Py_ssize_t index, count = records.shape[0] // RECORD_SIZE
    cdef const message_record *record
    if records.shape[0] % RECORD_SIZE:
        raise ValueError(f"records is {records.shape[0]} bytes, not whole {RECORD_SIZE}-byte message_records")
    for index in range(count):
        record = <const message_record *>&records[index * RECORD_SIZE]
        if (
            record.length < AUTHOR_OFFSET + AUTHOR_SIZE * (1 + (record.flags & TWO_AUTHORS))
            or <uint64_t>record.offset + record.length > <uint64_t>arena.shape[0]
        ):
            raise ValueError(
                f"record {index} must hold its authors and lie inside the arena of {arena.shape[0]} bytes"
            )
    return count


cdef int _check_name(const uint8_t[::1] name) except -1:
    if name.shape[0] != AUTHOR_SIZE:
        raise ValueError(f"name is {name.shape[0]} bytes and must be {AUTHOR_SIZE}")
    return 0
