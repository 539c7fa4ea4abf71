/* Four float32 lanes for any machine: gcc's and clang's vector types (SSE2, NEON, …), or plain loops where a compiler
 * has none (or RN_PLAIN_LANES asks for them). The same names as vector_avx2.h; no fused multiply-add: a b + c rounds twice. */
#ifndef RN_VECTOR_H
#define RN_VECTOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VL 4

#if defined(__GNUC__) && !defined(RN_PLAIN_LANES)
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));
#define AT(a, i) ((a)[i])
#define FOUR(a, b, c, d) {a, b, c, d}
#define RN_OPERATORS 1
#else
typedef struct {
    float lane[VL];
} vf;
typedef struct {
    int32_t lane[VL];
} vi;
#define AT(a, i) ((a).lane[i])
#define FOUR(a, b, c, d) {{a, b, c, d}}
#define RN_OPERATORS 0
#endif
typedef vi vm; /* a mask: all bits of a lane set, or none */

/* One lane at a time: r[i] = expression, for all i. */
#define EACH(type, expression)                            \
    do {                                                  \
        type r;                                           \
        for (int i = 0; i < VL; i++) AT(r, i) = (expression); \
        return r;                                         \
    } while (0)

#if RN_OPERATORS
#define BINARY(type, name, op) \
    static inline type name(type a, type b) { return a op b; }
#define COMPARE(type, name, op) \
    static inline vm name(type a, type b) { return (vm)(a op b); }
#else
#define BINARY(type, name, op) \
    static inline type name(type a, type b) { EACH(type, AT(a, i) op AT(b, i)); }
#define COMPARE(type, name, op) \
    static inline vm name(type a, type b) { EACH(vm, AT(a, i) op AT(b, i) ? -1 : 0); }
#endif

static inline vf vf_set(float a) {
    vf r = FOUR(a, a, a, a);
    return r;
}
static inline vf vf_zero(void) { return vf_set(0.0f); }
static inline vf vf_load(const float *p) {
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
static inline void vf_store(float *p, vf a) { memcpy(p, &a, sizeof a); }
static inline void vf_stream(float *p, vf a) { vf_store(p, a); } /* others go past the caches here */
static inline void vf_stream_end(void) {}
static inline vi vi_load(const int32_t *p) {
    vi a;
    memcpy(&a, p, sizeof a);
    return a;
}
static inline void vi_store(int32_t *p, vi a) { memcpy(p, &a, sizeof a); }
static inline vf vi_as_float(vi a) {
    vf b;
    memcpy(&b, &a, sizeof b);
    return b;
}
static inline vi vf_as_int(vf a) {
    vi b;
    memcpy(&b, &a, sizeof b);
    return b;
}

static inline vi vi_set(int32_t a) {
    vi r = FOUR(a, a, a, a);
    return r;
}
static inline vi vi_lanes(void) {
    vi r = FOUR(0, 1, 2, 3);
    return r;
}
/* Signed overflow wraps, as the instructions do. */
#if RN_OPERATORS
#define UNSIGNED(name, op) \
    static inline vi name(vi a, vi b) { return (vi)((vu)a op (vu)b); }
#else
#define UNSIGNED(name, op) \
    static inline vi name(vi a, vi b) { EACH(vi, (int32_t)((uint32_t)AT(a, i) op (uint32_t)AT(b, i))); }
#endif
UNSIGNED(vi_add, +)
UNSIGNED(vi_sub, -)
UNSIGNED(vi_mul, *)
BINARY(vi, vi_and, &)
BINARY(vi, vi_or, |)
BINARY(vi, vi_xor, ^)
COMPARE(vi, vi_gt, >)
COMPARE(vi, vi_eq, ==)
static inline vm vm_all(void) { return vi_set(-1); }
static inline vm vm_none(void) { return vi_set(0); }
static inline vm vm_and(vm a, vm b) { return vi_and(a, b); }
static inline vm vm_or(vm a, vm b) { return vi_or(a, b); }
static inline vm vm_not(vm a) { return vi_xor(a, vm_all()); }
static inline vm vm_first(ptrdiff_t count) { /* the first count lanes, 0 <= count; all lanes from VL up */
    return vi_gt(vi_set(count > VL ? VL : (int32_t)count), vi_lanes());
}
static inline int vm_any(vm mask) {
    int32_t any = 0;
    for (int i = 0; i < VL; i++) any |= AT(mask, i);
    return any != 0;
}
static inline vi vi_shift_left(vi a, int bits) { EACH(vi, (int32_t)((uint32_t)AT(a, i) << bits)); }
static inline vi vi_shift_right(vi a, int bits) { EACH(vi, (int32_t)((uint32_t)AT(a, i) >> bits)); } /* zeros come in */

/* The 64-bit products of unsigned lanes: the low halves returned, the high halves in *high. */
static inline vi vi_mul_wide(vi a, vi b, vi *high) {
    vi low;
    for (int i = 0; i < VL; i++) {
        uint64_t product = (uint64_t)(uint32_t)AT(a, i) * (uint32_t)AT(b, i);
        AT(low, i) = (int32_t)(uint32_t)product;
        AT(*high, i) = (int32_t)(uint32_t)(product >> 32);
    }
    return low;
}

/* w[k] lane b becomes element 4 b + k of the 4 VL elements that w[0] w[1] w[2] w[3] hold in a row. */
static inline void vi_interleave(vi w[4]) {
    int32_t row[4 * VL];
    for (int b = 0; b < VL; b++)
        for (int k = 0; k < 4; k++) row[4 * b + k] = AT(w[k], b);
    for (int k = 0; k < 4; k++) w[k] = vi_load(row + k * VL);
}

BINARY(vf, vf_add, +)
BINARY(vf, vf_sub, -)
BINARY(vf, vf_mul, *)
BINARY(vf, vf_div, /)
static inline vf vf_sqrt(vf a) { EACH(vf, sqrtf(AT(a, i))); }
static inline vf vf_fma(vf a, vf b, vf c) { return vf_add(vf_mul(a, b), c); }  /* a b + c */
static inline vf vf_fnma(vf a, vf b, vf c) { return vf_sub(c, vf_mul(a, b)); } /* c - a b */
static inline vf vf_product_rest(vf a, vf b, vf product) {                     /* what rounding a b lost */
    EACH(vf, (float)((double)AT(a, i) * (double)AT(b, i) - (double)AT(product, i)));
}
static inline vf vf_floor(vf a) { EACH(vf, floorf(AT(a, i))); }
#if RN_OPERATORS
static inline vf vi_to_float(vi a) { return __builtin_convertvector(a, vf); }
#else
static inline vf vi_to_float(vi a) { EACH(vf, (float)AT(a, i)); }
#endif

static inline vf vf_lookup(const float table[16], vi index) { EACH(vf, table[AT(index, i) & 15]); } /* the low 4 bits of index */

COMPARE(vf, vf_lt, <)
COMPARE(vf, vf_le, <=)
COMPARE(vf, vf_eq, ==)
COMPARE(vf, vf_differs, !=)
static inline vm vf_is_nan(vf a) { return vf_differs(a, a); }
static inline vm vf_either_nan(vf a, vf b) { return vm_or(vf_is_nan(a), vf_is_nan(b)); }
static inline vf vf_where(vm mask, vf a) { return vi_as_float(vi_and(mask, vf_as_int(a))); } /* a, or 0 */
static inline vf vf_select(vm mask, vf yes, vf no) {
    return vi_as_float(vi_or(vi_and(mask, vf_as_int(yes)), vi_and(vm_not(mask), vf_as_int(no))));
}
/* The second operand where either is NaN, as the instruction does; all headers agree. */
static inline vf vf_min(vf a, vf b) { return vf_select(vf_lt(a, b), a, b); }
static inline vf vf_max(vf a, vf b) { return vf_select(vf_lt(b, a), a, b); }
static inline vf vf_abs(vf a) { return vi_as_float(vi_and(vf_as_int(a), vi_set(INT32_MAX))); }
static inline vf vf_neg(vf a) { return vi_as_float(vi_xor(vf_as_int(a), vi_set(INT32_MIN))); }
static inline vf vf_sign_of(vf magnitude, vf sign) { /* magnitude >= 0, with the sign bit of sign */
    return vi_as_float(vi_or(vf_as_int(magnitude), vi_and(vf_as_int(sign), vi_set(INT32_MIN))));
}
/* Adding and taking away 2^23 under a's sign leaves the nearest integer, ties to even; from 2^23 up all floats are whole. */
static inline vf vf_round(vf a) {
    vf shift = vf_sign_of(vf_set(8388608.0f), a);
    vf rounded = vf_sign_of(vf_abs(vf_sub(vf_add(a, shift), shift)), a);
    return vf_select(vf_lt(vf_abs(a), vf_set(8388608.0f)), rounded, a);
}
/* To the nearest, ties to even; INT32_MIN where it does not fit, as the instruction gives. */
static inline vi vf_to_int(vf a) {
    EACH(vi, AT(a, i) >= -2147483648.0f && AT(a, i) < 2147483648.0f ? (int32_t)lrintf(AT(a, i)) : INT32_MIN);
}

/* Lanes whose mask is off are neither read nor written; they load as 0. */
static inline vf vf_load_masked(const float *p, vm mask) { EACH(vf, AT(mask, i) ? p[i] : 0.0f); }
static inline void vf_store_masked(float *p, vm mask, vf a) {
    for (int i = 0; i < VL; i++)
        if (AT(mask, i)) p[i] = AT(a, i);
}
static inline vf vf_gather(const float *p, vi index, vm mask) { EACH(vf, AT(mask, i) ? p[AT(index, i)] : 0.0f); }

/* The first count lanes, 0 <= count < VL; the others load as 0. */
static inline vf vf_load_part(const float *p, ptrdiff_t count) { EACH(vf, i < count ? p[i] : 0.0f); }
static inline void vf_store_part(float *p, ptrdiff_t count, vf a) {
    for (ptrdiff_t i = 0; i < count; i++) p[i] = AT(a, i);
}

/* Rows become columns: lane i of block[j] is lane j of what block[i] was. */
static inline void vf_transpose(vf block[VL]) {
    const vf a = block[0], b = block[1], c = block[2], d = block[3];
    for (int i = 0; i < VL; i++) {
        vf turned = FOUR(AT(a, i), AT(b, i), AT(c, i), AT(d, i));
        block[i] = turned;
    }
}
/* block[j] holds p[i * row + j] in lane i. */
static inline void vf_load_turned(const float *p, ptrdiff_t row, vf block[VL]) {
    for (int i = 0; i < VL; i++) block[i] = vf_load(p + i * row);
    vf_transpose(block);
}

/* The lanes of even (odd) place of a, then of b; and back: a0 b0 a1 b1 … in the result and *high. */
static inline vf vf_even(vf a, vf b) {
    const float lane[VL] = {AT(a, 0), AT(a, 2), AT(b, 0), AT(b, 2)};
    return vf_load(lane);
}
static inline vf vf_odd(vf a, vf b) {
    const float lane[VL] = {AT(a, 1), AT(a, 3), AT(b, 1), AT(b, 3)};
    return vf_load(lane);
}
static inline vf vf_pick(vf a, vf b, vi index) { /* lane i is number index[i] < 2 VL of a's lanes, then b's */
    EACH(vf, (AT(index, i) & VL) ? AT(b, AT(index, i) % VL) : AT(a, AT(index, i) % VL));
}
static inline vf vf_interleave(vf a, vf b, vf *high) {
    const float low[VL] = {AT(a, 0), AT(b, 0), AT(a, 1), AT(b, 1)}, rest[VL] = {AT(a, 2), AT(b, 2), AT(a, 3), AT(b, 3)};
    *high = vf_load(rest);
    return vf_load(low);
}

/* Sums in the order (0+2) + (1+3): halves onto halves. */
/* The largest lane, where none is NaN; the least. */
static inline float vf_largest(vf a) {
    float largest = AT(a, 0);
    for (int i = 1; i < VL; i++) largest = AT(a, i) > largest ? AT(a, i) : largest;
    return largest;
}
static inline int32_t vi_least(vi a) {
    int32_t least = AT(a, 0);
    for (int i = 1; i < VL; i++) least = AT(a, i) < least ? AT(a, i) : least;
    return least;
}
static inline float vf_sum(vf a) { return (AT(a, 0) + AT(a, 2)) + (AT(a, 1) + AT(a, 3)); }
static inline double vf_sum_double(vf a) { return ((double)AT(a, 0) + (double)AT(a, 2)) + ((double)AT(a, 1) + (double)AT(a, 3)); }

/* VL doubles, for sums that float32 would blur. */
typedef struct {
    double lane[VL];
} vd;
#define EACH_DOUBLE(expression)                               \
    do {                                                      \
        vd r;                                                 \
        for (int i = 0; i < VL; i++) r.lane[i] = (expression); \
        return r;                                             \
    } while (0)

static inline vd vd_set(double a) { EACH_DOUBLE(a); }
static inline vd vd_zero(void) { return vd_set(0.0); }
static inline vd vd_load(const double *p) { EACH_DOUBLE(p[i]); }
static inline void vd_store(double *p, vd a) { memcpy(p, a.lane, sizeof a.lane); }
static inline vd vd_add(vd a, vd b) { EACH_DOUBLE(a.lane[i] + b.lane[i]); }
static inline vd vd_sub(vd a, vd b) { EACH_DOUBLE(a.lane[i] - b.lane[i]); }
static inline vd vd_mul(vd a, vd b) { EACH_DOUBLE(a.lane[i] * b.lane[i]); }
static inline vd vd_div(vd a, vd b) { EACH_DOUBLE(a.lane[i] / b.lane[i]); }
static inline vd vd_fma(vd a, vd b, vd c) { EACH_DOUBLE(a.lane[i] * b.lane[i] + c.lane[i]); } /* a b + c */
static inline vd vf_to_double(vf a) { EACH_DOUBLE((double)AT(a, i)); }
static inline vd vd_load_floats(const float *p) { EACH_DOUBLE((double)p[i]); }
static inline vf vd_to_float(vd a) {
    vf r;
    for (int i = 0; i < VL; i++) AT(r, i) = (float)a.lane[i];
#if RN_OPERATORS
    /* gcc 12 takes a vector made double again for the one before it was rounded; this it cannot look through. */
    __asm__("" : "+m"(r));
#endif
    return r;
}
/* In vf_sum_double's order. */
static inline double vd_sum(vd a) { return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]); }

/* A mask as bits, lane 0's the lowest. */
static inline unsigned vm_bits(vm mask) {
    unsigned bits = 0;
    for (int i = 0; i < VL; i++) bits |= (unsigned)(AT(mask, i) != 0) << i;
    return bits;
}
/* Four masks as 4 VL bytes of 0 or 1. */
static inline void vm_store_bools(uint8_t *p, vm a, vm b, vm c, vm d) {
    for (int i = 0; i < VL; i++) {
        p[i] = AT(a, i) != 0;
        p[VL + i] = AT(b, i) != 0;
        p[2 * VL + i] = AT(c, i) != 0;
        p[3 * VL + i] = AT(d, i) != 0;
    }
}

#include "vector_common.h"

#endif
