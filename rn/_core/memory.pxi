# Memory of tensors and plans: aligned to a cache line, counted.

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    /* The block that malloc gave is remembered just before the aligned memory inside it. */
    enum { RN_LINE = 64, RN_ROOM = RN_LINE + sizeof(void *) };
    static void *rn_align(void *block) {
        if (block == NULL) return NULL;
        uintptr_t p = ((uintptr_t)block + RN_ROOM) & ~(uintptr_t)(RN_LINE - 1);
        ((void **)p)[-1] = block;
        return (void *)p;
    }
    /* Large memory in large pages, where the system has them: walks over it then miss no page tables. */
    static void *rn_advise(void *p, size_t bytes) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        const uintptr_t page = 4096, begin = ((uintptr_t)p + page - 1) / page * page;
        if (p != NULL && bytes >= (size_t)1 << 22) madvise((void *)begin, (uintptr_t)p + bytes - begin, MADV_HUGEPAGE);
    #endif
        (void)bytes;
        return p;
    }
    static void *rn_aligned_allocate(size_t bytes) { return rn_advise(rn_align(malloc(bytes + RN_ROOM)), bytes); }
    /* Large blocks of zeros come from the system as they are, untouched until they are used. */
    static void *rn_aligned_allocate_zeros(size_t bytes) { return rn_advise(rn_align(calloc(1, bytes + RN_ROOM)), bytes); }
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
