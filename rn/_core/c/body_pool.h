/* The hot case has loops of its own: windows of 2 x 2 side by side. Every other size, stride and padding takes the general loops,
 * which work VL neighbouring windows at a time where these lie inside the image, and one window at a time at its sides. */

/* Elements p[0], p[step], … of `count` windows; the lanes from count on mean nothing. */
static inline vf load_steps(const float *p, ptrdiff_t step, ptrdiff_t count) {
    if (step == 1) return vf_load_first(p, count);
    if (step != 2) return vf_gather(p, vi_mul(vi_lanes(), vi_set((int32_t)step)), vi_first(count));
    const ptrdiff_t span = 2 * count - 1;
    return vf_even(vf_load_first(p, span), span > VL ? vf_load_first(p + VL, span - VL) : vf_zero());
}

/* p[0], p[step], … += the first `count` lanes of a. */
static inline void add_steps(float *p, ptrdiff_t step, ptrdiff_t count, vf a) {
    if (count > VL) count = VL;
    if (step == 1) {
        vf_store_first(p, count, vf_add(vf_load_first(p, count), a));
    } else if (step == 2) {
        const ptrdiff_t span = 2 * count - 1;
        vf high, low = vf_interleave(a, vf_zero(), &high);
        vf_store_first(p, span, vf_add(vf_load_first(p, span), low));
        if (span > VL) vf_store_first(p + VL, span - VL, vf_add(vf_load_first(p + VL, span - VL), high));
    } else {
        float lane[VL];
        vf_store(lane, a);
        for (ptrdiff_t i = 0; i < count; i++) p[i * step] += lane[i];
    }
}

/* The larger; a NaN, once met, stays. */
static inline vf larger_or_nan(vf best, vf x) { return vf_select(vf_is_nan(x), x, vf_max(x, best)); }

/* A window cut to the image: rows from top to bottom, columns from left to right, the ends not included. */
typedef struct {
    ptrdiff_t top, bottom, left, right;
} pool_cells;

static inline pool_cells pool_window(const rn_pool_args *a, ptrdiff_t oy, ptrdiff_t ox) {
    const ptrdiff_t y = oy * a->sh - a->top, x = ox * a->sw - a->left;
    const pool_cells window = {y < 0 ? 0 : y, y + a->kh < a->h ? y + a->kh : a->h, x < 0 ? 0 : x,
                               x + a->kw < a->w ? x + a->kw : a->w};
    return window;
}

/* Windows [first, last) of every row of windows lie inside the image from left to right. */
static inline void pool_inside(const rn_pool_args *a, ptrdiff_t *first, ptrdiff_t *last) {
    const ptrdiff_t room = a->w + a->left - a->kw, fitting = room < 0 ? 0 : room / a->sw + 1;
    *last = fitting < a->ow ? fitting : a->ow;
    *first = (a->left + a->sw - 1) / a->sw;
    if (*first > *last) *first = *last;
}

static inline int pool_halves(const rn_pool_args *a) {
    return a->kh == 2 && a->kw == 2 && a->sh == 2 && a->sw == 2 && a->top == 0 && a->left == 0 && 2 * a->oh <= a->h &&
           2 * a->ow <= a->w;
}

/* The block after i of a row of n: the last one ends with the row, over windows that get the same values twice. */
static inline ptrdiff_t next_block(ptrdiff_t i, ptrdiff_t n) { return i + VL < n && i + 2 * VL > n ? n - VL : i + VL; }

static inline void load_pairs(const float *x, ptrdiff_t count, vf *even, vf *odd) {
    vf a = vf_load_first(x, 2 * count), b = 2 * count > VL ? vf_load_first(x + VL, 2 * count - VL) : vf_zero();
    *even = vf_even(a, b);
    *odd = vf_odd(a, b);
}

static inline void store_pairs(float *x, ptrdiff_t count, vf even, vf odd) {
    vf high, low = vf_interleave(even, odd, &high);
    vf_store_first(x, 2 * count, low);
    if (2 * count > VL) vf_store_first(x + VL, 2 * count - VL, high);
}

static inline void clear(float *x, ptrdiff_t n) {
    if (n > 0) memset(x, 0, (size_t)n * sizeof(float));
}

/* ---- forward */

static inline void max_halves(const rn_pool_args *a, const float *x, float *y) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, x += 2 * a->w, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow; ox = next_block(ox, a->ow)) {
            vf x00, x01, x10, x11;
            load_pairs(x + 2 * ox, a->ow - ox, &x00, &x01);
            load_pairs(x + a->w + 2 * ox, a->ow - ox, &x10, &x11);
            vf_store_first(y + ox, a->ow - ox, larger_or_nan(larger_or_nan(x00, x01), larger_or_nan(x10, x11)));
        }
}

static inline void max_plane(const rn_pool_args *a, const float *x, float *y) {
    ptrdiff_t first, last;
    pool_inside(a, &first, &last);
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow;) {
            const pool_cells window = pool_window(a, oy, ox);
            if (ox >= first && ox < last) {
                vf best = vf_set(-INFINITY);
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++)
                        best = larger_or_nan(best, load_steps(x + i * a->w + j, a->sw, last - ox));
                vf_store_first(y + ox, last - ox, best);
                ox = ox + VL < last ? ox + VL : last;
            } else {
                float best = -INFINITY;
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++) {
                        const float value = x[i * a->w + j];
                        if (value > best || value != value) best = value;
                    }
                y[ox++] = best;
            }
        }
}

KERNEL(max_pool2d) {
    const rn_pool_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->group < a->planes ? (tile + 1) * a->group : a->planes;
    for (ptrdiff_t plane = tile * a->group; plane < end; plane++)
        (pool_halves(a) ? max_halves : max_plane)(a, a->x + plane * a->h * a->w, a->result + plane * a->oh * a->ow);
}

static inline void avg_halves(const rn_pool_args *a, const float *x, float *y) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, x += 2 * a->w, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow; ox = next_block(ox, a->ow)) {
            vf x00, x01, x10, x11;
            load_pairs(x + 2 * ox, a->ow - ox, &x00, &x01);
            load_pairs(x + a->w + 2 * ox, a->ow - ox, &x10, &x11);
            vf_store_first(y + ox, a->ow - ox, vf_mul(vf_add(vf_add(vf_add(x00, x01), x10), x11), vf_set(0.25f)));
        }
}

static inline void avg_plane(const rn_pool_args *a, const float *x, float *y) {
    ptrdiff_t first, last;
    pool_inside(a, &first, &last);
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow;) {
            const pool_cells window = pool_window(a, oy, ox);
            const float cells = (float)((window.bottom - window.top) * (window.right - window.left));
            if (ox >= first && ox < last) {
                vf sum = vf_zero();
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++)
                        sum = vf_add(sum, load_steps(x + i * a->w + j, a->sw, last - ox));
                vf_store_first(y + ox, last - ox, vf_div(sum, vf_set(cells)));
                ox = ox + VL < last ? ox + VL : last;
            } else {
                float sum = 0.0f;
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++) sum += x[i * a->w + j];
                y[ox++] = sum / cells;
            }
        }
}

KERNEL(avg_pool2d) {
    const rn_pool_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->group < a->planes ? (tile + 1) * a->group : a->planes;
    for (ptrdiff_t plane = tile * a->group; plane < end; plane++)
        (pool_halves(a) ? avg_halves : avg_plane)(a, a->x + plane * a->h * a->w, a->result + plane * a->oh * a->ow);
}

/* ---- gradients */

/* dy where x is the window's maximum and no cell before it was; *open says for which windows none was yet. */
static inline vf claim(vf x, vf y, vf dy, vi *open) {
    vi match = vi_and(*open, vi_or(vf_eq(x, y), vf_is_nan(x)));
    *open = vi_and(*open, vi_not(match));
    return vf_where(match, dy);
}

static inline void max_gradient_halves(const rn_pool_args *a, const float *x, const float *y, const float *dy, float *dx) {
    const ptrdiff_t w = a->w;
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, x += 2 * w, dx += 2 * w, y += a->ow, dy += a->ow) {
        for (ptrdiff_t ox = 0; ox < a->ow; ox = next_block(ox, a->ow)) {
            const ptrdiff_t count = a->ow - ox;
            vf x00, x01, x10, x11, top = vf_load_first(y + ox, count), slope = vf_load_first(dy + ox, count);
            load_pairs(x + 2 * ox, count, &x00, &x01);
            load_pairs(x + w + 2 * ox, count, &x10, &x11);
            vi open = vi_set(-1);
            vf g00 = claim(x00, top, slope, &open), g01 = claim(x01, top, slope, &open);
            vf g10 = claim(x10, top, slope, &open), g11 = claim(x11, top, slope, &open);
            store_pairs(dx + 2 * ox, count, g00, g01);
            store_pairs(dx + w + 2 * ox, count, g10, g11);
        }
        clear(dx + 2 * a->ow, w - 2 * a->ow);
        clear(dx + w + 2 * a->ow, w - 2 * a->ow);
    }
    clear(dx, (a->h - 2 * a->oh) * w);
}

static inline void max_gradient_plane(const rn_pool_args *a, const float *x, const float *y, const float *dy, float *dx) {
    ptrdiff_t first, last;
    pool_inside(a, &first, &last);
    clear(dx, a->h * a->w);
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, y += a->ow, dy += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow;) {
            const pool_cells window = pool_window(a, oy, ox);
            if (ox >= first && ox < last) {
                const ptrdiff_t count = last - ox;
                vf top = vf_load_first(y + ox, count), slope = vf_load_first(dy + ox, count);
                vi open = vi_first(count);
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++)
                        add_steps(dx + i * a->w + j, a->sw, count,
                                  claim(load_steps(x + i * a->w + j, a->sw, count), top, slope, &open));
                ox = ox + VL < last ? ox + VL : last;
            } else {
                int open = 1;
                for (ptrdiff_t i = window.top; i < window.bottom && open; i++)
                    for (ptrdiff_t j = window.left; j < window.right && open; j++) {
                        const float value = x[i * a->w + j];
                        if (value != y[ox] && value == value) continue;
                        dx[i * a->w + j] += dy[ox];
                        open = 0;
                    }
                ox++;
            }
        }
}

KERNEL(max_pool2d_gradient) {
    const rn_pool_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->group < a->planes ? (tile + 1) * a->group : a->planes;
    for (ptrdiff_t plane = tile * a->group; plane < end; plane++) {
        const ptrdiff_t in = plane * a->h * a->w, out = plane * a->oh * a->ow;
        (pool_halves(a) ? max_gradient_halves : max_gradient_plane)(a, a->x + in, a->y + out, a->dy + out, a->result + in);
    }
}

static inline void avg_gradient_halves(const rn_pool_args *a, const float *dy, float *dx) {
    const ptrdiff_t w = a->w;
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, dx += 2 * w, dy += a->ow) {
        for (ptrdiff_t ox = 0; ox < a->ow; ox = next_block(ox, a->ow)) {
            vf share = vf_mul(vf_load_first(dy + ox, a->ow - ox), vf_set(0.25f));
            store_pairs(dx + 2 * ox, a->ow - ox, share, share);
            store_pairs(dx + w + 2 * ox, a->ow - ox, share, share);
        }
        clear(dx + 2 * a->ow, w - 2 * a->ow);
        clear(dx + w + 2 * a->ow, w - 2 * a->ow);
    }
    clear(dx, (a->h - 2 * a->oh) * w);
}

static inline void avg_gradient_plane(const rn_pool_args *a, const float *dy, float *dx) {
    ptrdiff_t first, last;
    pool_inside(a, &first, &last);
    clear(dx, a->h * a->w);
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, dy += a->ow)
        for (ptrdiff_t ox = 0; ox < a->ow;) {
            const pool_cells window = pool_window(a, oy, ox);
            const float cells = (float)((window.bottom - window.top) * (window.right - window.left));
            if (ox >= first && ox < last) {
                vf share = vf_div(vf_load_first(dy + ox, last - ox), vf_set(cells));
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++) add_steps(dx + i * a->w + j, a->sw, last - ox, share);
                ox = ox + VL < last ? ox + VL : last;
            } else {
                const float share = dy[ox++] / cells;
                for (ptrdiff_t i = window.top; i < window.bottom; i++)
                    for (ptrdiff_t j = window.left; j < window.right; j++) dx[i * a->w + j] += share;
            }
        }
}

KERNEL(avg_pool2d_gradient) {
    const rn_pool_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = (tile + 1) * a->group < a->planes ? (tile + 1) * a->group : a->planes;
    for (ptrdiff_t plane = tile * a->group; plane < end; plane++)
        (pool_halves(a) ? avg_gradient_halves : avg_gradient_plane)(a, a->dy + plane * a->oh * a->ow,
                                                                    a->result + plane * a->h * a->w);
}
