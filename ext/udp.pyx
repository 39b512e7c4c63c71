"""Many datagrams a system call: recvmmsg and sendmmsg over one arena.

Addresses are 18 bytes everywhere: an IPv6 or IPv4-mapped address and a port, big-endian. A socket of either
family gives and takes them, so that nobody above asks which one it is.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EBADF, ECONNREFUSED, EINTR, ENOTSOCK, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

import os

cimport cython

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET
        AF_INET6
        MSG_DONTWAIT
    struct sockaddr:
        uint16_t sa_family
    struct msghdr:
        void *msg_name
        uint32_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr

cdef extern from "records.h":
    ctypedef struct datagram_record:
        uint32_t offset
        uint16_t length
        uint8_t address[18]

# Large enough and aligned for both families; what it is is read from its first field.
ctypedef union socket_address:
    sockaddr any
    sockaddr_in ipv4
    sockaddr_in6 ipv6

cdef enum:
    BATCH_MAX = 256
    SIZE_MAX = 65534    # with one more byte it still fits the record's 16 bits
    SEND_BATCH = 64
    ADDRESS_SIZE = 18
    IP_SIZE = 16
    MAPPED_SIZE = 12

cdef const uint8_t *MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"


cdef void _read_address(const socket_address *source, uint8_t *address) noexcept nogil:
    """18 bytes of a source; zeros for any other family."""
    if source.any.sa_family == AF_INET6:
        memcpy(address, source.ipv6.sin6_addr.s6_addr, IP_SIZE)
        memcpy(address + IP_SIZE, &source.ipv6.sin6_port, 2)
    elif source.any.sa_family == AF_INET:
        memcpy(address, MAPPED, MAPPED_SIZE)
        memcpy(address + MAPPED_SIZE, &source.ipv4.sin_addr.s_addr, 4)
        memcpy(address + IP_SIZE, &source.ipv4.sin_port, 2)
    else:
        memset(address, 0, ADDRESS_SIZE)


cdef uint32_t _write_address(const uint8_t *address, bint ipv6, socket_address *destination) noexcept nogil:
    """Fill a destination; its size, or 0 when a socket of that family cannot reach it."""
    memset(destination, 0, sizeof(socket_address))
    if ipv6:
        destination.ipv6.sin6_family = AF_INET6
        memcpy(destination.ipv6.sin6_addr.s6_addr, address, IP_SIZE)
        memcpy(&destination.ipv6.sin6_port, address + IP_SIZE, 2)
        return sizeof(sockaddr_in6)
    if memcmp(address, MAPPED, MAPPED_SIZE) != 0:
        return 0
    destination.ipv4.sin_family = AF_INET
    memcpy(&destination.ipv4.sin_addr.s_addr, address + MAPPED_SIZE, 4)
    memcpy(&destination.ipv4.sin_port, address + IP_SIZE, 2)
    return sizeof(sockaddr_in)


@cython.final
@cython.auto_pickle(False)
cdef class Receiver:
    cdef unsigned int batch_max
    cdef size_t slot_size
    cdef uint8_t *slots
    cdef mmsghdr *headers
    cdef iovec *vectors
    cdef socket_address *sources

    def __cinit__(self, *, int batch_max=64, int size_max=1500):
        if not 1 <= batch_max <= BATCH_MAX:
            raise ValueError(f"batch_max {batch_max} is not 1 to {BATCH_MAX}")
        if not 1 <= size_max <= SIZE_MAX:
            raise ValueError(f"size_max {size_max} is not 1 to {SIZE_MAX}")
        self.batch_max = batch_max
        # One byte more than wanted: a datagram that fills it was longer than size_max.
        self.slot_size = size_max + 1
        self.slots = <uint8_t *>calloc(batch_max, self.slot_size)
        self.headers = <mmsghdr *>calloc(batch_max, sizeof(mmsghdr))
        self.vectors = <iovec *>calloc(batch_max, sizeof(iovec))
        self.sources = <socket_address *>calloc(batch_max, sizeof(socket_address))
        if not (self.slots and self.headers and self.vectors and self.sources):
            raise MemoryError
        cdef int index
        for index in range(batch_max):
            self.vectors[index].iov_base = self.slots + index * self.slot_size
            self.vectors[index].iov_len = self.slot_size
            self.headers[index].msg_hdr.msg_iov = &self.vectors[index]
            self.headers[index].msg_hdr.msg_iovlen = 1
            self.headers[index].msg_hdr.msg_name = &self.sources[index]

    def __dealloc__(self):
        free(self.slots)
        free(self.headers)
        free(self.vectors)
        free(self.sources)

    cdef int _receive(self, int fd) noexcept nogil:
        """How many datagrams the slots hold now, or -errno."""
        cdef unsigned int index
        cdef int count
        for index in range(self.batch_max):
            self.headers[index].msg_hdr.msg_namelen = sizeof(socket_address)
            self.sources[index].any.sa_family = 0
        count = recvmmsg(fd, self.headers, self.batch_max, MSG_DONTWAIT, NULL)
        return count if count >= 0 else -errno

    def receive(self, int fd):
        cdef int count, index
        cdef Py_ssize_t size = 0
        cdef uint8_t *place
        cdef datagram_record *record
        with nogil:
            count = self._receive(fd)
        if count < 0:
            if -count in (EAGAIN, EINTR, ECONNREFUSED):
                return b"", b""
            raise OSError(-count, os.strerror(-count))
        for index in range(count):
            size += self.headers[index].msg_len
        arena = PyBytes_FromStringAndSize(NULL, size)
        records = PyBytes_FromStringAndSize(NULL, count * sizeof(datagram_record))
        place = <uint8_t *>PyBytes_AS_STRING(arena)
        record = <datagram_record *>PyBytes_AS_STRING(records)
        size = 0
        for index in range(count):
            record.offset = <uint32_t>size
            record.length = <uint16_t>self.headers[index].msg_len
            _read_address(&self.sources[index], record.address)
            memcpy(place + size, self.slots + index * self.slot_size, record.length)
            size += record.length
            record += 1
        return arena, records


cdef Py_ssize_t _check_pairs(tuple pairs) except -1:
    cdef bytes address, datagram
    for address, datagram in pairs:
        if address is None or datagram is None or len(address) != ADDRESS_SIZE:
            raise ValueError(f"a datagram to send is ({ADDRESS_SIZE}-byte address, bytes)")
    return len(pairs)


def send_many(int fd, list datagrams not None, *, bint ipv6=True):
    # A tuple of its own keeps every buffer alive and in place while the GIL is released.
    cdef tuple pairs = tuple(datagrams)
    cdef Py_ssize_t count = _check_pairs(pairs), done = 0, refused = 0
    cdef mmsghdr headers[SEND_BATCH]
    cdef iovec vectors[SEND_BATCH]
    cdef socket_address destinations[SEND_BATCH]
    cdef unsigned int ready
    cdef int sent, error
    cdef bytes address, datagram
    memset(headers, 0, sizeof(headers))
    while done < count:
        ready = 0
        while ready < SEND_BATCH and done + ready < count:
            address, datagram = <tuple>pairs[done + ready]
            headers[ready].msg_hdr.msg_namelen = _write_address(address, ipv6, &destinations[ready])
            if headers[ready].msg_hdr.msg_namelen == 0:
                break
            vectors[ready].iov_base = <char *>datagram
            vectors[ready].iov_len = len(datagram)
            headers[ready].msg_hdr.msg_name = &destinations[ready]
            headers[ready].msg_hdr.msg_iov = &vectors[ready]
            headers[ready].msg_hdr.msg_iovlen = 1
            ready += 1
        if ready == 0:
            done += 1
            refused += 1
            continue
        with nogil:
            sent = sendmmsg(fd, headers, ready, MSG_DONTWAIT)
            error = errno
        if sent > 0:
            done += sent
        elif error == EAGAIN:
            break
        elif error == EBADF or error == ENOTSOCK:
            raise OSError(error, os.strerror(error))
        elif error != EINTR:
            # No route, a filter, too long, an ICMP error of an earlier one: this one is lost as on any link.
            done += 1
            refused += 1
    return done, refused
