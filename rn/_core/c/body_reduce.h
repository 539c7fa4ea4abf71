/* Sums, extremes and their places over any axes; rn_tensor.h says which rows make one result. */

/* The sum of x - origin over n neighbours: RN_SUM_VECTORS vectors at a time in float32, those sums in float64. */
static inline double row_sum(const float *x, ptrdiff_t n, float origin) {
    double sum = 0.0;
    for (ptrdiff_t j = 0; j < n;) {
        const ptrdiff_t stop = least(n, j + RN_SUM_VECTORS * VL);
        vf part = vf_zero();
        for (; j + VL <= stop; j += VL) part = vf_add(part, vf_sub(vf_load(x + j), vf_set(origin)));
        if (j < stop) {
            const vf d = vf_sub(vf_load_part(x + j, n - j), vf_set(origin));
            part = vf_add(part, vf_where(vm_first(n - j), d));
            j = stop;
        }
        sum += vf_sum_double(part);
    }
    return sum;
}

/* A unit is up to RN_REDUCE_COLUMNS outputs side by side, (o, m, i .. i + width), and the rows of one chunk:
 * for (reduce_unit u = first_unit(a, tile); u.width > 0; next_unit(a, &u)) ... */
typedef struct {
    const float *x;               /* of the first output, row (0, 0) */
    ptrdiff_t width, output;      /* how many outputs, and the first one's place among all */
    ptrdiff_t row_begin, row_end; /* of the chunk */
    ptrdiff_t chunk, left;        /* units to come, this one with them */
    ptrdiff_t o, m, i;
} reduce_unit;

static inline void locate_unit(const rn_reduce_args *a, reduce_unit *u) {
    u->x = a->x + (u->o * a->first * a->middle + u->m) * a->second * a->inner + u->i;
    u->width = u->left > 0 ? least(RN_REDUCE_COLUMNS, a->inner - u->i) : 0;
    u->output = (u->o * a->middle + u->m) * a->inner + u->i;
}

static inline reduce_unit first_unit(const rn_reduce_args *a, ptrdiff_t tile) {
    const ptrdiff_t blocks = (a->inner + RN_REDUCE_COLUMNS - 1) / RN_REDUCE_COLUMNS, units = a->outer * a->middle * blocks;
    const ptrdiff_t groups = (units + a->tile_units - 1) / a->tile_units;
    const ptrdiff_t unit = tile % groups * a->tile_units, pair = unit / blocks;
    reduce_unit u = {.chunk = tile / groups, .left = least(a->tile_units, units - unit)};
    u.o = pair / a->middle;
    u.m = pair % a->middle;
    u.i = unit % blocks * RN_REDUCE_COLUMNS;
    u.row_begin = u.chunk * a->chunk_rows;
    u.row_end = least(u.row_begin + a->chunk_rows, a->first * a->second);
    locate_unit(a, &u);
    return u;
}

static inline void next_unit(const rn_reduce_args *a, reduce_unit *u) {
    u->left--;
    u->i += RN_REDUCE_COLUMNS;
    if (u->i >= a->inner) {
        u->i = 0;
        if (++u->m == a->middle) {
            u->m = 0;
            u->o++;
        }
    }
    locate_unit(a, u);
}

/* Rows of a unit that lie one after the other, `inner` floats apart:
 * for (row_run r = run_from(a, &u, u.row_begin); r.rows > 0; r = run_from(a, &u, r.row + r.rows)) ... */
typedef struct {
    ptrdiff_t row, rows;
    const float *x;
} row_run;

static inline row_run run_from(const rn_reduce_args *a, const reduce_unit *u, ptrdiff_t row) {
    if (row >= u->row_end) return (row_run){0};
    const ptrdiff_t p = a->first == 1 ? 0 : row / a->second, s = row - p * a->second;
    return (row_run){row, least(a->second - s, u->row_end - row), u->x + (p * a->middle * a->second + s) * a->inner};
}

static inline double *partial_at(const rn_reduce_args *a, const reduce_unit *u, int values, int value) {
    return a->partial + (u->chunk * values + value) * a->outer * a->middle * a->inner + u->output;
}

/* ---- sums: sum[0] += sum d and, for MOMENTS, sum[1] += sum d^2, d = x - origin; for SQUARES sum[0] += sum x^2 */

enum { SUM, SQUARES, MOMENTS };

static RN_ALWAYS_INLINE void add_vector(int kind, vd x, vd origin, vd *sum, vd *squares) {
    const vd d = kind == MOMENTS ? vd_sub(x, origin) : x;
    *sum = kind == SQUARES ? vd_fma(d, d, *sum) : vd_add(*sum, d);
    if (kind == MOMENTS) *squares = vd_fma(d, d, *squares);
}

/* The sum of squares of n numbers in float32, 8 at a time in every lane, which is summed in float64; 0 where that is so near the
 * ends of float32's range that squares may have been lost. */
static inline double squares_along(const float *x, ptrdiff_t n) {
    enum { CHAIN = 8 };
    vd sum = vd_zero();
    ptrdiff_t i = 0;
    for (; i + CHAIN * VL <= n; i += CHAIN * VL) {
        vf part = vf_zero();
        stream_ahead(x + i, CHAIN * VL);
        RN_UNROLL
        for (int u = 0; u < CHAIN; u++) {
            const vf each = vf_load(x + i + u * VL);
            part = vf_fma(each, each, part);
        }
        sum = vd_add(sum, vf_to_double(part));
    }
    for (; i < n; i += VL) {
        const vf each = vf_load_first(x + i, n - i);
        sum = vd_add(sum, vf_to_double(vf_mul(each, each)));
    }
    const double total = vd_sum(sum);
    return total > 1e-20 * (double)n && total < 1e38 ? total : 0.0;
}

/* Over n numbers side by side. */
static RN_ALWAYS_INLINE void add_along(int kind, const float *x, ptrdiff_t n, float origin, double *sum, double *squares) {
    enum { CHAINS = 4 };
    if (kind == SQUARES && n >= 64 * VL) {
        const double fast = squares_along(x, n);
        *sum += fast;
        if (fast > 0.0) return;
    }
    const int chains = kind == MOMENTS ? 2 : CHAINS; /* a sum is two registers: 8 in all, and the squares 8 more would not fit */
    const vd shift = vd_set(origin);
    vd s[CHAINS], q[CHAINS];
    for (int c = 0; c < chains; c++) s[c] = q[c] = vd_zero();
    ptrdiff_t i = 0;
    for (; i + chains * VL <= n; i += chains * VL) {
        stream_ahead(x + i, chains * VL);
        RN_UNROLL
        for (int c = 0; c < chains; c++) add_vector(kind, vd_load_floats(x + i + c * VL), shift, &s[c], &q[c]);
    }
    for (; i < n; i += VL) {
        const vf last = vf_select(vm_first(n - i), vf_load_first(x + i, n - i), vf_set(kind == MOMENTS ? origin : 0.0f));
        add_vector(kind, vf_to_double(last), shift, &s[0], &q[0]);
    }
    for (int c = 1; c < chains; c++) {
        s[0] = vd_add(s[0], s[c]);
        q[0] = vd_add(q[0], q[c]);
    }
    *sum += vd_sum(s[0]);
    if (kind == MOMENTS) *squares += vd_sum(q[0]);
}

static RN_ALWAYS_INLINE vd widen_first(const float *x, ptrdiff_t count) {
    return count >= VL ? vd_load_floats(x) : vf_to_double(vf_load_first(x, count));
}

/* Over a few rows of `width` columns, each column for itself; sum and squares have room for whole vectors. */
static RN_ALWAYS_INLINE void add_rows(int kind, int rows, const float *x, ptrdiff_t stride, ptrdiff_t width, const float *origin,
                                      double *sum, double *squares) {
    for (ptrdiff_t i = 0; i < width; i += VL) {
        const vd shift = kind == MOMENTS ? widen_first(origin + i, width - i) : vd_zero();
        vd s = vd_load(sum + i), q = kind == MOMENTS ? vd_load(squares + i) : vd_zero();
        RN_UNROLL
        for (int k = 0; k < rows; k++) add_vector(kind, widen_first(x + k * stride + i, width - i), shift, &s, &q);
        vd_store(sum + i, s);
        if (kind == MOMENTS) vd_store(squares + i, q);
    }
}

static RN_ALWAYS_INLINE void add_across(int kind, const row_run *r, ptrdiff_t stride, ptrdiff_t width, const float *origin,
                                        double *sum, double *squares) {
    ptrdiff_t row = 0;
    for (; row + 4 <= r->rows; row += 4) add_rows(kind, 4, r->x + row * stride, stride, width, origin, sum, squares);
    for (; row < r->rows; row++) add_rows(kind, 1, r->x + row * stride, stride, width, origin, sum, squares);
}

/* The results of `width` outputs; sum has room for whole vectors. */
static void finish_sums(const rn_reduce_args *a, const double *sum, const double *squares, ptrdiff_t width, float *y) {
    const double count = (double)(a->first * a->second);
    if (a->finish == RN_FINISH_SUM) {
        for (ptrdiff_t i = 0; i < width; i += VL) vf_store_first(y + i, width - i, vd_to_float(vd_load(sum + i)));
        return;
    }
    for (ptrdiff_t i = 0; i < width; i++) y[i] = (float)rn_finished(a->finish, sum[i], squares != NULL ? squares[i] : 0.0, count);
}

static RN_ALWAYS_INLINE void sums_tile(int kind, const rn_reduce_args *a, ptrdiff_t tile) {
    const int values = kind == MOMENTS ? 2 : 1;
    double sum[RN_REDUCE_COLUMNS], squares[RN_REDUCE_COLUMNS];
    for (reduce_unit u = first_unit(a, tile); u.width > 0; next_unit(a, &u)) {
        const ptrdiff_t whole = (u.width + VL - 1) / VL * VL;
        memset(sum, 0, (size_t)whole * sizeof *sum);
        if (kind == MOMENTS) memset(squares, 0, (size_t)whole * sizeof *squares);
        for (row_run r = run_from(a, &u, u.row_begin); r.rows > 0; r = run_from(a, &u, r.row + r.rows)) {
            if (a->inner == 1)
                add_along(kind, r.x, r.rows, *u.x, sum, squares);
            else
                add_across(kind, &r, a->inner, u.width, u.x, sum, squares);
        }
        if (a->partial != NULL) {
            memcpy(partial_at(a, &u, values, 0), sum, (size_t)u.width * sizeof *sum);
            if (kind == MOMENTS) memcpy(partial_at(a, &u, values, 1), squares, (size_t)u.width * sizeof *squares);
        } else {
            finish_sums(a, sum, kind == MOMENTS ? squares : NULL, u.width, (float *)a->y + u.output);
        }
    }
}

KERNEL(reduce_sum) {
    (void)scratch;
    sums_tile(SUM, arguments, tile);
}
KERNEL(reduce_squares) {
    (void)scratch;
    sums_tile(SQUARES, arguments, tile);
}
KERNEL(reduce_moments) {
    (void)scratch;
    sums_tile(MOMENTS, arguments, tile);
}

/* ---- the least and the largest; sign is 1 for the largest and -1 for the least, which is minus the largest of -x */

/* best, or x where that is larger; a NaN in either stays. */
static RN_ALWAYS_INLINE vf larger(vf best, vf x) { return vf_select(vf_is_nan(best), best, vf_max(best, x)); }
static RN_ALWAYS_INLINE vf signed_load(int sign, const float *x, ptrdiff_t count) {
    const vf value = vf_load_first(x, count);
    return sign < 0 ? vf_neg(value) : value;
}

/* NaNs are looked for beside the chains of maxima, which they would make longer. */
static RN_ALWAYS_INLINE float largest_along(int sign, const float *x, ptrdiff_t n, float best) {
    enum { CHAINS = 4 };
    vf b[CHAINS];
    vm any_nan = vf_is_nan(vf_set(best));
    for (int c = 0; c < CHAINS; c++) b[c] = vf_set(best);
    ptrdiff_t i = 0;
    for (; i + CHAINS * VL <= n; i += CHAINS * VL) {
        vf values[CHAINS];
        stream_ahead(x + i, CHAINS * VL);
        RN_UNROLL
        for (int c = 0; c < CHAINS; c++) values[c] = signed_load(sign, x + i + c * VL, VL);
        RN_UNROLL
        for (int c = 0; c < CHAINS; c++) b[c] = vf_max(b[c], values[c]);
        RN_UNROLL
        for (int c = 0; c < CHAINS; c += 2) any_nan = vm_or(any_nan, vf_either_nan(values[c], values[c + 1]));
    }
    for (; i < n; i += VL) {
        const vf last = vf_select(vm_first(n - i), signed_load(sign, x + i, n - i), b[0]);
        any_nan = vm_or(any_nan, vf_is_nan(last));
        b[0] = vf_max(b[0], last);
    }
    return vm_any(any_nan) ? NAN : vf_largest(vf_max(vf_max(b[0], b[1]), vf_max(b[2], b[3])));
}

/* Over rows of `width` columns, each for itself. */
static RN_ALWAYS_INLINE void largest_across(int sign, const row_run *r, ptrdiff_t stride, ptrdiff_t width, float *best) {
    enum { ROWS_AT_ONCE = 4 };
    for (ptrdiff_t row = 0; row < r->rows; row += ROWS_AT_ONCE) {
        const float *x = r->x + row * stride;
        const ptrdiff_t rows = least(ROWS_AT_ONCE, r->rows - row);
        for (ptrdiff_t i = 0; i < width; i += VL) {
            vf b = vf_load(best + i);
            RN_UNROLL
            for (int k = 0; k < ROWS_AT_ONCE; k++)
                if (k < rows) b = larger(b, signed_load(sign, x + k * stride + i, width - i));
            vf_store(best + i, b);
        }
    }
}

static RN_ALWAYS_INLINE void extreme_tile(int sign, const rn_reduce_args *a, ptrdiff_t tile) {
    float best[RN_REDUCE_COLUMNS];
    for (reduce_unit u = first_unit(a, tile); u.width > 0; next_unit(a, &u)) {
        for (ptrdiff_t i = 0; i < u.width; i += VL) vf_store(best + i, vf_set(-INFINITY));
        for (row_run r = run_from(a, &u, u.row_begin); r.rows > 0; r = run_from(a, &u, r.row + r.rows)) {
            if (a->inner == 1)
                *best = largest_along(sign, r.x, r.rows, *best);
            else
                largest_across(sign, &r, a->inner, u.width, best);
        }
        if (sign < 0)
            for (ptrdiff_t i = 0; i < u.width; i++) best[i] = -best[i];
        if (a->partial != NULL)
            for (ptrdiff_t i = 0; i < u.width; i++) partial_at(a, &u, 1, 0)[i] = best[i];
        else
            memcpy((float *)a->y + u.output, best, (size_t)u.width * sizeof *best);
    }
}

KERNEL(reduce_min) {
    (void)scratch;
    extreme_tile(-1, arguments, tile);
}
KERNEL(reduce_max) {
    (void)scratch;
    extreme_tile(1, arguments, tile);
}

/* ---- where the largest is */

/* Where the first NaN is among n numbers side by side that hold one. */
static inline ptrdiff_t first_nan(const float *x, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && x[i] == x[i]) i++;
    return i;
}

/* Lanes of the largest so far and where it is: the later pair where that is larger, or equal and before. */
typedef struct {
    vf best;
    vi place;
} placed;
static RN_ALWAYS_INLINE placed better_of(placed a, placed b) {
    const vm before = vm_and(vf_eq(a.best, b.best), vi_gt(a.place, b.place));
    const vm better = vm_or(vf_lt(a.best, b.best), before);
    return (placed){vf_select(better, b.best, a.best), vi_select(better, b.place, a.place)};
}

/* The lanes' largest, none being NaN, and in *place the first place that has it. */
static inline float first_of_largest(placed lanes, int32_t *place) {
    const float largest = vf_largest(lanes.best);
    *place = vi_least(vi_select(vf_eq(lanes.best, vf_set(largest)), lanes.place, vi_set(INT32_MAX)));
    return largest;
}

/* The largest of n >= 1 numbers side by side, at *place, the first of equals. If there is a NaN, the first one is it. */
static float place_along(const float *x, ptrdiff_t n, int32_t *place) {
    placed even = {vf_set(-INFINITY), vi_lanes()}, odd = even; /* vectors in turn, so that neither waits for the other */
    vi at = vi_lanes();
    vm any_nan = vm_none();
    const vi step = vi_set(VL);
    ptrdiff_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) {
        const vf first = vf_load(x + i), second = vf_load(x + i + VL);
        even.place = vi_select(vf_lt(even.best, first), at, even.place);
        even.best = vf_max(first, even.best);
        at = vi_add(at, step);
        odd.place = vi_select(vf_lt(odd.best, second), at, odd.place);
        odd.best = vf_max(second, odd.best);
        at = vi_add(at, step);
        any_nan = vm_or(any_nan, vm_or(vf_is_nan(first), vf_is_nan(second)));
    }
    if (i > 0) even = better_of(even, odd);
    for (; i < n; i += VL) {
        const vf last = vf_select(vm_first(n - i), vf_load_first(x + i, n - i), vf_set(-INFINITY));
        any_nan = vm_or(any_nan, vf_is_nan(last));
        even = i > 0 ? better_of(even, (placed){last, at}) : (placed){last, at};
        at = vi_add(at, step);
    }
    if (!vm_any(any_nan)) return first_of_largest(even, place);
    *place = (int32_t)first_nan(x, n);
    return NAN;
}

/* The same for any n: where there is much, the place is looked for only in the block that holds the largest. */
static float place_in_blocks(const float *x, ptrdiff_t n, int32_t *place) {
    enum { BLOCK = 4096 };
    if (n <= BLOCK) return place_along(x, n, place);
    float best = -INFINITY;
    ptrdiff_t block = 0;
    for (ptrdiff_t i = 0; i < n && best == best; i += BLOCK) {
        const float largest = largest_along(1, x + i, least(BLOCK, n - i), best);
        if (!(largest <= best)) block = i;
        best = largest;
    }
    best = place_along(x + block, least(BLOCK, n - block), place);
    *place += (int32_t)block;
    return best;
}

/* Over rows of `width` columns, each for itself; best and place hold what the rows before `row` gave. */
static inline void place_across(const float *x, ptrdiff_t width, int32_t row, float *best, int32_t *place) {
    for (ptrdiff_t i = 0; i < width; i += VL) {
        const vf value = vf_load_first(x + i, width - i), held = vf_load(best + i);
        const vm better = vm_or(vf_lt(held, value), vm_and(vf_is_nan(value), vm_not(vf_is_nan(held))));
        vf_store(best + i, vf_select(better, value, held));
        vi_store(place + i, vi_select(better, vi_set(row), vi_load(place + i)));
    }
}

static inline void put_place(const rn_reduce_args *a, const reduce_unit *u, ptrdiff_t i, float best, int32_t place) {
    if (a->partial != NULL) {
        partial_at(a, u, 2, 0)[i] = best;
        partial_at(a, u, 2, 1)[i] = (double)(u->row_begin + place);
    } else {
        ((int64_t *)a->y)[u->output + i] = u->row_begin + place;
    }
}

/* Of one output, whose numbers lie side by side in each run. */
static void argmax_along(const rn_reduce_args *a, const reduce_unit *u) {
    row_run r = run_from(a, u, u->row_begin);
    int32_t place = 0; /* rows of the chunk, which has fewer than 2^31 */
    float best = r.rows > 0 ? place_in_blocks(r.x, r.rows, &place) : -INFINITY;
    while (r.row + r.rows < u->row_end) {
        r = run_from(a, u, r.row + r.rows);
        int32_t at;
        const float largest = place_in_blocks(r.x, r.rows, &at);
        if (largest > best || (largest != largest && best == best)) {
            best = largest;
            place = (int32_t)(r.row - u->row_begin) + at;
        }
    }
    put_place(a, u, 0, best, place);
}

static void argmax_across(const rn_reduce_args *a, const reduce_unit *u) {
    float best[RN_REDUCE_COLUMNS];
    int32_t place[RN_REDUCE_COLUMNS];
    for (ptrdiff_t i = 0; i < u->width; i += VL) {
        vf_store(best + i, vf_set(-INFINITY));
        vi_store(place + i, vi_set(0));
    }
    for (row_run r = run_from(a, u, u->row_begin); r.rows > 0; r = run_from(a, u, r.row + r.rows))
        for (ptrdiff_t k = 0; k < r.rows; k++)
            place_across(r.x + k * a->inner, u->width, (int32_t)(r.row - u->row_begin + k), best, place);
    for (ptrdiff_t i = 0; i < u->width; i++) put_place(a, u, i, best[i], place[i]);
}

KERNEL(reduce_argmax) {
    const rn_reduce_args *a = arguments;
    (void)scratch;
    for (reduce_unit u = first_unit(a, tile); u.width > 0; next_unit(a, &u)) {
        if (a->inner == 1)
            argmax_along(a, &u);
        else
            argmax_across(a, &u);
    }
}
