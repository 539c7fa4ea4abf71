#include "philox.h"
#include "vector_math.h"

enum { RN_RANDOM_CHUNK = 4 * VL }; /* elements that VL blocks give */

/* Lane b of word[w] is word w of block + b; block is a multiple of VL, so that no lane carries. */
static inline void philox_blocks(uint64_t block, uint64_t key, uint32_t step, uint32_t purpose, vi word[4]) {
    vi c0 = vi_add(vi_set((int32_t)(uint32_t)block), vi_lanes()), c1 = vi_set((int32_t)(uint32_t)(block >> 32));
    vi c2 = vi_set((int32_t)step), c3 = vi_set((int32_t)purpose);
    const vi m0 = vi_set((int32_t)RN_PHILOX_M0), m1 = vi_set((int32_t)RN_PHILOX_M1);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < RN_PHILOX_ROUNDS; round++) {
        vi a_high, b_high;
        vi a_low = vi_mul_wide(m0, c0, &a_high), b_low = vi_mul_wide(m1, c2, &b_high);
        c0 = vi_xor(vi_xor(b_high, c1), vi_set((int32_t)k0));
        c2 = vi_xor(vi_xor(a_high, c3), vi_set((int32_t)k1));
        c1 = b_low;
        c3 = a_low;
        k0 += RN_PHILOX_W0;
        k1 += RN_PHILOX_W1;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/* The words of the RN_RANDOM_CHUNK elements from 4 * block on, in the elements' order. */
static inline void philox_chunk(uint64_t block, uint64_t key, uint32_t step, uint32_t purpose, vi word[4]) {
    philox_blocks(block, key, step, purpose, word);
    vi_interleave(word);
}

/* The upper 24 bits as a number in [0, 1). */
static inline vf unit_interval(vi word) { return vf_mul(vi_to_float(vi_shift_right(word, 8)), vf_set(0x1p-24f)); }

KERNEL(dropout) {
    const rn_dropout_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    const vf scale = vf_set(a->scale);
    const vi flip = vi_set(INT32_MIN); /* turns the signed comparison into the unsigned one */
    const vi threshold = vi_xor(vi_set((int32_t)a->threshold), flip);
    vi word[4];
    for (ptrdiff_t i = begin; i < end; i += RN_RANDOM_CHUNK) {
        philox_chunk((uint64_t)i / 4, a->step->seed, (uint32_t)a->step->step, a->purpose, word);
        for (ptrdiff_t j = 0; j < 4 && i + j * VL < end; j++) {
            const ptrdiff_t at = i + j * VL;
            vm dropped = vi_gt(threshold, vi_xor(word[j], flip));
            vf kept = vf_mul(vf_load_first(a->x + at, end - at), scale);
            vf_store_first(a->y + at, end - at, vf_where(vm_not(dropped), kept));
        }
    }
}

KERNEL(random_uniform) {
    const rn_random_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vi word[4];
    for (ptrdiff_t i = begin; i < end; i += RN_RANDOM_CHUNK) {
        philox_chunk((uint64_t)i / 4, a->seed, a->step, a->purpose, word);
        for (ptrdiff_t j = 0; j < 4 && i + j * VL < end; j++) {
            /* rounded twice on every instruction set, so that all have the same weights */
            vf y = vf_add(vf_set(a->shift), vf_mul(vf_set(a->scale), unit_interval(word[j])));
            vf_store_first(a->y + i + j * VL, end - i - j * VL, y);
        }
    }
}

/* Box and Muller 1958: of two uniform numbers (words 0 and 1 of a block, or 2 and 3) two normal ones, sqrt(-2 log u) cos and sin
 * of 2 pi v. */
static inline void normal_chunk(uint64_t block, uint64_t key, uint32_t step, uint32_t purpose, vf y[4]) {
    vi word[4];
    philox_blocks(block, key, step, purpose, word);
    for (int pair = 0; pair < 4; pair += 2) {
        vf u = vf_add(unit_interval(word[pair]), vf_set(0x1p-24f)); /* (0, 1]: its logarithm is finite */
        vf radius = vf_sqrt(vf_mul(vf_set(-2.0f), v_log(u)));
        vf angle = vf_mul(vf_set(6.28318531f), unit_interval(word[pair + 1]));
        word[pair] = vf_as_int(vf_mul(radius, v_cos(angle)));
        word[pair + 1] = vf_as_int(vf_mul(radius, v_sin(angle)));
    }
    vi_interleave(word);
    for (int j = 0; j < 4; j++) y[j] = vi_as_float(word[j]);
}

/* What lies beyond two deviations is drawn again, each element for itself: attempt t of an element uses block + t 2^48. */
static inline void truncated_normal_chunk(uint64_t block, uint64_t key, uint32_t step, uint32_t purpose, vf y[4]) {
    normal_chunk(block, key, step, purpose, y);
    for (uint64_t attempt = 1;; attempt++) {
        vm beyond = vm_none();
        for (int j = 0; j < 4; j++) beyond = vm_or(beyond, vf_lt(vf_set(2.0f), vf_abs(y[j])));
        if (!vm_any(beyond)) return;
        vf again[4];
        normal_chunk(block + (attempt << 48), key, step, purpose, again);
        for (int j = 0; j < 4; j++) y[j] = vf_select(vf_lt(vf_set(2.0f), vf_abs(y[j])), again[j], y[j]);
    }
}

KERNEL(random_normal) {
    const rn_random_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vf y[4];
    for (ptrdiff_t i = begin; i < end; i += RN_RANDOM_CHUNK) {
        if (a->truncated)
            truncated_normal_chunk((uint64_t)i / 4, a->seed, a->step, a->purpose, y);
        else
            normal_chunk((uint64_t)i / 4, a->seed, a->step, a->purpose, y);
        for (ptrdiff_t j = 0; j < 4 && i + j * VL < end; j++)
            vf_store_first(a->y + i + j * VL, end - i - j * VL, vf_fma(y[j], vf_set(a->scale), vf_set(a->shift)));
    }
}

KERNEL(shuffle) {
    const rn_shuffle_args *a = arguments;
    (void)tile, (void)scratch;
    for (ptrdiff_t i = 0; i < a->n; i++) a->order[i] = i;
    for (ptrdiff_t i = a->n - 1; i > 0; i--) {
        uint32_t c[4] = {(uint32_t)i, (uint32_t)((uint64_t)i >> 32), a->step, a->purpose};
        rn_philox(c, a->seed);
        /* j = floor((i + 1) u) for the 64-bit fraction u of words 0 and 1; n below 2^32 keeps the products in 64 bits */
        const uint64_t count = (uint64_t)i + 1;
        const ptrdiff_t j = (ptrdiff_t)((count * c[0] + (count * c[1] >> 32)) >> 32);
        const int64_t other = a->order[j];
        a->order[j] = a->order[i];
        a->order[i] = other;
    }
}
