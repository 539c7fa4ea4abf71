# Memory of tensors and plans: aligned to a cache line, counted.

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    /* The block that malloc gave is remembered just before the aligned memory inside it. */
    enum { RN_LINE = 64, RN_ROOM = RN_LINE + sizeof(void *) };
    static void *rn_align(void *block) {
        if (block == NULL) return NULL;
        uintptr_t p = ((uintptr_t)block + RN_ROOM) & ~(uintptr_t)(RN_LINE - 1);
        ((void **)p)[-1] = block;
        return (void *)p;
    }
    static void *rn_aligned_allocate(size_t bytes) { return rn_align(malloc(bytes + RN_ROOM)); }
    /* Large blocks of zeros come from the system as they are, untouched until they are used. */
    static void *rn_aligned_allocate_zeros(size_t bytes) { return rn_align(calloc(1, bytes + RN_ROOM)); }
    static void rn_aligned_free(void *p) {
        if (p != NULL) free(((void **)p)[-1]);
    }
    """
    void *rn_aligned_allocate(size_t bytes) nogil
    void *rn_aligned_allocate_zeros(size_t bytes) nogil
    void rn_aligned_free(void *p) noexcept nogil

cdef long long allocation_count = 0


cdef void *allocate(Py_ssize_t bytes, bint zeros=False) except NULL:
    """Return `bytes` of memory on a 64-byte boundary, for rn_aligned_free; MemoryError where there is none."""
    global allocation_count
    cdef size_t size = <size_t> max(bytes, 1)
    cdef void *p = rn_aligned_allocate_zeros(size) if zeros else rn_aligned_allocate(size)
    if p == NULL:
        raise MemoryError(f"rn could not reserve {bytes / 2**20:.1f} MiB")
    allocation_count += 1
    return p


def allocations() -> int:
    """Return how many times the core has reserved memory for tensors and plans since import."""
    return allocation_count
