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

/* The number of cells of each window of a block that lie inside the image. */
static inline vf pool_counts(const rn_pool_args *a, pool_block block) {
    vf left = vi_to_float(vi_add(vi_set((int32_t)block.column), vi_mul(vi_lanes(), vi_set((int32_t)a->sw))));
    vf right = vf_min(vf_add(left, vf_set((float)a->kw)), vf_set((float)a->w));
    return vf_mul(vf_sub(right, vf_max(left, vf_zero())), vf_set((float)(block.bottom - block.top)));
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

/* ---- forward */

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

/* Of windows of 2 x 2: rows are joined before neighbours, which halves the shuffles. x_end and y_end are NULL where vectors
 * that begin in the plane end in the tile. */
static RN_ALWAYS_INLINE void pool_forward_halves(const int mean, const int narrow, const rn_pool_args *a, const float *x,
                                                 const float *x_end, float *y, const float *y_end) {
    const ptrdiff_t w = a->w, oh = a->oh, ow = a->ow;
    for (ptrdiff_t oy = 0; oy < oh; oy++, x += 2 * w, y += ow)
        for (ptrdiff_t ox = 0; ox < ow; ox += VL) {
            vf row[2], next[2];
            load_two(narrow, x + 2 * ox, x_end, row);
            load_two(narrow, x + w + 2 * ox, x_end, next);
            for (int v = 0; v < 2; v++) row[v] = mean ? vf_add(row[v], next[v]) : larger_or_nan(row[v], next[v]);
            const vf even = vf_even(row[0], row[1]), odd = vf_odd(row[0], row[1]);
            vf_store_first(y + ox, pool_room(y + ox, y_end),
                           mean ? vf_mul(vf_add(even, odd), vf_set(0.25f)) : larger_or_nan(even, odd));
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

static RN_ALWAYS_INLINE void pool_forward_plane(int mean, const rn_pool_args *a, const float *x, const float *x_end, float *y,
                                                const float *y_end) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow; ox += VL) {
            const pool_block block = pool_block_at(a, x, x_end, oy, ox);
            vf result = block.careful ? block_result(mean, 1, a->sw, a, x, block)
                        : a->sw == 1  ? block_result(mean, 0, 1, a, x, block)
                        : a->sw == 2  ? block_result(mean, 0, 2, a, x, block)
                                      : block_result(mean, 0, a->sw, a, x, block);
            vf_store_first(y + ox, y_end - y - ox, mean ? vf_div(result, pool_counts(a, block)) : result);
        }
}

static RN_ALWAYS_INLINE void pool_forward_by_window(int mean, const rn_pool_args *a, const float *x, float *y) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++)
        for (ptrdiff_t ox = 0; ox < a->ow; ox++) {
            const pool_cells cells = pool_window(a, oy, ox);
            *y++ = mean ? window_sum(a, x, cells) / pool_count(cells) : window_max(a, x, cells);
        }
}

static RN_ALWAYS_INLINE void pool_forward(int mean, const rn_pool_args *a, ptrdiff_t tile) {
    const ptrdiff_t begin = tile * a->group, end = begin + a->group < a->planes ? begin + a->group : a->planes;
    const ptrdiff_t in = a->h * a->w, out = a->oh * a->ow;
    const float *x_end = a->x + end * in, *y_end = a->result + end * out;
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const float *x = a->x + plane * in;
        float *y = a->result + plane * out;
        if (pool_halves(a) && pool_narrow(a))
            pool_forward_halves(mean, 1, a, x, x_end, y, y_end);
        else if (pool_halves(a) && pool_inner(a, end - plane - 1))
            pool_forward_halves(mean, 0, a, x, NULL, y, NULL);
        else if (pool_halves(a))
            pool_forward_halves(mean, 0, a, x, x_end, y, y_end);
        else if (pool_by_window(a))
            pool_forward_by_window(mean, a, x, y);
        else
            pool_forward_plane(mean, a, x, x_end, y, y_end);
    }
}

KERNEL(max_pool2d) { (void)scratch, pool_forward(0, arguments, tile); }
KERNEL(avg_pool2d) { (void)scratch, pool_forward(1, arguments, tile); }

/* ---- gradients */

/* dy where x is the window's maximum and no cell before it was; *open says for which windows none was yet. */
static inline vm claim(vf x, vf y, vm *open) {
    vm match = vm_and(*open, vm_or(vf_eq(x, y), vf_is_nan(x)));
    *open = vm_and(*open, vm_not(match));
    return match;
}

/* What a window gives to its maximum: with relu before, nothing where that is 0; relu lets NaN through. */
static inline vf slope_of_window(const rn_pool_args *a, vf slope, vf top) {
    return a->relu ? vf_where(vm_not(vf_le(top, vf_zero())), slope) : slope;
}

/* Where a row has VL windows or more, the last vector ends with it, over windows that get the same values twice: two rows of dx
 * are written at once, and the first must not reach into the second, whose beginning is done already. */
static inline ptrdiff_t next_block(ptrdiff_t i, ptrdiff_t n) { return i + VL < n && i + 2 * VL > n ? n - VL : i + VL; }

/* x, y and dy begin with the plane's; for the mean x and y are not read. Ends are NULL as above. */
static RN_ALWAYS_INLINE void pool_gradient_halves(const int mean, const int narrow, const rn_pool_args *a, const float *x,
                                                  const float *x_end, const float *y, const float *dy, const float *dy_end,
                                                  float *dx, const float *dx_end) {
    const ptrdiff_t w = a->w, oh = a->oh, ow = a->ow;
    for (ptrdiff_t oy = 0; oy < oh; oy++, dx += 2 * w, dy += ow) {
        for (ptrdiff_t ox = 0; ox < ow; ox = next_block(ox, ow)) {
            const ptrdiff_t left = pool_room(dy + ox, dy_end);
            vf slope = vf_load_first(dy + ox, left), d00 = vf_mul(slope, vf_set(0.25f)), d01 = d00, d10 = d00, d11 = d00;
            if (!mean) {
                const float *above = x + 2 * (oy * w + ox);
                vf x00, x01, x10, x11, top = vf_load_first(y + oy * ow + ox, left);
                load_pairs(narrow, above, x_end, &x00, &x01);
                load_pairs(narrow, above + w, x_end, &x10, &x11);
                vm open = vm_all();
                slope = slope_of_window(a, slope, top);
                d00 = vf_where(claim(x00, top, &open), slope);
                d01 = vf_where(claim(x01, top, &open), slope);
                d10 = vf_where(claim(x10, top, &open), slope);
                d11 = vf_where(claim(x11, top, &open), slope);
            }
            store_pairs(narrow, dx + 2 * ox, dx_end, d00, d01);
            store_pairs(narrow, dx + w + 2 * ox, dx_end, d10, d11);
        }
        for (ptrdiff_t j = 2 * ow; j < w; j++) dx[j] = dx[w + j] = 0.0f;
    }
    for (ptrdiff_t i = 0; i < (a->h - 2 * oh) * w; i++) dx[i] = 0.0f;
}

/* The tap of the maximum, p kw + q for the window's cell (p, q): the first cell, row by row, that equals it. */
static inline ptrdiff_t window_tap(const rn_pool_args *a, const float *x, float y, ptrdiff_t oy, ptrdiff_t ox) {
    const pool_cells cells = pool_window(a, oy, ox);
    for (ptrdiff_t i = cells.top; i < cells.bottom; i++)
        for (ptrdiff_t j = cells.left; j < cells.right; j++) {
            const float value = x[i * a->w + j];
            if (value == y || value != value) return (i - oy * a->sh + a->top) * a->kw + j - ox * a->sw + a->left;
        }
    return -1;
}

/* One window after the other adds to the cells it holds. */
static RN_ALWAYS_INLINE void pool_gradient_by_window(int mean, const rn_pool_args *a, const float *x, const float *y,
                                                     const float *dy, float *dx) {
    memset(dx, 0, (size_t)(a->h * a->w) * sizeof(float));
    for (ptrdiff_t oy = 0; oy < a->oh; oy++)
        for (ptrdiff_t ox = 0; ox < a->ow; ox++, y++, dy++) {
            if (!mean) {
                const ptrdiff_t tap = window_tap(a, x, *y, oy, ox);
                const ptrdiff_t i = oy * a->sh - a->top + tap / a->kw, j = ox * a->sw - a->left + tap % a->kw;
                if (tap >= 0 && !(a->relu && *y <= 0.0f)) dx[i * a->w + j] += *dy;
                continue;
            }
            const pool_cells cells = pool_window(a, oy, ox);
            const vf share = vf_set(*dy / pool_count(cells));
            for (ptrdiff_t i = cells.top; i < cells.bottom; i++)
                for (ptrdiff_t j = cells.left; j < cells.right; j += VL) {
                    float *cell = dx + i * a->w + j;
                    vf_store_first(cell, cells.right - j, vf_add(vf_load_first(cell, cells.right - j), share));
                }
        }
}

/* Else two passes over a plane. First each window leaves in scratch what it gives to a cell (share) and, of a maximum, to which
 * (tap). Then each cell of dx adds up, over the taps by which a window can hold it, the shares meant for it; no cell is written
 * twice, and no vector reads what was just written under another alignment. Rows in scratch have margins, kw before them and the
 * rest behind, of shares that are 0 and taps that are none, so that no edge is looked at. */
typedef struct {
    float *share;
    int32_t *tap;
} pool_shares;

/* The taps of a block's windows, whose maxima are `top`: the cells from the last to the first, so that the first match stays. */
static RN_ALWAYS_INLINE vi block_taps(int careful, ptrdiff_t step, const rn_pool_args *a, const float *x, vf top, ptrdiff_t oy,
                                      pool_block block) {
    vi tap = vi_set(-1);
    for (ptrdiff_t i = block.bottom - 1; i >= block.top; i--)
        for (ptrdiff_t j = a->kw - 1; j >= 0; j--) {
            vm inside = vm_all();
            vf cell = careful ? load_steps_inside(x + i * a->w, block.column + j, step, a->w, &inside)
                              : load_steps(x + i * a->w + block.column + j, step);
            vi here = vi_set((int32_t)((i - oy * a->sh + a->top) * a->kw + j));
            tap = vi_select(vm_and(inside, vf_eq(cell, top)), here, tap);
        }
    return tap;
}

static RN_ALWAYS_INLINE void pool_shares_of_plane(int mean, const rn_pool_args *a, const float *x, const float *x_end,
                                                  const float *y, const float *dy, pool_shares to) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow, dy += a->ow) {
        float *share = to.share + oy * a->row + a->kw;
        int32_t *tap = to.tap + oy * a->row + a->kw;
        for (ptrdiff_t ox = 0; ox < a->ow; ox += VL) {
            const ptrdiff_t count = a->ow - ox;
            const pool_block block = pool_block_at(a, x, x_end, oy, ox);
            vf slope = vf_load_first(dy + ox, count);
            if (mean) {
                vf_store_first(share + ox, count, vf_div(slope, pool_counts(a, block)));
                continue;
            }
            vf top = vf_load_first(y + ox, count);
            vf_store_first(share + ox, count, slope_of_window(a, slope, top));
            vi taps = block.careful ? block_taps(1, a->sw, a, x, top, oy, block)
                      : a->sw == 1  ? block_taps(0, 1, a, x, top, oy, block)
                      : a->sw == 2  ? block_taps(0, 2, a, x, top, oy, block)
                                    : block_taps(0, a->sw, a, x, top, oy, block);
            vf_store_first((float *)tap + ox, count, vi_as_float(taps));
            if (vm_any(vf_is_nan(top)))
                for (ptrdiff_t l = ox; l < a->ow && l < ox + VL; l++) tap[l] = (int32_t)window_tap(a, x, y[l], oy, l);
        }
    }
}

/* The taps along one axis that hold cell i: the first, and its window; tap + s has the window before it. */
typedef struct {
    ptrdiff_t tap, window;
} pool_reach;

static inline pool_reach pool_first_reach(ptrdiff_t i, ptrdiff_t before, ptrdiff_t s) {
    const pool_reach reach = {(i + before) % s, (i + before) / s};
    return reach;
}

/* VL cells of a row of dx: columns r + sw j for VL neighbours j, of which the first tap's windows begin at across.window + j. */
static RN_ALWAYS_INLINE vf pool_gather(int mean, const rn_pool_args *a, pool_shares from, pool_reach down, pool_reach across,
                                       ptrdiff_t j) {
    vf sum = vf_zero();
    for (ptrdiff_t p = down.tap, oy = down.window; p < a->kh && oy >= 0; p += a->sh, oy--) {
        if (oy >= a->oh) continue;
        const ptrdiff_t at = oy * a->row + a->kw + across.window + j;
        for (ptrdiff_t q = across.tap, back = 0; q < a->kw; q += a->sw, back++) {
            vf share = vf_load(from.share + at - back);
            if (!mean) share = vf_where(vi_eq(vi_load(from.tap + at - back), vi_set((int32_t)(p * a->kw + q))), share);
            sum = vf_add(sum, share);
        }
    }
    return sum;
}

static RN_ALWAYS_INLINE void pool_gradient_plane(int mean, const rn_pool_args *a, pool_shares from, float *dx,
                                                 const float *dx_end) {
    for (ptrdiff_t i = 0; i < a->h; i++, dx += a->w) {
        const pool_reach down = pool_first_reach(i, a->top, a->sh), across = pool_first_reach(0, a->left, a->sw);
        if (a->sw == 1) {
            for (ptrdiff_t j = 0; j < a->w; j += VL)
                vf_store_first(dx + j, dx_end - dx - j, pool_gather(mean, a, from, down, across, j));
        } else if (a->sw == 2) {
            const pool_reach odd = pool_first_reach(1, a->left, 2);
            for (ptrdiff_t j = 0; 2 * j < a->w; j += VL)
                store_pairs(0, dx + 2 * j, dx_end, pool_gather(mean, a, from, down, across, j),
                            pool_gather(mean, a, from, down, odd, j));
        } else {
            for (ptrdiff_t r = 0; r < a->sw; r++) {
                const pool_reach reach = pool_first_reach(r, a->left, a->sw);
                for (ptrdiff_t j = 0; r + a->sw * j < a->w; j += VL) {
                    float lane[VL];
                    vf_store(lane, pool_gather(mean, a, from, down, reach, j));
                    for (ptrdiff_t l = 0; l < VL && r + a->sw * (j + l) < a->w; l++) dx[r + a->sw * (j + l)] = lane[l];
                }
            }
        }
    }
}

static RN_ALWAYS_INLINE void pool_gradient(int mean, const rn_pool_args *a, ptrdiff_t tile, void *scratch) {
    const ptrdiff_t begin = tile * a->group, end = begin + a->group < a->planes ? begin + a->group : a->planes;
    const ptrdiff_t in = a->h * a->w, out = a->oh * a->ow, kept = a->oh * a->row;
    const float *x = mean ? a->result : a->x, *y = mean ? a->dy : a->y;
    const float *x_end = x + end * in, *dy_end = a->dy + end * out, *dx_end = a->result + end * in;
    const int halves = pool_halves(a), by_window = !halves && pool_by_window(a);
    const pool_shares shares = {scratch, (int32_t *)((float *)scratch + kept)};
    if (!halves && !by_window) {
        memset(shares.share, 0, (size_t)kept * sizeof(float));
        if (!mean) memset(shares.tap, -1, (size_t)kept * sizeof(int32_t));
    }
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const float *image = x + plane * in, *best = y + plane * out, *dy = a->dy + plane * out;
        float *dx = a->result + plane * in;
        if (halves && pool_narrow(a)) {
            pool_gradient_halves(mean, 1, a, image, x_end, best, dy, dy_end, dx, dx_end);
        } else if (halves && pool_inner(a, end - plane - 1)) {
            pool_gradient_halves(mean, 0, a, image, NULL, best, dy, NULL, dx, NULL);
        } else if (halves) {
            pool_gradient_halves(mean, 0, a, image, x_end, best, dy, dy_end, dx, dx_end);
        } else if (by_window) {
            pool_gradient_by_window(mean, a, image, best, dy, dx);
        } else {
            pool_shares_of_plane(mean, a, image, x_end, best, dy, shares);
            pool_gradient_plane(mean, a, shares, dx, dx_end);
        }
    }
}

KERNEL(max_pool2d_gradient) { pool_gradient(0, arguments, tile, scratch); }
KERNEL(avg_pool2d_gradient) { pool_gradient(1, arguments, tile, scratch); }
