# Memory of tensors and plans: aligned to a cache line, counted; the last large blocks are kept, 32 MiB at most.

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    /* The block that malloc gave, and the bytes that were asked for, are remembered just before the aligned memory inside it.
       Large memory lies in large pages, where the system has them: walks over it then miss no page tables. */
    typedef struct {
        void *block;
        size_t bytes;
    } rn_head;
    enum { RN_LINE = 64, RN_PAGE = 1 << 21, RN_LARGE = 2 * RN_PAGE };
    static size_t rn_boundary(size_t bytes) { return bytes >= RN_LARGE ? RN_PAGE : RN_LINE; }
    static size_t rn_room(size_t bytes) { return rn_boundary(bytes) + sizeof(rn_head); }
    static void *rn_align(void *block, size_t bytes) {
        if (block == NULL) return NULL;
        uintptr_t p = ((uintptr_t)block + rn_room(bytes)) & ~(uintptr_t)(rn_boundary(bytes) - 1);
        ((rn_head *)p)[-1] = (rn_head){block, bytes};
        return (void *)p;
    }
    static void *rn_advise(void *p, size_t bytes) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (p != NULL && bytes >= RN_LARGE) madvise(p, bytes, MADV_HUGEPAGE);
    #endif
        (void)bytes;
        return p;
    }
    /* The last large blocks given back wait for requests of their size: the system's fresh pages, which it clears, take longer
       than most operations on them. Oldest first, NULL behind the last. All of this runs under the GIL. */
    enum { RN_KEPT = 2, RN_KEPT_FROM = 1 << 20, RN_KEPT_BYTES = 1 << 25 };
    static void *rn_kept[RN_KEPT + 1];
    static size_t rn_bytes(const void *p) { return p == NULL ? 0 : ((const rn_head *)p)[-1].bytes; }
    static void *rn_take_kept(int i) {
        void *p = rn_kept[i];
        for (; i < RN_KEPT; i++) rn_kept[i] = rn_kept[i + 1];
        return p;
    }
    static void *rn_aligned_allocate(size_t bytes) {
        for (int i = 0; i < RN_KEPT; i++)
            if (rn_bytes(rn_kept[i]) == bytes) return rn_take_kept(i);
        return rn_advise(rn_align(malloc(bytes + rn_room(bytes)), bytes), bytes);
    }
    /* Large blocks of zeros come from the system as they are, untouched until they are used. */
    static void *rn_aligned_allocate_zeros(size_t bytes) {
        return rn_advise(rn_align(calloc(1, bytes + rn_room(bytes)), bytes), bytes);
    }
    static void rn_release(void *p) {
        if (p != NULL) free(((rn_head *)p)[-1].block);
    }
    static void rn_aligned_free(void *p) {
        if (rn_bytes(p) < RN_KEPT_FROM || rn_bytes(p) > RN_KEPT_BYTES) {
            rn_release(p);
            return;
        }
        while (rn_kept[RN_KEPT - 1] != NULL || rn_bytes(rn_kept[0]) + rn_bytes(p) > RN_KEPT_BYTES) rn_release(rn_take_kept(0));
        int i = 0;
        while (rn_kept[i] != NULL) i++;
        rn_kept[i] = p;
    }
    """
    void *rn_aligned_allocate(size_t bytes)
    void *rn_aligned_allocate_zeros(size_t bytes)
    void rn_aligned_free(void *p) noexcept

cdef long long allocation_count = 0


cdef void *allocate(Py_ssize_t bytes, bint zeros=False) except NULL:
    """Return `bytes` of memory on a 64-byte boundary, for rn_aligned_free; MemoryError where there is none."""
    global allocation_count
    cdef size_t size = <size_t> max(bytes, 1)
    cdef void *p = rn_aligned_allocate_zeros(size) if zeros else rn_aligned_allocate(size)
    if p == NULL:
        raise MemoryError(f"no memory for a block of {bytes / 2**20:,.0f} MiB: use smaller batches, layers or tensors")
    allocation_count += 1
    return p


def allocations() -> int:
    """Return how many times the core has reserved memory for tensors and plans since import."""
    return allocation_count
