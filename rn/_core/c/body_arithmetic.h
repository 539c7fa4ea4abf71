/* Arithmetic and comparisons of two arrays with broadcasting, and what takes one array: work that waits for memory. */

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

/* Results of so many elements do not fit a cache beside their operands: they go past it, which spares reading what they
 * overwrite. */
enum { STREAM_FROM = 1 << 21 };

/* The elements of y before its next boundary of a whole vector. */
static inline ptrdiff_t to_boundary(const float *y, ptrdiff_t n) {
    return least((ptrdiff_t)(-((uintptr_t)y / sizeof(float)) % VL), n);
}

/* Along one row; an operand that does not move is one number. All of a block is read before any of it is written: y may be a or
 * b. */
static RN_ALWAYS_INLINE void arithmetic_row(int op, const float *a, int a_moves, const float *b, int b_moves, float *y,
                                            ptrdiff_t n, int streamed) {
    enum { BLOCK = 4 };
    const vf one_a = vf_set(*a), one_b = vf_set(*b);
    ptrdiff_t i = 0;
#define LEFT(at) (a_moves ? vf_load(a + (at)) : one_a)
#define RIGHT(at) (b_moves ? vf_load(b + (at)) : one_b)
#define SOME(count) \
    vf_store_first(y + i, count, \
                   arithmetic(op, a_moves ? vf_load_first(a + i, count) : one_a, b_moves ? vf_load_first(b + i, count) : one_b))
    if (streamed) {
        const ptrdiff_t begin = to_boundary(y, n);
        SOME(begin);
        for (i = begin; i + VL <= n; i += VL) vf_stream(y + i, arithmetic(op, LEFT(i), RIGHT(i)));
    }
    for (; i + BLOCK * VL <= n; i += BLOCK * VL) {
        vf r[BLOCK];
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++) r[u] = arithmetic(op, LEFT(i + u * VL), RIGHT(i + u * VL));
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++) vf_store(y + i + u * VL, r[u]);
    }
    for (; i < n; i += VL) SOME(n - i);
#undef LEFT
#undef RIGHT
#undef SOME
}

static RN_ALWAYS_INLINE void arithmetic_rows(int op, const rn_binary_args *args, ptrdiff_t tile, int streamed) {
    const rn_walk *w = &args->walk;
    for (walk_row r = first_row(w, tile); r.count > 0; next_row(w, &r)) {
        const float *a = args->a + r.a, *b = args->b + r.b;
        float *y = (float *)args->y + r.at;
        if (w->b[3] == 0)
            arithmetic_row(op, a, 1, b, 0, y, r.count, streamed);
        else if (w->a[3] == 0)
            arithmetic_row(op, a, 0, b, 1, y, r.count, streamed);
        else
            arithmetic_row(op, a, 1, b, 1, y, r.count, streamed);
    }
}

static RN_ALWAYS_INLINE void arithmetic_tile(int op, const rn_binary_args *args, ptrdiff_t tile) {
    const ptrdiff_t *shape = args->walk.shape, elements = shape[0] * shape[1] * shape[2] * shape[3];
    if (elements >= STREAM_FROM && args->y != args->a && args->y != args->b) {
        arithmetic_rows(op, args, tile, 1);
        vf_stream_end();
    } else {
        arithmetic_rows(op, args, tile, 0);
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

static RN_ALWAYS_INLINE vm comparison(int op, vf a, vf b, vf absolute, vf relative) {
    switch (op) {
    case LESS:
        return vf_lt(a, b);
    case LESS_EQUAL:
        return vf_le(a, b);
    case EQUAL:
        return vf_eq(a, b);
    case NOT_EQUAL:
        return vm_not(vf_eq(a, b));
    default: { /* infinities are near themselves alone, though their distance is NaN and their room infinite */
        const vf distance = vf_abs(vf_sub(a, b)), room = vf_add(absolute, vf_mul(relative, vf_abs(b)));
        const vm finite = vf_lt(vf_abs(b), vf_set(INFINITY));
        return vm_or(vf_eq(a, b), vm_and(finite, vf_le(distance, room)));
    }
    }
}

/* Along one row; an operand that does not move is one number. */
static RN_ALWAYS_INLINE void comparison_row(int op, const float *a, int a_moves, const float *b, int b_moves, uint8_t *y,
                                            ptrdiff_t n, vf absolute, vf relative) {
    enum { BLOCK = 4 };
    const vf one_a = vf_set(*a), one_b = vf_set(*b);
    vm mask[BLOCK];
    ptrdiff_t i = 0;
    for (; i + BLOCK * VL <= n; i += BLOCK * VL) {
        RN_UNROLL
        for (int u = 0; u < BLOCK; u++) {
            const vf left = a_moves ? vf_load(a + i + u * VL) : one_a, right = b_moves ? vf_load(b + i + u * VL) : one_b;
            mask[u] = comparison(op, left, right, absolute, relative);
        }
        vm_store_bools(y + i, mask[0], mask[1], mask[2], mask[3]);
    }
    for (; i < n; i += VL) {
        const vf left = a_moves ? vf_load_first(a + i, n - i) : one_a, right = b_moves ? vf_load_first(b + i, n - i) : one_b;
        unsigned bits = vm_bits(comparison(op, left, right, absolute, relative));
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

/* `own` copies what no store can change, so that it stays in registers. */
#define UNARY(name, expression) \
    KERNEL(name) { \
        enum { BLOCK = 4 }; \
        const rn_unary_args own = *(const rn_unary_args *)arguments, *const a = &own; \
        const vf low = vf_set(a->low), high = vf_set(a->high); \
        const ptrdiff_t end = least((tile + 1) * RN_ELEMENT_TILE, a->n); \
        ptrdiff_t i = tile * RN_ELEMENT_TILE; \
        (void)scratch, (void)low, (void)high; \
        if (a->n >= STREAM_FROM && a->y != a->x && to_boundary(a->y, VL) == 0) { \
            for (; i + VL <= end; i += VL) { \
                const vf x = vf_load(a->x + i); \
                vf_stream(a->y + i, expression); \
            } \
            vf_stream_end(); \
        } \
        for (; i + BLOCK * VL <= end; i += BLOCK * VL) { \
            vf block[BLOCK]; \
            RN_UNROLL \
            for (int u = 0; u < BLOCK; u++) { \
                const vf x = vf_load(a->x + i + u * VL); \
                block[u] = expression; \
            } \
            RN_UNROLL \
            for (int u = 0; u < BLOCK; u++) vf_store(a->y + i + u * VL, block[u]); \
        } \
        for (; i < end; i += VL) { \
            const vf x = vf_load_first(a->x + i, end - i); \
            vf_store_first(a->y + i, end - i, expression); \
        } \
    }
UNARY(negative, vf_neg(x))
UNARY(absolute, vf_abs(x))
UNARY(clip, vf_min(high, vf_max(low, x)))
#undef UNARY
