/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw 2011 ("Parallel random numbers: as easy as 1, 2,
 * 3"): ten rounds turn a counter of four words, under a key of two, into four random words. Nothing is carried from one counter
 * to the next, so any element's number can be had by itself.
 *
 * Everywhere in rn: key = seed (low, high word); counter = (block low, block high, step low, purpose), and element i of a tensor
 * takes word i mod 4 of block i / 4. This is the plain form, one counter at a time; body_random.h has VL of them side by side. */
#ifndef RN_PHILOX_H
#define RN_PHILOX_H

#include <stdint.h>

enum { RN_PHILOX_ROUNDS = 10 };
#define RN_PHILOX_M0 0xD2511F53u
#define RN_PHILOX_M1 0xCD9E8D57u
#define RN_PHILOX_W0 0x9E3779B9u /* the golden ratio and sqrt(3) - 1: what the key grows by each round */
#define RN_PHILOX_W1 0xBB67AE85u

static inline void rn_philox(uint32_t c[4], uint64_t key) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < RN_PHILOX_ROUNDS; round++) {
        const uint64_t a = (uint64_t)RN_PHILOX_M0 * c[0], b = (uint64_t)RN_PHILOX_M1 * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)a;
        k0 += RN_PHILOX_W0;
        k1 += RN_PHILOX_W1;
    }
}

#endif
