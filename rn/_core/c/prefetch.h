/* Asking the memory for what will be read or written soon. */

/* Ask for the cache line at p, which need not be readable: for the first cache, for the second, or to write to it. */
#if defined(__GNUC__)
#define RN_PREFETCH(p) __builtin_prefetch(p)
#define RN_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
#define RN_PREFETCH_TO_WRITE(p) __builtin_prefetch(p, 1)
#else
#define RN_PREFETCH(p) ((void)(p))
#define RN_PREFETCH_FAR(p) ((void)(p))
#define RN_PREFETCH_TO_WRITE(p) ((void)(p))
#endif

/* Floats that are read once, one after the other, and may come from the third cache: each line is asked for so far ahead of the
 * one in use. What the processor asks for by itself comes too late to keep that cache busy: on Zen 5 the largest of 4 MB takes
 * 0.8 times as long with 256 floats, and an update of parameters 0.95 times; on Emerald Rapids the sum of 4 MB takes 0.96 times
 * as long with 1024 as with 256. Where as much goes to other memory it does not help. */
enum { LINE_FLOATS = 16, AHEAD_FLOATS = 1024 };
static RN_ALWAYS_INLINE void stream_ahead(const float *p, ptrdiff_t floats) {
    for (ptrdiff_t i = 0; i < floats; i += LINE_FLOATS) RN_PREFETCH(p + i + AHEAD_FLOATS);
}

/* The same for one vector that is read and then written. Of vectors narrower than a line several ask for the same one, which
 * costs less than finding out. */
static RN_ALWAYS_INLINE void stream_ahead_to_write(const float *p) { RN_PREFETCH_TO_WRITE(p + AHEAD_FLOATS); }
