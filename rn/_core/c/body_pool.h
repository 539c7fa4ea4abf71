/* Three ways through a plane. Windows of 2 x 2 side by side, the common case, have loops of their own (*_halves). Else VL windows
 * that are neighbours in a row are worked at a time (*_block), unless windows are wider than their row is long: then one after
 * the other, VL cells at a time (*_by_window). Vectors may reach beyond the row they are meant for, as far as the tile's own
 * memory goes: what they write there is written again by the rows that follow. */

/* A window cut to the image: rows from top to bottom, columns from left to right, the ends not included. */
typedef struct {
    ptrdiff_t top, bottom, left, right;
} pool_cells;

static inline pool_cells pool_window(const rn_pool_args *a, ptrdiff_t oy, ptrdiff_t ox) {
    const ptrdiff_t y = oy * a->sh - a->top, x = ox * a->sw - a->left;
    const pool_cells cells = {y < 0 ? 0 : y, y + a->kh < a->h ? y + a->kh : a->h, x < 0 ? 0 : x,
                              x + a->kw < a->w ? x + a->kw : a->w};
    return cells;
}

static inline float pool_count(pool_cells cells) { return (float)((cells.bottom - cells.top) * (cells.right - cells.left)); }

static inline int pool_halves(const rn_pool_args *a) {
    return a->kh == 2 && a->kw == 2 && a->sh == 2 && a->sw == 2 && a->top == 0 && a->left == 0 && 2 * a->oh <= a->h &&
           2 * a->ow <= a->w;
}

static inline int pool_narrow(const rn_pool_args *a) { return 2 * a->ow <= VL; }

static inline int pool_by_window(const rn_pool_args *a) { return a->kw > a->ow; }

/* VL windows from (oy, ox) on: their rows, the column where the first of them begins, and whether some of their cells may lie
 * outside the image or the tile, so that each load must look. */
typedef struct {
    ptrdiff_t top, bottom, column;
    int careful;
} pool_block;

static inline pool_block pool_block_at(const rn_pool_args *a, const float *x, const float *x_end, ptrdiff_t oy, ptrdiff_t ox) {
    const ptrdiff_t y = oy * a->sh - a->top, last = (ox + VL < a->ow ? ox + VL : a->ow) - 1;
    pool_block block = {y < 0 ? 0 : y, y + a->kh < a->h ? y + a->kh : a->h, ox * a->sw - a->left, 0};
    const float *reach = x + (block.bottom - 1) * a->w + block.column + a->kw - 1 + VL * a->sw;
    block.careful = block.column < 0 || last * a->sw - a->left + a->kw > a->w || reach > x_end;
    return block;
}

/* The number of cells inside the image of each of the VL windows from (oy, ox) on. */
static inline vf pool_counts(const rn_pool_args *a, ptrdiff_t oy, ptrdiff_t ox) {
    const pool_cells first = pool_window(a, oy, ox);
    const ptrdiff_t column = ox * a->sw - a->left;
    vf left = vi_to_float(vi_add(vi_set((int32_t)column), vi_mul(vi_lanes(), vi_set((int32_t)a->sw))));
    vf right = vf_min(vf_add(left, vf_set((float)a->kw)), vf_set((float)a->w));
    return vf_mul(vf_sub(right, vf_max(left, vf_zero())), vf_set((float)(first.bottom - first.top)));
}

/* p[0], p[step], … where all of it may be read. */
static RN_ALWAYS_INLINE vf load_steps(const float *p, ptrdiff_t step) {
    if (step == 1) return vf_load(p);
    if (step == 2) return vf_even(vf_load(p), vf_load(p + VL));
    return vf_gather(p, vi_mul(vi_lanes(), vi_set((int32_t)step)), vm_all());
}

static inline vm columns_inside(ptrdiff_t column, ptrdiff_t step, ptrdiff_t w) {
    vi at = vi_add(vi_set((int32_t)column), vi_mul(vi_lanes(), vi_set((int32_t)step)));
    return vm_and(vi_gt(at, vi_set(-1)), vi_gt(vi_set((int32_t)w), at));
}

/* Columns column, column + step, … of a row of w: 0, and nothing read, where *inside says that there is none. */
static inline vf load_steps_inside(const float *row, ptrdiff_t column, ptrdiff_t step, ptrdiff_t w, vm *inside) {
    *inside = columns_inside(column, step, w);
    if (step == 1) return vf_load_masked(row + column, *inside);
    if (step != 2) return vf_gather(row + column, vi_mul(vi_lanes(), vi_set((int32_t)step)), *inside);
    vf a = vf_load_masked(row + column, columns_inside(column, 1, w));
    return vf_even(a, vf_load_masked(row + column + VL, columns_inside(column + VL, 1, w)));
}

/* The floats from p to an end; where that is NULL, two vectors at least. */
static RN_ALWAYS_INLINE ptrdiff_t pool_room(const float *p, const float *end) { return end == NULL ? 2 * VL : end - p; }

/* Whether vectors that begin in a plane end in the `planes` of the tile behind it. */
static inline int pool_inner(const rn_pool_args *a, ptrdiff_t planes) {
    return planes * a->h * a->w >= 2 * VL && planes * a->oh * a->ow >= VL;
}

/* Two vectors of neighbours; of narrow rows, which one holds, that one alone. */
static RN_ALWAYS_INLINE void load_two(const int narrow, const float *p, const float *end, vf x[2]) {
    x[0] = vf_load_first(p, pool_room(p, end));
    x[1] = !narrow && pool_room(p, end) > VL ? vf_load_first(p + VL, pool_room(p, end) - VL) : vf_zero();
}

/* VL pairs of neighbours, or half of them. */
static RN_ALWAYS_INLINE void load_pairs(const int narrow, const float *p, const float *end, vf *even, vf *odd) {
    vf x[2];
    load_two(narrow, p, end, x);
    *even = vf_even(x[0], x[1]);
    *odd = vf_odd(x[0], x[1]);
}

static RN_ALWAYS_INLINE void store_pairs(const int narrow, float *p, const float *end, vf even, vf odd) {
    vf high, low = vf_interleave(even, odd, &high);
    vf_store_first(p, pool_room(p, end), low);
    if (!narrow && pool_room(p, end) > VL) vf_store_first(p + VL, pool_room(p, end) - VL, high);
}

/* The larger; a NaN, once met, stays. */
static inline vf larger_or_nan(vf best, vf x) { return vf_select(vf_is_nan(x), x, vf_max(x, best)); }

static inline float window_max(const rn_pool_args *a, const float *x, pool_cells cells) {
    vf best = vf_set(-INFINITY);
    for (ptrdiff_t i = cells.top; i < cells.bottom; i++)
        for (ptrdiff_t j = cells.left; j < cells.right; j += VL) {
            const vm mask = vm_first(cells.right - j);
            best = larger_or_nan(best, vf_select(mask, vf_load_masked(x + i * a->w + j, mask), best));
        }
    return vm_any(vf_is_nan(best)) ? NAN : vf_largest(best);
}

/* A window may be a whole image: float32 sums of some vectors are added up in float64. */
static inline float window_sum(const rn_pool_args *a, const float *x, pool_cells cells) {
    enum { CHAIN = 64 };
    double total = 0.0;
    vf sum = vf_zero();
    int chain = 0;
    for (ptrdiff_t i = cells.top; i < cells.bottom; i++)
        for (ptrdiff_t j = cells.left; j < cells.right; j += VL) {
            sum = vf_add(sum, vf_load_first(x + i * a->w + j, cells.right - j));
            if (++chain < CHAIN) continue;
            total += vf_sum_double(sum);
            sum = vf_zero();
            chain = 0;
        }
    return (float)(total + vf_sum_double(sum));
}

/* The tap of a window's maximum y, p kw + q for its cell (p, q): the first cell, row by row, that equals it. */
static inline ptrdiff_t window_tap(const rn_pool_args *a, const float *x, float y, ptrdiff_t oy, ptrdiff_t ox) {
    if (a->relu && y <= 0.0f) return -1;
    const pool_cells cells = pool_window(a, oy, ox);
    for (ptrdiff_t i = cells.top; i < cells.bottom; i++)
        for (ptrdiff_t j = cells.left; j < cells.right; j++) {
            const float value = x[i * a->w + j];
            if (value == y || value != value) return (i - oy * a->sh + a->top) * a->kw + j - ox * a->sw + a->left;
        }
    return -1;
}

/* With relu no window whose maximum is 0 has a tap; relu lets NaN through. */
static RN_ALWAYS_INLINE vi drop_taps(int relu, vi tap, vf best) {
    return relu ? vi_select(vf_le(best, vf_zero()), vi_set(-1), tap) : tap;
}

/* Of windows of 2 x 2, whose cells come row by row: the maxima, joined as pool_forward_halves joins rows; and the taps, unless
 * NULL. */
static RN_ALWAYS_INLINE vf largest_of_cells(const int with_nan, const vf cell[4], const int relu, vi *tap) {
    vf best;
    if (with_nan)
        best = larger_or_nan(larger_or_nan(cell[0], cell[2]), larger_or_nan(cell[1], cell[3]));
    else
        best = vf_max(vf_max(cell[3], cell[1]), vf_max(cell[2], cell[0]));
    if (tap == NULL) return best;
    vi first = vi_set(3);
    for (int i = 2; i >= 0; i--) {
        const vm match = with_nan ? vm_or(vf_eq(cell[i], best), vf_is_nan(cell[i])) : vf_eq(cell[i], best);
        first = vi_select(match, vi_set(i), first);
    }
    *tap = drop_taps(relu, first, best);
    return best;
}

static RN_ALWAYS_INLINE vf largest_of_halves(const vf cell[4], const int relu, vi *tap) {
    const vm nan = vm_or(vf_either_nan(cell[0], cell[1]), vf_either_nan(cell[2], cell[3]));
    return vm_any(nan) ? largest_of_cells(1, cell, relu, tap) : largest_of_cells(0, cell, relu, tap);
}

/* Of windows of 2 x 2: rows are joined before neighbours, which halves the shuffles unless cells are needed for their taps.
 * x_end and y_end are NULL where vectors that begin in the plane end in the tile. */
static RN_ALWAYS_INLINE void pool_forward_halves(const int mean, const int narrow, const rn_pool_args *a, const float *x,
                                                 const float *x_end, float *y, const float *y_end, int32_t *taps) {
    const ptrdiff_t w = a->w, oh = a->oh, ow = a->ow;
    for (ptrdiff_t oy = 0; oy < oh; oy++, x += 2 * w)
        for (ptrdiff_t ox = 0; ox < ow; ox += VL) {
            float *to = y + oy * ow + ox;
            const ptrdiff_t room = pool_room(to, y_end);
            if (taps != NULL) {
                vf cell[4];
                load_pairs(narrow, x + 2 * ox, x_end, &cell[0], &cell[1]);
                load_pairs(narrow, x + w + 2 * ox, x_end, &cell[2], &cell[3]);
                vi tap;
                vf_store_first(to, room, largest_of_halves(cell, a->relu, &tap));
                vf_store_first((float *)taps + oy * ow + ox, room, vi_as_float(tap));
                continue;
            }
            vf row[2], next[2];
            load_two(narrow, x + 2 * ox, x_end, row);
            load_two(narrow, x + w + 2 * ox, x_end, next);
            for (int v = 0; v < 2; v++) row[v] = mean ? vf_add(row[v], next[v]) : larger_or_nan(row[v], next[v]);
            const vf even = vf_even(row[0], row[1]), odd = vf_odd(row[0], row[1]);
            vf_store_first(to, room, mean ? vf_mul(vf_add(even, odd), vf_set(0.25f)) : larger_or_nan(even, odd));
        }
}

/* The maxima, or sums, of a block's windows. */
static RN_ALWAYS_INLINE vf block_result(int mean, int careful, ptrdiff_t step, const rn_pool_args *a, const float *x,
                                        pool_block block) {
    vf result = vf_set(mean ? 0.0f : -INFINITY);
    for (ptrdiff_t i = block.top; i < block.bottom; i++)
        for (ptrdiff_t j = 0; j < a->kw; j++) {
            vm inside = vm_all();
            vf cell = careful ? load_steps_inside(x + i * a->w, block.column + j, step, a->w, &inside)
                              : load_steps(x + i * a->w + block.column + j, step);
            if (mean)
                result = vf_add(result, cell);
            else
                result = vf_select(inside, larger_or_nan(result, cell), result);
        }
    return result;
}

/* The taps of a block's windows, whose maxima are `best`: the cells from the last to the first, so that the first match stays. */
static RN_ALWAYS_INLINE vi block_taps(int careful, ptrdiff_t step, const rn_pool_args *a, const float *x, vf best, ptrdiff_t oy,
                                      pool_block block) {
    vi tap = vi_set(-1);
    for (ptrdiff_t i = block.bottom - 1; i >= block.top; i--)
        for (ptrdiff_t j = a->kw - 1; j >= 0; j--) {
            vm inside = vm_all();
            vf cell = careful ? load_steps_inside(x + i * a->w, block.column + j, step, a->w, &inside)
                              : load_steps(x + i * a->w + block.column + j, step);
            vi here = vi_set((int32_t)((i - oy * a->sh + a->top) * a->kw + j));
            tap = vi_select(vm_and(inside, vf_eq(cell, best)), here, tap);
        }
    return tap;
}

static RN_ALWAYS_INLINE void pool_forward_plane(int mean, const rn_pool_args *a, const float *x, const float *x_end, float *y,
                                                const float *y_end, int32_t *taps) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow; ox += VL) {
            const pool_block block = pool_block_at(a, x, x_end, oy, ox);
            const vf result = block.careful ? block_result(mean, 1, a->sw, a, x, block)
                              : a->sw == 1  ? block_result(mean, 0, 1, a, x, block)
                              : a->sw == 2  ? block_result(mean, 0, 2, a, x, block)
                                            : block_result(mean, 0, a->sw, a, x, block);
            vf_store_first(y + ox, y_end - y - ox, mean ? vf_div(result, pool_counts(a, oy, ox)) : result);
            if (taps == NULL) continue;
            const vi found = block.careful ? block_taps(1, a->sw, a, x, result, oy, block)
                             : a->sw == 1  ? block_taps(0, 1, a, x, result, oy, block)
                             : a->sw == 2  ? block_taps(0, 2, a, x, result, oy, block)
                                           : block_taps(0, a->sw, a, x, result, oy, block);
            int32_t *tap = taps + oy * a->ow;
            vf_store_first((float *)tap + ox, y_end - y - ox, vi_as_float(drop_taps(a->relu, found, result)));
            if (vm_any(vf_is_nan(result)))
                for (ptrdiff_t l = ox; l < a->ow && l < ox + VL; l++) tap[l] = (int32_t)window_tap(a, x, y[l], oy, l);
        }
}

static RN_ALWAYS_INLINE void pool_forward_by_window(int mean, const rn_pool_args *a, const float *x, float *y, int32_t *taps) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++)
        for (ptrdiff_t ox = 0; ox < a->ow; ox++, y++) {
            const pool_cells cells = pool_window(a, oy, ox);
            *y = mean ? window_sum(a, x, cells) / pool_count(cells) : window_max(a, x, cells);
            if (taps != NULL) *taps++ = (int32_t)window_tap(a, x, *y, oy, ox);
        }
}

/* `count` planes from x to y and, unless NULL, taps. */
static RN_ALWAYS_INLINE void pool_forward(int mean, const rn_pool_args *a, ptrdiff_t count, const float *x, float *y,
                                          int32_t *taps) {
    const ptrdiff_t in = a->h * a->w, out = a->oh * a->ow;
    const float *x_end = x + count * in, *y_end = y + count * out;
    for (ptrdiff_t behind = count - 1; behind >= 0; behind--, x += in, y += out, taps += taps == NULL ? 0 : out) {
        const int inner = pool_inner(a, behind);
        if (!pool_halves(a) && pool_by_window(a))
            pool_forward_by_window(mean, a, x, y, taps);
        else if (!pool_halves(a))
            pool_forward_plane(mean, a, x, x_end, y, y_end, taps);
        else if (pool_narrow(a))
            pool_forward_halves(mean, 1, a, x, inner ? NULL : x_end, y, inner ? NULL : y_end, taps);
        else if (inner)
            pool_forward_halves(mean, 0, a, x, NULL, y, NULL, taps);
        else
            pool_forward_halves(mean, 0, a, x, x_end, y, y_end, taps);
    }
}

static RN_ALWAYS_INLINE void pool_tile(int mean, const rn_pool_args *a, ptrdiff_t tile) {
    const ptrdiff_t begin = tile * a->group, out = begin * a->oh * a->ow;
    pool_forward(mean, a, least(a->group, a->planes - begin), a->x + begin * a->h * a->w, a->result + out,
                 mean || a->taps == NULL ? NULL : a->taps + out);
}

KERNEL(max_pool2d) { (void)scratch, pool_tile(0, arguments, tile); }
KERNEL(avg_pool2d) { (void)scratch, pool_tile(1, arguments, tile); }
