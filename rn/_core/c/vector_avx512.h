/* Sixteen float32 lanes on AVX-512 (F, BW, DQ, VL). The same names as vector_generic.h; kernels are written once over them. */
#ifndef RN_VECTOR_H
#define RN_VECTOR_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VL 16

typedef __m512 vf;    /* VL floats */
typedef __m512i vi;   /* VL int32 */
typedef __mmask16 vm; /* a mask: one bit a lane */

static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_set(float a) { return _mm512_set1_ps(a); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline void vf_stream(float *p, vf a) { _mm512_stream_ps(p, a); } /* past the caches; p on a boundary of 4 VL bytes */
static inline void vf_stream_end(void) { _mm_sfence(); }                 /* before others may read what was streamed */

static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
/* The second operand where either is NaN, as the instruction does; all headers agree. */
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }                      /* a b + c */
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }                    /* c - a b */
static inline vf vf_product_rest(vf a, vf b, vf product) { return _mm512_fmsub_ps(a, b, product); } /* what rounding a b lost */
static inline vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf vf_floor(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

static inline vi vi_set(int32_t a) { return _mm512_set1_epi32(a); }
static inline vi vi_lanes(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
static inline vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline void vi_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
static inline vm vi_gt(vi a, vi b) { return _mm512_cmpgt_epi32_mask(a, b); }
static inline vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
static inline int vm_any(vm mask) { return mask != 0; }
#define vi_shift_left(a, bits) _mm512_slli_epi32(a, bits)
#define vi_shift_right(a, bits) _mm512_srli_epi32(a, bits) /* zeros come in */

/* The 64-bit products of unsigned lanes: the low halves returned, the high halves in *high. */
static inline vi vi_mul_wide(vi a, vi b, vi *high) {
    __m512i even = _mm512_mul_epu32(a, b);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
    *high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
    return _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

/* Quarters of vectors as the elements of a 4 x 4 matrix: rows become columns. */
static inline void turn_quarters(__m512i r[4]) {
    __m512i near01 = _mm512_shuffle_i32x4(r[0], r[1], 0x44), far01 = _mm512_shuffle_i32x4(r[0], r[1], 0xEE);
    __m512i near23 = _mm512_shuffle_i32x4(r[2], r[3], 0x44), far23 = _mm512_shuffle_i32x4(r[2], r[3], 0xEE);
    r[0] = _mm512_shuffle_i32x4(near01, near23, 0x88);
    r[1] = _mm512_shuffle_i32x4(near01, near23, 0xDD);
    r[2] = _mm512_shuffle_i32x4(far01, far23, 0x88);
    r[3] = _mm512_shuffle_i32x4(far01, far23, 0xDD);
}
/* And the elements inside each quarter of four vectors: rows become columns. */
static inline void turn_inside_quarters(__m512i r[4]) {
    __m512i low01 = _mm512_unpacklo_epi32(r[0], r[1]), high01 = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i low23 = _mm512_unpacklo_epi32(r[2], r[3]), high23 = _mm512_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm512_unpacklo_epi64(low01, low23);
    r[1] = _mm512_unpackhi_epi64(low01, low23);
    r[2] = _mm512_unpacklo_epi64(high01, high23);
    r[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* w[k] lane b becomes element 4 b + k of the 4 VL elements that w[0] w[1] w[2] w[3] hold in a row. */
static inline void vi_interleave(vi w[4]) {
    turn_inside_quarters(w);
    turn_quarters(w);
}

static inline vf vi_as_float(vi a) { return _mm512_castsi512_ps(a); }
static inline vi vf_as_int(vf a) { return _mm512_castps_si512(a); }
static inline vf vi_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vi vf_to_int(vf a) { return _mm512_cvtps_epi32(a); } /* to the nearest, ties to even */

#define RN_OWN_SCALE
static inline vf vf_scale(vf a, vf n) { return _mm512_scalef_ps(a, n); } /* as in vector_common.h */
static inline vf vf_lookup(const float table[16], vi index) {
    return _mm512_permutexvar_ps(index, vf_load(table));
} /* its low 4 bits */

static inline vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm vf_either_nan(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
static inline vm vf_is_nan(vf a) { return vf_either_nan(a, a); }
static inline vm vm_all(void) { return 0xFFFF; }
static inline vm vm_none(void) { return 0; }
static inline vm vm_and(vm a, vm b) { return _kand_mask16(a, b); }
static inline vm vm_or(vm a, vm b) { return _kor_mask16(a, b); }
static inline vm vm_not(vm a) { return _knot_mask16(a); }
static inline vm vm_first(ptrdiff_t count) { /* the first count lanes, 0 <= count; all lanes from VL up */
    return count >= VL ? 0xFFFF : (vm)((1u << count) - 1u);
}
static inline vf vf_select(vm mask, vf yes, vf no) { return _mm512_mask_blend_ps(mask, no, yes); }
static inline vf vf_where(vm mask, vf a) { return _mm512_maskz_mov_ps(mask, a); } /* a, or 0 */
static inline vf vf_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf vf_neg(vf a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf vf_sign_of(vf magnitude, vf sign) { /* magnitude >= 0, with the sign bit of sign */
    return _mm512_or_ps(magnitude, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}

/* Lanes whose mask is off are neither read nor written; they load as 0. */
static inline vf vf_load_masked(const float *p, vm mask) { return _mm512_maskz_loadu_ps(mask, p); }
static inline void vf_store_masked(float *p, vm mask, vf a) { _mm512_mask_storeu_ps(p, mask, a); }
static inline vf vf_gather(const float *p, vi index, vm mask) { return _mm512_mask_i32gather_ps(vf_zero(), mask, index, p, 4); }

/* The first count lanes, 0 <= count < VL; the others load as 0. */
static inline vf vf_load_part(const float *p, ptrdiff_t count) { return _mm512_maskz_loadu_ps((vm)((1u << count) - 1u), p); }
static inline void vf_store_part(float *p, ptrdiff_t count, vf a) { _mm512_mask_storeu_ps(p, (vm)((1u << count) - 1u), a); }

/* block[j] holds p[i * row + j] in lane i. Loads put quarters in their places, which saves half of vf_transpose's shuffles. */
static inline void vf_load_turned(const float *p, ptrdiff_t row, vf block[VL]) {
    for (int quarter = 0; quarter < VL; quarter += 4) {
        __m512i r[4];
        for (int i = 0; i < 4; i++) {
            const float *from = p + i * row + quarter;
            __m512 four = _mm512_castps128_ps512(_mm_loadu_ps(from));
            four = _mm512_insertf32x4(four, _mm_loadu_ps(from + 4 * row), 1);
            four = _mm512_insertf32x4(four, _mm_loadu_ps(from + 8 * row), 2);
            r[i] = vf_as_int(_mm512_insertf32x4(four, _mm_loadu_ps(from + 12 * row), 3));
        }
        turn_inside_quarters(r);
        for (int i = 0; i < 4; i++) block[quarter + i] = vi_as_float(r[i]);
    }
}

/* Rows become columns: lane i of block[j] is lane j of what block[i] was. */
static inline void vf_transpose(vf block[VL]) {
    __m512i r[4][4]; /* r[j][i], then: quarter q holds column 4 q + j of rows 4 i to 4 i + 3 */
    for (int i = 0; i < 4; i++) {
        __m512i four[4];
        for (int j = 0; j < 4; j++) four[j] = vf_as_int(block[4 * i + j]);
        turn_inside_quarters(four);
        for (int j = 0; j < 4; j++) r[j][i] = four[j];
    }
    for (int j = 0; j < 4; j++) {
        turn_quarters(r[j]);
        for (int q = 0; q < 4; q++) block[4 * q + j] = vi_as_float(r[j][q]);
    }
}

/* The lanes of even (odd) place of a, then of b; and back: a0 b0 a1 b1 … in the result and *high. Index 16 is lane 0 of b. */
static inline vf vf_even(vf a, vf b) {
    const vi from = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, from, b);
}
static inline vf vf_odd(vf a, vf b) {
    const vi from = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, from, b);
}
static inline vf vf_pick(vf a, vf b, vi index) { return _mm512_permutex2var_ps(a, index, b); } /* of a's lanes, then b's */
static inline vf vf_interleave(vf a, vf b, vf *high) {
    const vi first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const vi second = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    *high = _mm512_permutex2var_ps(a, second, b);
    return _mm512_permutex2var_ps(a, first, b);
}

/* Sums halves onto halves: lane i takes lane i + 8, then i + 4, i + 2, i + 1. */
static inline float vf_sum(vf a) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* The largest lane, where none is NaN; the least. */
static inline float vf_largest(vf a) {
    __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
static inline int32_t vi_least(vi a) {
    __m256i eight = _mm256_min_epi32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1));
    __m128i four = _mm_min_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_min_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    return _mm_cvtsi128_si32(_mm_min_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

/* VL doubles, for sums that float32 would blur. */
typedef struct {
    __m512d low, high;
} vd;

static inline vd vd_set(double a) { return (vd){_mm512_set1_pd(a), _mm512_set1_pd(a)}; }
static inline vd vd_zero(void) { return vd_set(0.0); }
static inline vd vd_load(const double *p) { return (vd){_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
static inline void vd_store(double *p, vd a) {
    _mm512_storeu_pd(p, a.low);
    _mm512_storeu_pd(p + 8, a.high);
}
static inline vd vd_add(vd a, vd b) { return (vd){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)}; }
static inline vd vd_sub(vd a, vd b) { return (vd){_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)}; }
static inline vd vd_mul(vd a, vd b) { return (vd){_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)}; }
static inline vd vd_div(vd a, vd b) { return (vd){_mm512_div_pd(a.low, b.low), _mm512_div_pd(a.high, b.high)}; }
static inline vd vd_fma(vd a, vd b, vd c) { /* a b + c */
    return (vd){_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}
static inline vd vf_to_double(vf a) {
    return (vd){_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}
static inline vd vd_load_floats(const float *p) {
    return (vd){_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))};
}
static inline vf vd_to_float(vd a) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.low)), _mm512_cvtpd_ps(a.high), 1);
}
/* In vf_sum's order. */
static inline double vd_sum(vd a) {
    __m512d eight = _mm512_add_pd(a.low, a.high);
    __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
static inline double vf_sum_double(vf a) { return vd_sum(vf_to_double(a)); }

/* A mask as bits, lane 0's the lowest. */
static inline unsigned vm_bits(vm mask) { return mask; }
/* Four masks as 4 VL bytes of 0 or 1. */
static inline void vm_store_bools(uint8_t *p, vm a, vm b, vm c, vm d) {
    const uint64_t low = vm_bits(a) | vm_bits(b) << VL, high = vm_bits(c) | vm_bits(d) << VL;
    _mm512_storeu_si512(p, _mm512_maskz_set1_epi8(low | high << 2 * VL, 1));
}

#include "vector_common.h"

#endif
