/* Eight float32 lanes on AVX2 and FMA. The same names as vector_generic.h; kernels are written once over them. */
#ifndef RN_VECTOR_H
#define RN_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VL 8

typedef __m256 vf;  /* VL floats */
typedef __m256i vi; /* VL int32 */
typedef __m256i vm; /* a mask: all bits of a lane set, or none */

static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_set(float a) { return _mm256_set1_ps(a); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline void vf_stream(float *p, vf a) { _mm256_stream_ps(p, a); } /* past the caches; p on a boundary of 4 VL bytes */
static inline void vf_stream_end(void) { _mm_sfence(); }                 /* before others may read what was streamed */

static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
/* The second operand where either is NaN, as the instruction does; all headers agree. */
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }                      /* a b + c */
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }                    /* c - a b */
static inline vf vf_product_rest(vf a, vf b, vf product) { return _mm256_fmsub_ps(a, b, product); } /* what rounding a b lost */
static inline vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf vf_floor(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

#if defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) /* which does not see what assembler reads */
/* A load, a broadcast and a multiply-add that stay in the order in which they are written. In loops of many sums that a compiler
 * orders anew it moves them from register to register as well: 1.05 times as long, 1.1 where another process shares the core. */
#define VF_ORDERED
static RN_ALWAYS_INLINE vf vf_load_ordered(const float *p) {
    vf a;
    __asm__ volatile("vmovups %1, %0" : "=x"(a) : "m"(*(const __m256_u *)p));
    return a;
}
static RN_ALWAYS_INLINE vf vf_set_ordered(const float *p) {
    vf a;
    __asm__ volatile("vbroadcastss %1, %0" : "=x"(a) : "m"(*p));
    return a;
}
static RN_ALWAYS_INLINE vf vf_fma_ordered(vf a, vf b, vf c) {
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
    return c;
}
#endif

static inline vi vi_set(int32_t a) { return _mm256_set1_epi32(a); }
static inline vi vi_lanes(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline vi vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void vi_store(int32_t *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
static inline vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi vi_mul(vi a, vi b) { return _mm256_mullo_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
static inline vm vi_gt(vi a, vi b) { return _mm256_cmpgt_epi32(a, b); }
static inline vm vi_eq(vi a, vi b) { return _mm256_cmpeq_epi32(a, b); }
static inline int vm_any(vm mask) { return _mm256_movemask_ps(_mm256_castsi256_ps(mask)) != 0; }
#define vi_shift_left(a, bits) _mm256_slli_epi32(a, bits)
#define vi_shift_right(a, bits) _mm256_srli_epi32(a, bits) /* zeros come in */

/* The 64-bit products of unsigned lanes: the low halves returned, the high halves in *high. */
static inline vi vi_mul_wide(vi a, vi b, vi *high) {
    __m256i even = _mm256_mul_epu32(a, b);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

/* w[k] lane b becomes element 4 b + k of the 4 VL elements that w[0] w[1] w[2] w[3] hold in a row. */
static inline void vi_interleave(vi w[4]) {
    vi low01 = _mm256_unpacklo_epi32(w[0], w[1]), high01 = _mm256_unpackhi_epi32(w[0], w[1]);
    vi low23 = _mm256_unpacklo_epi32(w[2], w[3]), high23 = _mm256_unpackhi_epi32(w[2], w[3]);
    vi b04 = _mm256_unpacklo_epi64(low01, low23), b15 = _mm256_unpackhi_epi64(low01, low23);
    vi b26 = _mm256_unpacklo_epi64(high01, high23), b37 = _mm256_unpackhi_epi64(high01, high23);
    w[0] = _mm256_permute2x128_si256(b04, b15, 0x20);
    w[1] = _mm256_permute2x128_si256(b26, b37, 0x20);
    w[2] = _mm256_permute2x128_si256(b04, b15, 0x31);
    w[3] = _mm256_permute2x128_si256(b26, b37, 0x31);
}

static inline vf vi_as_float(vi a) { return _mm256_castsi256_ps(a); }
static inline vi vf_as_int(vf a) { return _mm256_castps_si256(a); }
static inline vf vi_to_float(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vi vf_to_int(vf a) { return _mm256_cvtps_epi32(a); } /* to the nearest, ties to even */

static inline vm vf_lt(vf a, vf b) { return vf_as_int(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
static inline vm vf_le(vf a, vf b) { return vf_as_int(_mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
static inline vm vf_eq(vf a, vf b) { return vf_as_int(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
static inline vm vf_either_nan(vf a, vf b) { return vf_as_int(_mm256_cmp_ps(a, b, _CMP_UNORD_Q)); }
static inline vm vf_is_nan(vf a) { return vf_either_nan(a, a); }
static inline vm vm_all(void) { return _mm256_set1_epi32(-1); }
static inline vm vm_none(void) { return _mm256_setzero_si256(); }
static inline vm vm_and(vm a, vm b) { return _mm256_and_si256(a, b); }
static inline vm vm_or(vm a, vm b) { return _mm256_or_si256(a, b); }
static inline vm vm_not(vm a) { return _mm256_xor_si256(a, vm_all()); }
static inline vm vm_first(ptrdiff_t count) { /* the first count lanes, 0 <= count; all lanes from VL up */
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count > VL ? VL : (int32_t)count), vi_lanes());
}
static inline vf vf_select(vm mask, vf yes, vf no) { return _mm256_blendv_ps(no, yes, vi_as_float(mask)); }
static inline vf vf_where(vm mask, vf a) { return _mm256_and_ps(vi_as_float(mask), a); } /* a, or 0 */
static inline vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_neg(vf a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf vf_sign_of(vf magnitude, vf sign) { /* magnitude >= 0, with the sign bit of sign */
    return _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}

/* Lanes whose mask is off are neither read nor written; they load as 0. */
static inline vf vf_load_masked(const float *p, vm mask) { return _mm256_maskload_ps(p, mask); }
static inline void vf_store_masked(float *p, vm mask, vf a) { _mm256_maskstore_ps(p, mask, a); }
static inline vf vf_gather(const float *p, vi index, vm mask) {
    return _mm256_mask_i32gather_ps(vf_zero(), p, index, vi_as_float(mask), 4);
}

/* The first count lanes, 0 <= count < VL; the others load as 0. Many machines take ten times as long for a masked store as for a
 * plain one. */
static inline vf vf_load_part(const float *p, ptrdiff_t count) { return vf_load_masked(p, vm_first(count)); }
static inline void vf_store_part(float *p, ptrdiff_t count, vf a) {
    __m128 part = _mm256_castps256_ps128(a);
    if (count & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (count & 1) _mm_store_ss(p, part);
}

/* block[j] holds p[i * row + j] in lane i. Loads put halves in their places, which saves a third of vf_transpose's shuffles. */
static inline void vf_load_turned(const float *p, ptrdiff_t row, vf block[VL]) {
    for (int half = 0; half < 8; half += 4) {
        __m256 r[4], pair[4];
        for (int i = 0; i < 4; i++)
            r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + i * row + half)),
                                        _mm_loadu_ps(p + (i + 4) * row + half), 1);
        pair[0] = _mm256_unpacklo_ps(r[0], r[1]);
        pair[1] = _mm256_unpackhi_ps(r[0], r[1]);
        pair[2] = _mm256_unpacklo_ps(r[2], r[3]);
        pair[3] = _mm256_unpackhi_ps(r[2], r[3]);
        block[half] = _mm256_shuffle_ps(pair[0], pair[2], 0x44);
        block[half + 1] = _mm256_shuffle_ps(pair[0], pair[2], 0xEE);
        block[half + 2] = _mm256_shuffle_ps(pair[1], pair[3], 0x44);
        block[half + 3] = _mm256_shuffle_ps(pair[1], pair[3], 0xEE);
    }
}

/* Rows become columns: lane i of block[j] is lane j of what block[i] was. */
static inline void vf_transpose(vf block[VL]) {
    __m256 pair[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(block[i], block[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(block[i], block[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        block[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        block[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
    }
}

/* The lanes of even (odd) place of a, then of b; and back: a0 b0 a1 b1 … in the result and *high. */
static inline vf vf_even(vf a, vf b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xD8));
}
static inline vf vf_odd(vf a, vf b) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xDD)), 0xD8));
}
static inline vf vf_pick(vf a, vf b, vi index) { /* lane i is number index[i] < 2 VL of a's lanes, then b's */
    const vf low = _mm256_permutevar8x32_ps(a, index), high = _mm256_permutevar8x32_ps(b, index);
    return _mm256_blendv_ps(low, high, vi_as_float(vi_shift_left(index, 28)));
}
static inline vf vf_lookup(const float table[16], vi index) { return vf_pick(vf_load(table), vf_load(table + VL), index); }
static inline vf vf_interleave(vf a, vf b, vf *high) {
    vf near = _mm256_unpacklo_ps(a, b), far = _mm256_unpackhi_ps(a, b);
    *high = _mm256_permute2f128_ps(near, far, 0x31);
    return _mm256_permute2f128_ps(near, far, 0x20);
}

/* Sums in the order ((0+4)+(2+6)) + ((1+5)+(3+7)): halves onto halves. */
static inline float vf_sum(vf a) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline double vf_sum_double(vf a) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(a));
    __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
    __m256d four = _mm256_add_pd(low, high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* The largest lane, where none is NaN; the least. */
static inline float vf_largest(vf a) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline int32_t vi_least(vi a) {
    __m128i four = _mm_min_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    __m128i two = _mm_min_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_min_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

/* VL doubles, for sums that float32 would blur. */
typedef struct {
    __m256d low, high;
} vd;

static inline vd vd_set(double a) { return (vd){_mm256_set1_pd(a), _mm256_set1_pd(a)}; }
static inline vd vd_zero(void) { return vd_set(0.0); }
static inline vd vd_load(const double *p) { return (vd){_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
static inline void vd_store(double *p, vd a) {
    _mm256_storeu_pd(p, a.low);
    _mm256_storeu_pd(p + 4, a.high);
}
static inline vd vd_add(vd a, vd b) { return (vd){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)}; }
static inline vd vd_sub(vd a, vd b) { return (vd){_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)}; }
static inline vd vd_mul(vd a, vd b) { return (vd){_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)}; }
static inline vd vd_div(vd a, vd b) { return (vd){_mm256_div_pd(a.low, b.low), _mm256_div_pd(a.high, b.high)}; }
static inline vd vd_fma(vd a, vd b, vd c) { /* a b + c */
    return (vd){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}
static inline vd vf_to_double(vf a) {
    return (vd){_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
}
static inline vd vd_load_floats(const float *p) {
    return (vd){_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}
static inline vf vd_to_float(vd a) { return _mm256_set_m128(_mm256_cvtpd_ps(a.high), _mm256_cvtpd_ps(a.low)); }
/* In vf_sum_double's order. */
static inline double vd_sum(vd a) {
    __m256d four = _mm256_add_pd(a.low, a.high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* A mask as bits, lane 0's the lowest. */
static inline unsigned vm_bits(vm mask) { return (unsigned)_mm256_movemask_ps(vi_as_float(mask)); }
/* Four masks as 4 VL bytes of 0 or 1. */
static inline void vm_store_bools(uint8_t *p, vm a, vm b, vm c, vm d) {
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)p, _mm256_and_si256(bytes, _mm256_set1_epi8(1)));
}

#include "vector_common.h"

#endif
