#include "activation_math.h"

/* The loop over one tile, once for each activation so that its code is chosen outside the loop. */
#define RN_EACH_ACTIVATION(X) \
    X(RN_LINEAR) \
    X(RN_RELU) \
    X(RN_LEAKY_RELU) \
    X(RN_ELU) \
    X(RN_SELU) \
    X(RN_GELU) \
    X(RN_SIGMOID) \
    X(RN_HARD_SIGMOID) \
    X(RN_TANH) \
    X(RN_SOFTPLUS) \
    X(RN_SOFTSIGN) \
    X(RN_SWISH) \
    X(RN_MISH) \
    X(RN_SIN) \
    X(RN_ATAN) \
    X(RN_EXP) \
    X(RN_LOG) \
    X(RN_SQRT) \
    X(RN_COS) \
    X(RN_ERF)

static RN_ALWAYS_INLINE void activate_loop(int code, float alpha, const float *x, float *y, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(y + i, n - i, v_activate(code, alpha, vf_load_first(x + i, n - i)));
}

static void activate_span(int activation, float alpha, const float *x, float *y, ptrdiff_t n) {
    switch (activation) {
#define X(code) \
    case code: \
        activate_loop(code, alpha, x, y, n); \
        break;
        RN_EACH_ACTIVATION(X)
#undef X
    }
}

KERNEL(activate) {
    const rn_activate_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t n = a->n - begin < RN_ELEMENT_TILE ? a->n - begin : RN_ELEMENT_TILE;
    activate_span(a->activation, a->alpha, a->x + begin, a->y + begin, n);
}

/* relu passes or stops dy whatever it is, as its twin does; the others multiply. */
static RN_ALWAYS_INLINE vf activation_gradient(int code, float alpha, vf known, vf dy) {
    if (code == RN_LINEAR) return dy;
    if (code == RN_RELU) return vf_where(vm_not(vf_le(known, vf_zero())), dy);
    return vf_mul(dy, v_activation_slope(code, alpha, known));
}

/* `known` is x or y, whichever the slope asks for. */
static RN_ALWAYS_INLINE void activate_gradient_loop(int code, float alpha, const float *known, const float *dy, float *dx,
                                                    ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) {
        vf at = vf_load_first(known + i, n - i);
        vf_store_first(dx + i, n - i, activation_gradient(code, alpha, at, vf_load_first(dy + i, n - i)));
    }
}

KERNEL(activate_gradient) {
    const rn_activate_gradient_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t n = a->n - begin < RN_ELEMENT_TILE ? a->n - begin : RN_ELEMENT_TILE;
    const float *known = a->known + begin;
    switch (a->activation) {
#define X(code) \
    case code: \
        activate_gradient_loop(code, a->alpha, known, a->dy + begin, a->dx + begin, n); \
        break;
        RN_EACH_ACTIVATION(X)
#undef X
    }
}
