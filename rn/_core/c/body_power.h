/* Powers of the elements of one array by those of another, with broadcasting. */

/* For the m nearest to 1 + i / 16: c near 1 / m, exact in 8 bits, and -log2 c in two parts, the first a multiple of 2^-16. c is 1
 * around m = 1, so that logarithms near 0 keep their digits. */
static const float PIECE_INVERSE[16] = {1.0f,       0.94140625f, 0.890625f,   0.84375f,  0.80078125f, 0.76171875f,
                                        0.7265625f, 0.6953125f,  0.66796875f, 0.640625f, 0.6171875f,  0.59375f,
                                        0.5703125f, 0.55078125f, 0.53515625f, 0.515625f};
static const float PIECE_LOG_HIGH[16] = {0x0.0p+0f,    0x1.64dp-4f,  0x1.564p-3f,  0x1.f6p-3f,   0x1.4838p-2f, 0x1.9218p-2f,
                                         0x1.d7e8p-2f, 0x1.0c6cp-1f, 0x1.2a1p-1f,  0x1.48eep-1f, 0x1.6476p-1f, 0x1.811p-1f,
                                         0x1.9edp-1f,  0x1.b88cp-1f, 0x1.cdcep-1f, 0x1.e946p-1f};
static const float PIECE_LOG_LOW[16] = {0.0f,
                                        -1.7629877220315393e-06f,
                                        -4.271977104508551e-06f,
                                        -4.68966345579247e-06f,
                                        -6.2225522015069146e-06f,
                                        8.516014560200347e-09f,
                                        -4.75837350677466e-06f,
                                        5.094424068374792e-06f,
                                        -5.8351984080218244e-06f,
                                        7.199483661679551e-06f,
                                        6.483268407464493e-06f,
                                        -2.7087560283689527e-06f,
                                        -5.22294249094557e-06f,
                                        5.532366685656598e-06f,
                                        5.63676621823106e-06f,
                                        -6.301975645328639e-06f};

/* log2 x = *high + *low for normal x > 0: x = 2^k m with m in [31/32, 63/32), and with r = c m - 1, |r| < 0.0335, log2 x = (k -
 * log2 c) + r / ln 2 + r^2 P(r). The first two terms are carried in two floats each. */
static inline void log2_pair(vf x, vf *high, vf *low) {
    const vi bits = vf_as_int(x), rounded = vi_add(bits, vi_set(1 << 18)), piece = vi_shift_right(rounded, 19);
    const vi exponent = vi_sub(vi_shift_right(rounded, 23), vi_set(127));
    const vf k = vi_to_float(exponent), c = vf_lookup(PIECE_INVERSE, piece);
    const vf m = vi_as_float(vi_sub(bits, vi_shift_left(exponent, 23)));
    const vf product = vf_mul(m, c), r = vf_sub(product, vf_set(1.0f)), r_rest = vf_product_rest(m, c, product);
    vf p = vf_set(0.288886354f);
    p = vf_fma(p, r, vf_set(-0.360943819f));
    p = vf_fma(p, r, vf_set(0.480898217f));
    p = vf_fma(p, r, vf_set(-0.7213474825f));
    const vf factor = vf_set(1.44269502f), term = vf_mul(r, factor); /* 1 / ln 2 = factor + 1.93e-8 */
    vf rest = vf_fma(r, vf_set(1.925963e-8f), vf_product_rest(r, factor, term));
    rest = vf_fma(vf_fnma(r, r_rest, r_rest), factor, rest); /* r_rest / (1 + r) */
    rest = vf_fma(vf_mul(r, r), p, vf_add(rest, vf_lookup(PIECE_LOG_LOW, piece)));
    const vf whole = vf_add(k, vf_lookup(PIECE_LOG_HIGH, piece)); /* exact; 0 or larger than |term| */
    const vf sum = vf_add(whole, term), left = vf_add(vf_sub(term, vf_sub(sum, whole)), rest);
    *high = vf_add(sum, left);
    *low = vf_sub(left, vf_sub(*high, sum));
}

/* 2^(high + low) = 2^n 2^u with n whole and |u| about 1/2 at most, where 2^u = 1 + u P(u), off by less than 2e-9. NaN where
 * high is not finite. */
static inline vf exp2_pair(vf high, vf low) {
    const vf n = vf_round(vf_add(high, low));
    const vf u = vf_max(vf_set(-0.6f), vf_min(vf_set(0.6f), vf_add(vf_sub(high, n), low)));
    vf p = vf_set(1.53534402e-4f);
    p = vf_fma(p, u, vf_set(1.33988744e-3f));
    p = vf_fma(p, u, vf_set(9.61843708e-3f));
    p = vf_fma(p, u, vf_set(5.55033247e-2f));
    p = vf_fma(p, u, vf_set(2.40226479e-1f));
    p = vf_fma(p, u, vf_set(6.93147203e-1f));
    return vf_scale(vf_fma(p, u, vf_set(1.0f)), n);
}

/* 2^(y (high + low)). */
static inline vf exp2_of_product(vf y, vf high, vf low) {
    const vf product = vf_mul(y, high);
    return exp2_pair(product, vf_fma(y, low, vf_product_rest(y, high, product)));
}

/* The cases of C's pow: x^0 = 1^y = 1 even for NaN, (-1)^inf = 1, a negative x has powers at whole y alone, odd ones negative,
 * and zeros and infinities follow. */
static RN_NO_INLINE vf special_power(vf x, vf y) {
    const vf zero = vf_zero(), one = vf_set(1.0f), infinity = vf_set(INFINITY), size = vf_abs(x), half = vf_mul(y, vf_set(0.5f));
    const vm whole = vf_eq(vf_round(y), y), odd = vm_and(whole, vm_not(vf_eq(vf_round(half), half)));
    const vm negative = vi_gt(vi_set(0), vf_as_int(x)), growing = vf_lt(zero, y);
    const vm tiny = vf_lt(size, vf_set(1.17549435e-38f)); /* scaled up by 2^24 */
    const vf held = vf_max(vf_set(-1e30f), vf_min(vf_set(1e30f), y));
    vf high, low;
    log2_pair(vf_select(tiny, vf_mul(size, vf_set(16777216.0f)), size), &high, &low);
    const vf scale = vf_where(tiny, vf_set(24.0f)), unscaled = vf_sub(high, scale);
    low = vf_add(low, vf_sub(vf_sub(high, unscaled), scale));
    high = unscaled;
    vf power = exp2_of_product(held, high, low);
    power = vf_select(vf_eq(size, zero), vf_select(growing, zero, infinity), power);
    power = vf_select(vf_eq(size, infinity), vf_select(growing, infinity, zero), power);
    power = vf_select(vm_and(negative, odd), vf_neg(power), power);
    const vm undefined = vm_and(vm_and(vf_lt(x, zero), vf_lt(size, infinity)), vm_not(whole));
    power = vf_select(vm_or(undefined, vm_or(vf_is_nan(x), vf_is_nan(y))), vf_set(NAN), power);
    const vm unit = vm_and(vf_eq(x, vf_set(-1.0f)), vf_eq(vf_abs(y), infinity));
    return vf_select(vm_or(unit, vm_or(vf_eq(x, one), vf_eq(y, zero))), one, power);
}

/* x^y = 2^(y log2 |x|), with the exponent in two floats: at most 4 ulp off. What is rare has a way of its own. */
static inline vf v_power(vf x, vf y) {
    vf high, low;
    log2_pair(x, &high, &low);
    const vf power = exp2_of_product(y, high, low); /* NaN where y is not finite */
    const vm normal = vm_and(vf_le(vf_set(1.17549435e-38f), x), vf_lt(x, vf_set(INFINITY)));
    return vm_any(vm_or(vm_not(normal), vf_is_nan(power))) ? special_power(x, y) : power;
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
