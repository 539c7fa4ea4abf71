/* Arithmetic and comparisons of two arrays with broadcasting, and what takes one array. */

enum { ADD, SUBTRACT, MULTIPLY, DIVIDE };
enum { LESS, LESS_EQUAL, EQUAL, NOT_EQUAL, NEAR };

static RN_ALWAYS_INLINE vf arithmetic(int op, vf a, vf b) {
    switch (op) {
    case ADD:
        return vf_add(a, b);
    case SUBTRACT:
        return vf_sub(a, b);
    case MULTIPLY:
        return vf_mul(a, b);
    default:
        return vf_div(a, b);
    }
}

/* Along one row; an operand that does not move is one number. All of a block is read before any of it is written: y may be a or
 * b. */
static RN_ALWAYS_INLINE void arithmetic_row(int op, const float *a, int a_moves, const float *b, int b_moves, float *y,
                                            ptrdiff_t n) {
    enum { BLOCK = 4 };
    const vf one_a = vf_set(*a), one_b = vf_set(*b);
    ptrdiff_t i = 0;
    for (; i + BLOCK * VL <= n; i += BLOCK * VL) {
        vf r[BLOCK];
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++)
            r[u] = arithmetic(op, a_moves ? vf_load(a + i + u * VL) : one_a, b_moves ? vf_load(b + i + u * VL) : one_b);
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++) vf_store(y + i + u * VL, r[u]);
    }
    for (; i < n; i += VL) {
        const vf left = a_moves ? vf_load_first(a + i, n - i) : one_a;
        const vf right = b_moves ? vf_load_first(b + i, n - i) : one_b;
        vf_store_first(y + i, n - i, arithmetic(op, left, right));
    }
}

static RN_ALWAYS_INLINE void arithmetic_tile(int op, const rn_binary_args *args, ptrdiff_t tile) {
    const rn_walk *w = &args->walk;
    for (walk_row r = first_row(w, tile); r.count > 0; next_row(w, &r)) {
        const float *a = args->a + r.a, *b = args->b + r.b;
        float *y = (float *)args->y + r.at;
        if (w->b[3] == 0)
            arithmetic_row(op, a, 1, b, 0, y, r.count);
        else if (w->a[3] == 0)
            arithmetic_row(op, a, 0, b, 1, y, r.count);
        else
            arithmetic_row(op, a, 1, b, 1, y, r.count);
    }
}

#define ARITHMETIC(name, op) \
    KERNEL(name) { \
        (void)scratch; \
        arithmetic_tile(op, arguments, tile); \
    }
ARITHMETIC(add, ADD)
ARITHMETIC(subtract, SUBTRACT)
ARITHMETIC(multiply, MULTIPLY)
ARITHMETIC(divide, DIVIDE)
#undef ARITHMETIC

static RN_ALWAYS_INLINE vi comparison(int op, vf a, vf b, vf absolute, vf relative) {
    switch (op) {
    case LESS:
        return vf_lt(a, b);
    case LESS_EQUAL:
        return vf_le(a, b);
    case EQUAL:
        return vf_eq(a, b);
    case NOT_EQUAL:
        return vi_not(vf_eq(a, b));
    default: { /* infinities are near themselves alone, though their distance is NaN and their room infinite */
        const vf distance = vf_abs(vf_sub(a, b)), room = vf_add(absolute, vf_mul(relative, vf_abs(b)));
        const vi finite = vf_lt(vf_abs(b), vf_set(INFINITY));
        return vi_or(vf_eq(a, b), vi_and(finite, vf_le(distance, room)));
    }
    }
}

/* Along one row; an operand that does not move is one number. */
static RN_ALWAYS_INLINE void comparison_row(int op, const float *a, int a_moves, const float *b, int b_moves, uint8_t *y,
                                            ptrdiff_t n, vf absolute, vf relative) {
    enum { BLOCK = 4 };
    const vf one_a = vf_set(*a), one_b = vf_set(*b);
    vi mask[BLOCK];
    ptrdiff_t i = 0;
    for (; i + BLOCK * VL <= n; i += BLOCK * VL) {
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++) {
            const vf left = a_moves ? vf_load(a + i + u * VL) : one_a, right = b_moves ? vf_load(b + i + u * VL) : one_b;
            mask[u] = comparison(op, left, right, absolute, relative);
        }
        vi_store_bools(y + i, mask[0], mask[1], mask[2], mask[3]);
    }
    for (; i < n; i += VL) {
        const vf left = a_moves ? vf_load_first(a + i, n - i) : one_a, right = b_moves ? vf_load_first(b + i, n - i) : one_b;
        unsigned bits = vi_bits(comparison(op, left, right, absolute, relative));
        for (ptrdiff_t k = i; k < least(i + VL, n); k++, bits >>= 1) y[k] = bits & 1;
    }
}

static RN_ALWAYS_INLINE void comparison_tile(int op, const rn_binary_args *args, ptrdiff_t tile) {
    const rn_walk *w = &args->walk;
    const vf absolute = vf_set(args->absolute), relative = vf_set(args->relative);
    for (walk_row r = first_row(w, tile); r.count > 0; next_row(w, &r)) {
        const float *a = args->a + r.a, *b = args->b + r.b;
        uint8_t *y = (uint8_t *)args->y + r.at;
        if (w->b[3] == 0)
            comparison_row(op, a, 1, b, 0, y, r.count, absolute, relative);
        else if (w->a[3] == 0)
            comparison_row(op, a, 0, b, 1, y, r.count, absolute, relative);
        else
            comparison_row(op, a, 1, b, 1, y, r.count, absolute, relative);
    }
}

#define COMPARISON(name, op) \
    KERNEL(name) { \
        (void)scratch; \
        comparison_tile(op, arguments, tile); \
    }
COMPARISON(less, LESS)
COMPARISON(less_equal, LESS_EQUAL)
COMPARISON(equal, EQUAL)
COMPARISON(not_equal, NOT_EQUAL)
COMPARISON(near, NEAR)
#undef COMPARISON

#define UNARY(name, expression) \
    KERNEL(name) { \
        const rn_unary_args *a = arguments; \
        const vf low = vf_set(a->low), high = vf_set(a->high); \
        const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n); \
        (void)scratch, (void)low, (void)high; \
        for (ptrdiff_t i = tile * RN_ELEMENT_TILE; i < end; i += VL) { \
            const vf x = vf_load_first(a->x + i, end - i); \
            vf_store_first(a->y + i, end - i, expression); \
        } \
    }
UNARY(negative, vf_neg(x))
UNARY(absolute, vf_abs(x))
UNARY(clip, vf_min(high, vf_max(low, x)))
#undef UNARY

/* log2 x for positive finite x: x = 2^k m with m in [sqrt(1/2), sqrt(2)), and with s = (m - 1) / (m + 1), |s| < 0.172,
 * ln m = 2 (s + s^3/3 + s^5/5 + ...); what is left out is below 2e-12 of it. */
static inline vd log2_double(vf x) {
    const vi tiny = vf_lt(x, vf_set(1.17549435e-38f));
    x = vf_select(tiny, vf_mul(x, vf_set(16777216.0f)), x);
    const vi bits = vf_as_int(x), one = vi_set(127 << 23), half_root = vi_set(0x3f3504f3);
    const vi k = vi_sub(vi_shift_right(vi_add(vi_sub(bits, half_root), one), 23), vi_set(127));
    const vd m = vf_to_double(vi_as_float(vi_sub(bits, vi_shift_left(k, 23))));
    const vd s = vd_div(vd_sub(m, vd_set(1.0)), vd_add(m, vd_set(1.0))), z = vd_mul(s, s);
    static const double factor[] = {1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0};
    vd sum = vd_set(factor[0]);
    RN_UNROLL
    for (int i = 1; i < 7; i++) sum = vd_fma(sum, z, vd_set(factor[i]));
    const vd whole = vf_to_double(vf_sub(vi_to_float(k), vf_where(tiny, vf_set(24.0f))));
    return vd_fma(vd_mul(vd_set(2.8853900817779268), s), sum, whole);
}

/* 2^t as float32: 2^n e^u with n whole and u = (t - n) ln 2, |u| < 0.35, by the series of e^u to u^9, off by less than 7e-12. */
static inline vf exp2_double(vd t) {
    const vf near = vd_to_float(t), n = vf_round(vf_max(vf_set(-160.0f), vf_min(vf_set(140.0f), near)));
    const vd u = vd_mul(vd_sub(t, vf_to_double(n)), vd_set(0.69314718055994531));
    static const double factor[] = {1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                    1.0 / 24,     1.0 / 6,     0.5,        1.0,       1.0};
    vd sum = vd_set(factor[0]);
    RN_UNROLL
    for (int i = 1; i < 10; i++) sum = vd_fma(sum, u, vd_set(factor[i]));
    /* 2^n in two factors, as it may be no normal float32 by itself. */
    const vi whole = vf_to_int(n), half = vf_to_int(vf_floor(vf_mul(n, vf_set(0.5f)))), bias = vi_set(127);
    const vf low = vi_as_float(vi_shift_left(vi_add(half, bias), 23));
    const vf high = vi_as_float(vi_shift_left(vi_add(vi_sub(whole, half), bias), 23));
    const vf power = vd_to_float(vd_mul(vd_mul(sum, vf_to_double(low)), vf_to_double(high)));
    return vf_select(vf_lt(near, vf_set(-160.0f)), vf_zero(), vf_select(vf_lt(vf_set(140.0f), near), vf_set(INFINITY), power));
}

/* x^y by 2^(y log2 |x|) in float64, so that rounding to float32 is all that is lost. The cases of C's pow: x^0 = 1^y = 1 even for
 * NaN,
 * (-1)^inf = 1, a negative x has powers at whole y alone, odd ones negative, and zeros and infinities follow. */
static vf v_power(vf x, vf y) {
    const vf zero = vf_zero(), one = vf_set(1.0f), infinity = vf_set(INFINITY), size = vf_abs(x), half = vf_mul(y, vf_set(0.5f));
    const vi whole = vf_eq(vf_round(y), y), odd = vi_and(whole, vi_not(vf_eq(vf_round(half), half)));
    const vi negative = vi_gt(vi_set(0), vf_as_int(x)), growing = vf_lt(zero, y);
    vf power = exp2_double(vd_mul(vf_to_double(y), log2_double(size)));
    power = vf_select(vf_eq(size, zero), vf_select(growing, zero, infinity), power);
    power = vf_select(vf_eq(size, infinity), vf_select(growing, infinity, zero), power);
    power = vf_select(vi_and(negative, odd), vf_neg(power), power);
    const vi undefined = vi_and(vi_and(vf_lt(x, zero), vf_lt(size, infinity)), vi_not(whole));
    power = vf_select(vi_or(undefined, vi_or(vf_is_nan(x), vf_is_nan(y))), vf_set(NAN), power);
    const vi unit = vi_and(vf_eq(x, vf_set(-1.0f)), vf_eq(vf_abs(y), infinity));
    return vf_select(vi_or(unit, vi_or(vf_eq(x, one), vf_eq(y, zero))), one, power);
}

static RN_ALWAYS_INLINE void power_row(const float *a, int a_moves, const float *b, int b_moves, float *y, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const vf base = a_moves ? vf_load_first(a + i, n - i) : vf_set(*a);
        vf_store_first(y + i, n - i, v_power(base, b_moves ? vf_load_first(b + i, n - i) : vf_set(*b)));
    }
}

KERNEL(power) {
    const rn_binary_args *args = arguments;
    const rn_walk *w = &args->walk;
    (void)scratch;
    for (walk_row r = first_row(w, tile); r.count > 0; next_row(w, &r)) {
        const float *a = args->a + r.a, *b = args->b + r.b;
        float *y = (float *)args->y + r.at;
        if (w->b[3] == 0)
            power_row(a, 1, b, 0, y, r.count);
        else if (w->a[3] == 0)
            power_row(a, 0, b, 1, y, r.count);
        else
            power_row(a, 1, b, 1, y, r.count);
    }
}
