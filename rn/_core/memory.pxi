# Memory of tensors and plans: aligned to a cache line, counted.

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #if defined(_WIN32)
    #include <malloc.h>
    static void *rn_aligned_allocate(size_t bytes) { return _aligned_malloc(bytes, 64); }
    static void rn_aligned_free(void *p) { _aligned_free(p); }
    #else
    #include <stdlib.h>
    static void *rn_aligned_allocate(size_t bytes) {
        void *p;
        return posix_memalign(&p, 64, bytes) ? NULL : p;
    }
    static void rn_aligned_free(void *p) { free(p); }
    #endif
    """
    void *rn_aligned_allocate(size_t bytes) nogil
    void rn_aligned_free(void *p) noexcept nogil

cdef long long allocation_count = 0


cdef void *allocate(Py_ssize_t bytes) except NULL:
    """Return `bytes` of memory on a 64-byte boundary, for rn_aligned_free; MemoryError where there is none."""
    global allocation_count
    cdef void *p = rn_aligned_allocate(<size_t> max(bytes, 1))
    if p == NULL:
        raise MemoryError(f"rn could not reserve {bytes / 2**20:.1f} MiB")
    allocation_count += 1
    return p


def allocations() -> int:
    """Return how many times the core has reserved memory for tensors and plans since import."""
    return allocation_count
