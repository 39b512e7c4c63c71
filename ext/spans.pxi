# Spans, the third class of table.pyx, with that file's imports, limits and hash.
# A span is what permits most messages of linear kinds: one member, one kind, everything after one global time.

HOLDERS, EVERYBODY, CLOSER, HOLDERS_OR_CLOSER = 0, 1, 2, 3

cdef enum:
    SPAN_WORDS = 5
    PERMITTED = 1  # verdicts; the modes of kinds are as above
    LOOK_CLOSER = 2
    MODE_OR_CLOSER = 3

cdef struct span:
    uint64_t key[SPAN_WORDS]  # member, then kind; all ones in the last marks a free slot
    uint64_t since  # UINT64_MAX: it takes a closer look


cdef inline bint _is_no_span(const span *slot) noexcept nogil:
    return slot.key[SPAN_WORDS - 1] == UINT64_MAX


@cython.final
cdef class Spans:
    """Since when a member may write in a kind, where that is all there is to it."""

    cdef span *slots
    cdef size_t slot_count, used

    def __cinit__(self, *, Py_ssize_t capacity=16):
        cdef size_t slot_count = _slots_for(capacity, sizeof(span))
        self.slots = <span *>_allocate(slot_count * sizeof(span))
        self.slot_count = slot_count

    def __dealloc__(self):
        free(self.slots)

    def __len__(self):
        return self.used

    @property
    def size_bytes(self):
        return self.slot_count * sizeof(span)

    cdef inline span *_find(self, const uint64_t *key, uint64_t position) noexcept:
        """The key's slot, or the free one where it belongs."""
        cdef size_t mask = self.slot_count - 1
        cdef size_t index = position & mask
        cdef span *slot = &self.slots[index]
        while not _is_no_span(slot) and memcmp(slot.key, key, SPAN_WORDS * 8):
            index = (index + 1) & mask
            slot = &self.slots[index]
        return slot

    cdef int _grow(self) except -1:
        cdef size_t slot_count = _slots_for(self.used + 1, sizeof(span))
        cdef span *slots = <span *>_allocate(slot_count * sizeof(span))
        cdef span *old = self.slots
        cdef size_t index, old_count = self.slot_count
        self.slots = slots
        self.slot_count = slot_count
        for index in range(old_count):
            if not _is_no_span(&old[index]):
                self._find(old[index].key, _position(old[index].key, SPAN_WORDS))[0] = old[index]
        free(old)
        return 0

    def set(self, const uint8_t[::1] member not None, uint8_t kind, since):
        """Everything of this member and kind after `since` is permitted, nothing else; None: look closer."""
        cdef span wanted
        cdef span *slot
        _set_key(&wanted, member, kind)
        wanted.since = UINT64_MAX if since is None else since
        if since is not None and wanted.since == UINT64_MAX:
            raise ValueError("since is 2^64 - 1, which no global time is; None stands for a closer look")
        if self.used + 1 > _limit(self.slot_count):
            self._grow()
        slot = self._find(wanted.key, _position(wanted.key, SPAN_WORDS))
        self.used += _is_no_span(slot)
        slot[0] = wanted

    def remove(self, const uint8_t[::1] member not None, uint8_t kind):
        """Whether there was one."""
        cdef span wanted
        cdef span *slot
        cdef size_t mask = self.slot_count - 1
        cdef size_t hole, index, home
        _set_key(&wanted, member, kind)
        slot = self._find(wanted.key, _position(wanted.key, SPAN_WORDS))
        if _is_no_span(slot):
            return False
        # Close the hole with those behind it that may stand there, so that no search ends too early.
        hole = slot - self.slots
        index = (hole + 1) & mask
        while not _is_no_span(&self.slots[index]):
            home = _position(self.slots[index].key, SPAN_WORDS) & mask
            if ((index - home) & mask) >= ((index - hole) & mask):
                self.slots[hole] = self.slots[index]
                hole = index
            index = (index + 1) & mask
        self.slots[hole].key[SPAN_WORDS - 1] = UINT64_MAX
        self.used -= 1
        return True

    def judge_many(
        self,
        const uint8_t[::1] records not None,
        const uint8_t[::1] arena not None,
        const uint8_t[::1] modes not None,
    ):
        """One byte a message_record: 1 permitted, 0 not, 2 look closer."""
        cdef Py_ssize_t count = _count_within(records, arena)
        cdef Py_ssize_t index, size, first = 0
        cdef const message_record *record
        cdef span[BLOCK] block
        cdef uint64_t[BLOCK] positions
        cdef bint[BLOCK] is_asked
        cdef span *slot
        cdef uint8_t mode
        if modes.shape[0] != 256:
            raise ValueError(f"modes is {modes.shape[0]} bytes and must be one for each of 256 kinds")
        if count == 0:
            return b""
        out = bytearray(count)
        cdef uint8_t[::1] verdicts = out
        while first < count:
            size = min(BLOCK, count - first)
            for index in range(size):
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                mode = modes[record.kind]
                is_asked[index] = False
                if mode == PERMITTED or mode == LOOK_CLOSER:
                    verdicts[first + index] = mode
                elif record.flags & (TWO_AUTHORS | NO_AUTHOR):
                    verdicts[first + index] = LOOK_CLOSER
                else:
                    is_asked[index] = True
                    memcpy(block[index].key, &arena[record.offset + AUTHOR_OFFSET], AUTHOR_SIZE)
                    block[index].key[SPAN_WORDS - 1] = record.kind
                    positions[index] = _position(block[index].key, SPAN_WORDS)
                    dispersy_prefetch(&self.slots[positions[index] & (self.slot_count - 1)])
            for index in range(size):
                if not is_asked[index]:
                    continue
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                slot = self._find(block[index].key, positions[index])
                if not _is_no_span(slot) and slot.since != UINT64_MAX and record.global_time > slot.since:
                    verdicts[first + index] = PERMITTED
                elif modes[record.kind] == MODE_OR_CLOSER or (
                    not _is_no_span(slot) and slot.since == UINT64_MAX
                ):
                    verdicts[first + index] = LOOK_CLOSER
            first += size
        return bytes(out)


cdef int _set_key(span *slot, const uint8_t[::1] member, uint8_t kind) except -1:
    if member.shape[0] != AUTHOR_SIZE:
        raise ValueError(f"member is {member.shape[0]} bytes and must be {AUTHOR_SIZE}")
    memcpy(slot.key, &member[0], AUTHOR_SIZE)
    slot.key[SPAN_WORDS - 1] = kind
    return 0
