/* Elementary functions of VL floats at a time, at most 4 ulp from the true value (sin and cos: for any finite x), NaN kept, exact
 * at zeros and infinities. Each is a reduction to a small interval and a polynomial there. The polynomials are minimax fits for
 * these intervals; their own error stays below 0.1 ulp, so that rounding is what is left. Nothing here relies on a fused
 * multiply-add. */
#ifndef RN_VECTOR_MATH_H
#define RN_VECTOR_MATH_H

#include <string.h>

/* Added to 1.5 2^23, a number below 2^22 loses its fraction; the last bits of the sum are those of the whole number n that is
 * left. */
#define RN_WHOLE 12582912.0f

/* 2^n for whole n from -126 to 127, given n + RN_WHOLE. */
static inline vf v_power_of_two(vf sum) { return vi_as_float(vi_add(vi_shift_left(vf_as_int(sum), 23), vi_set(127 << 23))); }

/* log 2 = LN2_HIGH + LN2_LOW; LN2_HIGH has 9 bits, so that whole numbers up to 15 bits times it are exact. */
#define RN_LN2_HIGH 0.693359375f
#define RN_LN2_LOW -2.12194440e-4f

/* exp(x) = 2^n exp(r), |r| <= log(2) / 2. Returns exp(r) - 1, and n + RN_WHOLE in *sum, for x inside [-104, 89]. */
static inline vf v_exp_reduced(vf x, vf *sum) {
    *sum = vf_fma(x, vf_set(1.44269504f), vf_set(RN_WHOLE));
    vf n = vf_sub(*sum, vf_set(RN_WHOLE));
    vf r = vf_fnma(n, vf_set(RN_LN2_HIGH), x);
    r = vf_fnma(n, vf_set(RN_LN2_LOW), r);
    vf p = vf_set(1.381446491e-03f);
    p = vf_fma(p, r, vf_set(8.368780836e-03f));
    p = vf_fma(p, r, vf_set(4.166839272e-02f));
    p = vf_fma(p, r, vf_set(1.666651964e-01f));
    p = vf_fma(p, r, vf_set(4.999999404e-01f));
    return vf_fma(p, vf_mul(r, r), r);
}

static inline vf v_exp(vf x) {
    x = vf_max(vf_set(-104.0f), vf_min(vf_set(89.0f), x)); /* beyond lie 0 and infinity; NaN passes as second operand */
    vf sum, p = v_exp_reduced(x, &sum);
    return vf_scale(vf_add(p, vf_set(1.0f)), vf_sub(sum, vf_set(RN_WHOLE)));
}

/* e^x for x from -87 to 88, where the result is no denormal; NaN stays. */
static inline vf v_exp_normal(vf x) {
    vf sum, p = v_exp_reduced(x, &sum);
    return vf_mul(vf_add(p, vf_set(1.0f)), v_power_of_two(sum));
}

/* e^x - 1 for x from -87 to 88, with full relative accuracy near 0. */
static inline vf v_expm1_normal(vf x) {
    vf sum, p = v_exp_reduced(x, &sum), scale = v_power_of_two(sum);
    return vf_fma(p, scale, vf_sub(scale, vf_set(1.0f)));
}

/* e^x - 1 for x <= 0; of larger x, e^0 - 1. */
static inline vf v_expm1_negative(vf x) { return v_expm1_normal(vf_max(vf_set(-87.0f), vf_min(vf_set(0.0f), x))); }

/* log(1 + f) - f = f^3 P(f) - f^2 / 2, for sqrt(1/2) <= 1 + f < sqrt(2); f itself is added last, where its digits count. */
static inline vf v_log_reduced(vf f) {
    vf p = vf_set(6.746591628e-02f);
    p = vf_fma(p, f, vf_set(-1.167563871e-01f));
    p = vf_fma(p, f, vf_set(1.188817769e-01f));
    p = vf_fma(p, f, vf_set(-1.240559220e-01f));
    p = vf_fma(p, f, vf_set(1.421955079e-01f));
    p = vf_fma(p, f, vf_set(-1.666799635e-01f));
    p = vf_fma(p, f, vf_set(2.000211924e-01f));
    p = vf_fma(p, f, vf_set(-2.500000894e-01f));
    p = vf_fma(p, f, vf_set(3.333331347e-01f));
    vf square = vf_mul(f, f);
    return vf_fma(square, vf_set(-0.5f), vf_mul(vf_mul(p, f), square));
}

/* Natural logarithm of normal x > 0: x = 2^e (1 + f), log(x) = e log(2) + log(1 + f). */
static inline vf v_log_normal(vf x) {
    vi bits = vf_as_int(x);
    vi half = vi_set(0x3f3504f3); /* sqrt(1/2) */
    vi e = vi_sub(vi_shift_right(vi_add(vi_sub(bits, half), vi_set(128 << 23)), 23), vi_set(128));
    vf f = vf_sub(vi_as_float(vi_sub(bits, vi_shift_left(e, 23))), vf_set(1.0f));
    vf power = vi_to_float(e);
    vf y = vf_fma(power, vf_set(RN_LN2_LOW), v_log_reduced(f));
    return vf_fma(power, vf_set(RN_LN2_HIGH), vf_add(f, y));
}

/* Natural logarithm of any x; what is rare has a way of its own. Denormals are scaled up first, and the scale taken off. */
static inline vf v_log(vf x) {
    const vm normal = vm_and(vf_le(vf_set(1.17549435e-38f), x), vf_lt(x, vf_set(INFINITY)));
    if (!vm_any(vm_not(normal))) return v_log_normal(x);
    vf scaled = vf_sub(v_log_normal(vf_mul(x, vf_set(8388608.0f))), vf_set(15.9423851f)); /* 23 log 2 */
    vf y = vf_select(normal, v_log_normal(x), scaled);
    y = vf_select(vf_lt(x, vf_set(INFINITY)), y, x); /* infinity and NaN stay */
    y = vf_select(vf_lt(x, vf_zero()), vf_set(NAN), y);
    return vf_select(vf_eq(x, vf_zero()), vf_set(-INFINITY), y);
}

/* log(1 + x) for finite x >= -1: what 1 + x rounds away is put back. */
static inline vf v_log1p(vf x) {
    vf u = vf_add(vf_set(1.0f), x);
    return vf_add(v_log(u), vf_div(vf_sub(x, vf_sub(u, vf_set(1.0f))), u));
}

/* log(1 + x) for x from 0 to 1: f = x, or 1 + f = (1 + x) / 2 where that is nearer to 1. */
static inline vf v_log1p_unit(vf x) {
    vm upper = vf_lt(vf_set(0.41421356f), x);
    vf f = vf_select(upper, vf_mul(vf_sub(x, vf_set(1.0f)), vf_set(0.5f)), x);
    return vf_add(vf_where(upper, vf_set(0.69314718f)), vf_add(f, v_log_reduced(f)));
}

/* tanh: odd; m / (m + 2) with m = e^2|x| - 1, which keeps its digits near 0. */
static inline vf v_tanh(vf x) {
    vf size = vf_abs(x), m = v_expm1_normal(vf_min(vf_set(20.0f), vf_add(size, size))); /* tanh(10) is 1 */
    return vf_sign_of(vf_div(m, vf_add(m, vf_set(2.0f))), x);
}

/* 1 / (1 + e^-x) as e^-|x| gives it: 1 / (1 + e) on the right, e / (1 + e) on the left, where the result may be tiny. */
static inline vf v_sigmoid(vf x) {
    vf e = v_exp(vf_neg(vf_abs(x)));
    return vf_div(vf_select(vf_lt(x, vf_zero()), e, vf_set(1.0f)), vf_add(vf_set(1.0f), e));
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
static inline vf v_softplus(vf x) { return vf_add(vf_max(vf_zero(), x), v_log1p_unit(v_exp(vf_neg(vf_abs(x))))); }

/* For finite |x| beyond what exact products can reduce: r = x - q pi/2 and q mod 4, by integer arithmetic. x = m 2^e with 24-bit
 * m; bits of 1 / 2pi before the e-th give whole turns and are skipped, the next 96 give the turn's fraction to 2^-72. */
static inline float v_reduce_huge(float x, int32_t *quarter) {
    static const uint32_t turn[] = {/* 1 / 2pi in base 2^32, after a word of zeros */
                                    0, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau};
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int skipped = (int)(bits >> 23 & 255) - 150 + 32;
    const uint64_t m = (bits & 0x7fffffu) | 0x800000u;
    uint64_t w[3];
    for (int i = 0; i < 3; i++) {
        const uint32_t *at = turn + (skipped >> 5) + i;
        w[i] = (uint32_t)(((uint64_t)at[0] << 32 | at[1]) >> (32 - (skipped & 31)));
    }
    const uint64_t fraction = (m * w[0] << 32) + m * w[1] + (m * w[2] >> 32);
    const uint64_t q = (fraction + ((uint64_t)1 << 61)) >> 62;
    *quarter = (int32_t)q;
    return (float)((double)(int64_t)(fraction - (q << 62)) * (6.283185307179586 / 18446744073709551616.0));
}

/* sin(|x| + shift pi/2). pi/2 is taken away in five parts, four of 11 bits: exact products for up to 2^13 quarter turns. */
static inline vf v_sin_shifted(vf x, int shift) {
    vf size = vf_abs(x);
    vf whole = vf_round(vf_mul(size, vf_set(0.636619772f)));
    vi quarter = vf_to_int(whole);
    vf r = vf_fnma(whole, vf_set(0x1.92p+0f), size);
    r = vf_fnma(whole, vf_set(0x1.fb4p-12f), r);
    r = vf_fnma(whole, vf_set(0x1.444p-24f), r);
    r = vf_fnma(whole, vf_set(0x1.68cp-39f), r);
    r = vf_fnma(whole, vf_set(0x1.1a6264p-54f), r);
    vm huge = vf_lt(vf_set(1e4f), size);
    if (vm_any(huge)) {
        float lane[VL], rest[VL];
        int32_t quarters[VL];
        vf_store(lane, size);
        vf_store(rest, r);
        vi_store(quarters, quarter);
        for (int i = 0; i < VL; i++)
            if (lane[i] > 1e4f) rest[i] = lane[i] < INFINITY ? v_reduce_huge(lane[i], &quarters[i]) : NAN;
        r = vf_load(rest);
        quarter = vi_load(quarters);
    }
    quarter = vi_add(quarter, vi_set(shift));
    vf z = vf_mul(r, r);
    vf s = vf_set(-1.951463055e-04f);
    s = vf_fma(s, z, vf_set(8.332155645e-03f));
    s = vf_fma(s, z, vf_set(-1.666665524e-01f));
    s = vf_fma(s, vf_mul(z, r), r);
    vf c = vf_set(2.443241101e-05f);
    c = vf_fma(c, z, vf_set(-1.388730947e-03f));
    c = vf_fma(c, z, vf_set(4.166664556e-02f));
    c = vf_fma(c, vf_mul(z, z), vf_fma(z, vf_set(-0.5f), vf_set(1.0f)));
    vf y = vf_select(vi_eq(vi_and(quarter, vi_set(1)), vi_set(1)), c, s);
    vi sign = vi_shift_left(vi_and(quarter, vi_set(2)), 30);
    return vi_as_float(vi_xor(vf_as_int(y), sign));
}
static inline vf v_sin(vf x) {
    vi sign = vi_and(vf_as_int(x), vi_set(INT32_MIN));
    return vi_as_float(vi_xor(vf_as_int(v_sin_shifted(x, 0)), sign));
}
static inline vf v_cos(vf x) { return v_sin_shifted(x, 1); }

/* Error function: odd; x + x P(x^2) below 1, from there on 1 - e^Q(x), where Q fits the logarithm of 1 - erf. */
static inline vf v_erf(vf x) {
    vf size = vf_abs(x);
    vf z = vf_mul(x, x);
    vf p = vf_set(7.853854186e-05f);
    p = vf_fma(p, z, vf_set(-8.010191377e-04f));
    p = vf_fma(p, z, vf_set(5.188327283e-03f));
    p = vf_fma(p, z, vf_set(-2.685381100e-02f));
    p = vf_fma(p, z, vf_set(1.128358543e-01f));
    p = vf_fma(p, z, vf_set(-3.761262596e-01f));
    p = vf_fma(p, z, vf_set(1.283791661e-01f));
    vf small = vf_fma(size, p, size);
    vf at = vf_min(vf_set(4.0f), size); /* from 4 on erf is 1 */
    vf q = vf_set(1.863800862e-04f);
    q = vf_fma(q, at, vf_set(-2.947666682e-03f));
    q = vf_fma(q, at, vf_set(2.183809690e-02f));
    q = vf_fma(q, at, vf_set(-1.031068191e-01f));
    q = vf_fma(q, at, vf_set(-6.381447315e-01f));
    q = vf_fma(q, at, vf_set(-1.127089262e+00f));
    q = vf_fma(q, at, vf_set(-3.415125830e-04f));
    vf large = vf_sub(vf_set(1.0f), v_exp_normal(q));
    return vf_sign_of(vf_select(vf_lt(size, vf_set(1.0f)), small, large), x);
}

/* Arc tangent: odd; x + x^3 P(x^2) up to 1, from there on pi/2 - atan(1 / x). */
static inline vf v_atan(vf x) {
    vf size = vf_abs(x);
    vm beyond = vf_lt(vf_set(1.0f), size);
    vf t = vf_select(beyond, vf_div(vf_set(1.0f), size), size);
    vf z = vf_mul(t, t);
    vf p = vf_set(-1.793593867e-03f);
    p = vf_fma(p, z, vf_set(1.091448124e-02f));
    p = vf_fma(p, z, vf_set(-3.117761388e-02f));
    p = vf_fma(p, z, vf_set(5.795735866e-02f));
    p = vf_fma(p, z, vf_set(-8.403436840e-02f));
    p = vf_fma(p, z, vf_set(1.095218137e-01f));
    p = vf_fma(p, z, vf_set(-1.426424086e-01f));
    p = vf_fma(p, z, vf_set(1.999854892e-01f));
    p = vf_fma(p, z, vf_set(-3.333329856e-01f));
    vf y = vf_fma(vf_mul(t, z), p, t);
    return vf_sign_of(vf_select(beyond, vf_sub(vf_set(1.57079633f), y), y), x);
}

#endif
