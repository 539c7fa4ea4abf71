/* How threads that stand by share the tiles of a call with its caller: a gate that lets them in, and seats whose tiles are
 * claimed one by one.
 *
 * Nobody is waited for who has not come. A thread that is wanted may be asleep, or just then its processor may serve somebody
 * else; the caller works its tiles meanwhile, and in the end waits for no more than the tiles that helpers are at.
 *
 * The gate is one number: the round (32 bits), how many seats the call is shared by (16; 0: it is closed) and how many helpers
 * are inside (16). A helper enters by adding itself to the very number it has read, so it never works for a round that is over.
 */
#ifndef RN_CREW_H
#define RN_CREW_H

#include <pythread.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#include <windows.h>
static inline uint64_t rn_read(uint64_t *p) { return (uint64_t)_InterlockedOr64((volatile __int64 *)p, 0); }
static inline uint64_t rn_exchange(uint64_t *p, uint64_t by) {
    return (uint64_t)_InterlockedExchange64((volatile __int64 *)p, (__int64)by);
}
static inline uint64_t rn_add(uint64_t *p, uint64_t n) {
    return (uint64_t)_InterlockedExchangeAdd64((volatile __int64 *)p, (__int64)n);
}
static inline int rn_replace(uint64_t *p, uint64_t known, uint64_t by) {
    return (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)p, (__int64)by, (__int64)known) == known;
}
static inline void rn_pause(void) { YieldProcessor(); }
static inline void rn_yield(void) { SwitchToThread(); }
#else
#include <sched.h>
static inline uint64_t rn_read(uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline uint64_t rn_exchange(uint64_t *p, uint64_t by) { return __atomic_exchange_n(p, by, __ATOMIC_SEQ_CST); }
static inline uint64_t rn_add(uint64_t *p, uint64_t n) { return __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST); }
static inline int rn_replace(uint64_t *p, uint64_t known, uint64_t by) {
    return __atomic_compare_exchange_n(p, &known, by, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline void rn_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
static inline void rn_yield(void) { sched_yield(); }
#endif

enum { RN_LINE_BYTES = 64 };

/* A place in a crew, on lines of the cache of its own. */
typedef struct {
    uint64_t next, end; /* of its row of tiles, those that nobody has begun */
    uint64_t asleep;    /* its thread sleeps, or is about to, until `bed` is released */
    PyThread_type_lock bed;
    char apart[RN_LINE_BYTES - 3 * sizeof(uint64_t) - sizeof(PyThread_type_lock)];
} rn_seat;

static inline uint32_t rn_gate_round(uint64_t gate) { return (uint32_t)(gate >> 32); }
static inline int rn_gate_seats(uint64_t gate) { return (int)(gate >> 16 & 0xFFFF); }
static inline int rn_gate_inside(uint64_t gate) { return (int)(gate & 0xFFFF); }

/* Begin a round for so many seats, the caller's being the first, and wake those who sleep there. */
static inline void rn_gate_open(uint64_t *gate, int seats, rn_seat *seat) {
    const uint64_t round = rn_gate_round(rn_read(gate)) + 1;
    rn_exchange(gate, round << 32 | (uint64_t)seats << 16);
    for (int i = 1; i < seats; i++)
        if (rn_read(&seat[i].asleep) && rn_exchange(&seat[i].asleep, 0)) PyThread_release_lock(seat[i].bed);
}

/* Let nobody in any more, and wait for those inside: for a while spinning, then leaving the processor to others. */
static inline void rn_gate_close(uint64_t *gate) {
    uint64_t now = rn_read(gate);
    while (!rn_replace(gate, now, now & ~((uint64_t)0xFFFF << 16))) now = rn_read(gate);
    for (int spins = 0; rn_gate_inside(rn_read(gate)) > 0; spins++) {
        if (spins < 1000) {
            rn_pause();
        } else {
            rn_yield();
        }
    }
}

/* Whether a helper got in: to a round that is open, has a seat for it and that it has not `seen`. */
static inline int rn_gate_enter(uint64_t *gate, int seat, uint32_t *seen) {
    for (;;) {
        const uint64_t now = rn_read(gate);
        if (rn_gate_round(now) == *seen) return 0;
        if (rn_gate_seats(now) > seat && !rn_replace(gate, now, now + 1)) continue;
        *seen = rn_gate_round(now);
        return rn_gate_seats(now) > seat;
    }
}

static inline void rn_gate_leave(uint64_t *gate) { rn_add(gate, (uint64_t)-1); }

/* Spin for a moment, or until a new round begins. */
static inline void rn_gate_watch(uint64_t *gate, uint32_t seen) {
    for (int spins = 0; spins < 64 && rn_gate_round(rn_read(gate)) == seen; spins++) rn_pause();
}

/* Sleep until a round begins that has this seat. */
static inline void rn_seat_sleep(rn_seat *seat, uint64_t *gate, uint32_t seen) {
    rn_exchange(&seat->asleep, 1);
    /* A round that began just now may have found this seat awake; or it has seen it asleep, and releases the bed. */
    if (rn_gate_round(rn_read(gate)) != seen && rn_exchange(&seat->asleep, 0)) return;
    PyThread_acquire_lock(seat->bed, WAIT_LOCK);
}

/* Claim the next tile of a seat's row; -1: all are begun. */
static inline ptrdiff_t rn_seat_claim(rn_seat *seat) {
    if (rn_read(&seat->next) >= seat->end) return -1;
    const uint64_t tile = rn_add(&seat->next, 1);
    return tile < seat->end ? (ptrdiff_t)tile : -1;
}

#endif
