/* The activations, y = f(x), and their derivatives, on VL floats at a time. The codes are rn.h's enum; calls with a constant code
 * compile to that one function. `alpha` is the slope of leaky_relu below 0 and the floor of elu; the others ignore it. A NaN in x
 * is a NaN in y. */
#ifndef RN_ACTIVATION_MATH_H
#define RN_ACTIVATION_MATH_H

#include "vector_math.h"

/* Klambauer et al. 2017: scale and scale * alpha. */
#define RN_SELU_SCALE 1.0507009873554805f
#define RN_SELU_FLOOR 1.7580993408473766f

/* x / 6 + 1/2, held inside [0, 1]. */
static inline vf v_hard_sigmoid(vf x) {
    vf line = vf_div(vf_add(x, vf_set(3.0f)), vf_set(6.0f));
    return vf_max(vf_zero(), vf_min(vf_set(1.0f), line));
}

/* The normal distribution's share below x. */
static inline vf v_normal_share(vf x) { return vf_fma(v_erf(vf_mul(x, vf_set(0.707106781f))), vf_set(0.5f), vf_set(0.5f)); }

/* e^x (e^x + 2), which is the numerator of tanh(softplus(x)) = m / (m + 2); that is 1 from 20 on. */
static inline vf v_mish_part(vf x) {
    vf e = v_exp(vf_min(vf_set(20.0f), x));
    return vf_mul(e, vf_add(e, vf_set(2.0f)));
}

static RN_ALWAYS_INLINE vf v_activate(int code, float alpha, vf x) {
    switch (code) {
    case RN_RELU:
        return vf_max(vf_zero(), x);
    case RN_LEAKY_RELU:
        return vf_select(vf_lt(x, vf_zero()), vf_mul(vf_set(alpha), x), x);
    case RN_ELU:
        return vf_select(vf_lt(x, vf_zero()), vf_mul(vf_set(alpha), v_expm1_negative(x)), x);
    case RN_SELU:
        return vf_select(vf_lt(x, vf_zero()), vf_mul(vf_set(RN_SELU_FLOOR), v_expm1_negative(x)),
                         vf_mul(vf_set(RN_SELU_SCALE), x));
    case RN_GELU:
        return vf_mul(x, v_normal_share(x));
    case RN_SIGMOID:
        return v_sigmoid(x);
    case RN_HARD_SIGMOID:
        return v_hard_sigmoid(x);
    case RN_TANH:
        return v_tanh(x);
    case RN_SOFTPLUS:
        return v_softplus(x);
    case RN_SOFTSIGN:
        return vf_div(x, vf_add(vf_set(1.0f), vf_abs(x)));
    case RN_SWISH:
        return vf_mul(x, v_sigmoid(x));
    case RN_MISH: {
        vf m = v_mish_part(x);
        return vf_mul(x, vf_div(m, vf_add(m, vf_set(2.0f))));
    }
    case RN_SIN:
        return v_sin(x);
    case RN_ATAN:
        return v_atan(x);
    case RN_EXP:
        return v_exp(x);
    case RN_LOG:
        return v_log(x);
    case RN_SQRT:
        return vf_sqrt(x);
    case RN_COS:
        return v_cos(x);
    case RN_ERF:
        return v_erf(x);
    default: /* RN_LINEAR */
        return x;
    }
}

/* f'(x), where it has two the left one, from what is `known`: y = f(x) for the activations whose slope follows from it (relu
 * leaky_relu elu selu sigmoid tanh exp sqrt), x for the others. */
static RN_ALWAYS_INLINE vf v_activation_slope(int code, float alpha, vf known) {
    const vf one = vf_set(1.0f), x = known, y = known;
    switch (code) {
    case RN_RELU:
        return vf_where(vm_not(vf_le(y, vf_zero())), one);
    case RN_LEAKY_RELU:
        return vf_select(vf_le(y, vf_zero()), vf_set(alpha), one);
    case RN_ELU:
        return vf_select(vf_lt(vf_zero(), y), one, vf_add(y, vf_set(alpha)));
    case RN_SELU:
        return vf_select(vf_lt(vf_zero(), y), vf_set(RN_SELU_SCALE), vf_add(y, vf_set(RN_SELU_FLOOR)));
    case RN_GELU: {
        vf at = vf_max(vf_set(-13.0f), vf_min(vf_set(13.0f), x)); /* where the density is below 1e-37 */
        vf density = vf_mul(vf_set(0.398942280f), v_exp_normal(vf_mul(vf_mul(at, at), vf_set(-0.5f))));
        return vf_fma(at, density, v_normal_share(at));
    }
    case RN_SIGMOID:
        return vf_mul(y, vf_sub(one, y));
    case RN_HARD_SIGMOID:
        return vf_where(vf_lt(vf_abs(x), vf_set(3.0f)), vf_set(1.0f / 6.0f));
    case RN_TANH:
        return vf_fnma(y, y, one);
    case RN_SOFTPLUS:
        return v_sigmoid(x);
    case RN_SOFTSIGN: {
        vf d = vf_add(one, vf_abs(x));
        return vf_div(one, vf_mul(d, d));
    }
    case RN_SWISH: {
        vf s = v_sigmoid(x);
        return vf_mul(s, vf_fma(x, v_sigmoid(vf_neg(x)), one));
    }
    case RN_MISH: {                       /* t + x sigmoid(x) (1 - t^2), t = m / (m + 2) */
        vf at = vf_min(vf_set(20.0f), x); /* from there on the slope is 1 */
        vf m = v_mish_part(at), d = vf_add(m, vf_set(2.0f));
        vf rest = vf_div(vf_mul(vf_set(4.0f), vf_add(m, one)), vf_mul(d, d));
        return vf_fma(vf_mul(at, v_sigmoid(at)), rest, vf_div(m, d));
    }
    case RN_SIN:
        return v_cos(x);
    case RN_ATAN:
        return vf_div(one, vf_fma(x, x, one));
    case RN_EXP:
        return y;
    case RN_LOG:
        return vf_div(one, x);
    case RN_SQRT:
        return vf_div(vf_set(0.5f), y);
    case RN_COS:
        return vf_neg(v_sin(x));
    case RN_ERF:
        return vf_mul(vf_set(1.12837917f), v_exp(vf_neg(vf_mul(x, x))));
    default: /* RN_LINEAR */
        return one;
    }
}

#endif
