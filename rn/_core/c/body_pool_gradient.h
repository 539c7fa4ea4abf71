/* Gradients of pooling: what each window gives goes to its cells, of a maximum to the one whose tap was kept. */

/* Where a row has VL windows or more, the last vector ends with it, over windows that get the same values twice: two rows of dx
 * are written at once, and the first must not reach into the second, whose beginning is done already. */
static inline ptrdiff_t next_block(ptrdiff_t i, ptrdiff_t n) { return i + VL < n && i + 2 * VL > n ? n - VL : i + VL; }

/* Taps and dy begin with the plane's; for the mean no taps are read. Ends are NULL as in
 * pool_forward_halves. */
static RN_ALWAYS_INLINE void pool_gradient_halves(const int mean, const int narrow, const rn_pool_args *a, const int32_t *taps,
                                                  const float *dy, const float *dy_end, float *dx, const float *dx_end) {
    const ptrdiff_t w = a->w, h = a->h, oh = a->oh, ow = a->ow;
    for (ptrdiff_t oy = 0; oy < oh; oy++, dx += 2 * w, dy += ow, taps += mean ? 0 : ow) {
        for (ptrdiff_t ox = 0; ox < ow; ox = next_block(ox, ow)) {
            const ptrdiff_t room = pool_room(dy + ox, dy_end);
            const vf slope = vf_load_first(dy + ox, room), quarter = vf_mul(slope, vf_set(0.25f));
            vf d[4] = {quarter, quarter, quarter, quarter};
            if (!mean) {
                const vi tap = vf_as_int(vf_load_first((const float *)taps + ox, room));
                for (int i = 0; i < 4; i++) d[i] = vf_where(vi_eq(tap, vi_set(i)), slope);
            }
            store_pairs(narrow, dx + 2 * ox, dx_end, d[0], d[1]);
            store_pairs(narrow, dx + w + 2 * ox, dx_end, d[2], d[3]);
        }
        for (ptrdiff_t j = 2 * ow; j < w; j++) dx[j] = dx[w + j] = 0.0f;
    }
    for (ptrdiff_t i = 0; i < (h - 2 * oh) * w; i++) dx[i] = 0.0f;
}

/* One window after the other adds to the cells it holds. */
static RN_ALWAYS_INLINE void pool_gradient_by_window(int mean, const rn_pool_args *a, const int32_t *taps, const float *dy,
                                                     float *dx) {
    memset(dx, 0, (size_t)(a->h * a->w) * sizeof(float));
    for (ptrdiff_t oy = 0; oy < a->oh; oy++)
        for (ptrdiff_t ox = 0; ox < a->ow; ox++, dy++) {
            if (!mean) {
                const ptrdiff_t tap = *taps++;
                const ptrdiff_t i = oy * a->sh - a->top + tap / a->kw, j = ox * a->sw - a->left + tap % a->kw;
                if (tap >= 0 && i >= 0 && i < a->h && j >= 0 && j < a->w) dx[i * a->w + j] += *dy; /* no other taps' window */
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

static RN_ALWAYS_INLINE void pool_shares_of_plane(int mean, const rn_pool_args *a, const int32_t *taps, const float *dy,
                                                  pool_shares to) {
    for (ptrdiff_t oy = 0; oy < a->oh; oy++, dy += a->ow) {
        float *share = to.share + oy * a->row + a->kw;
        int32_t *tap = to.tap + oy * a->row + a->kw;
        for (ptrdiff_t ox = 0; ox < a->ow; ox += VL) {
            const ptrdiff_t count = a->ow - ox;
            const vf slope = vf_load_first(dy + ox, count);
            vf_store_first(share + ox, count, mean ? vf_div(slope, pool_counts(a, oy, ox)) : slope);
            if (mean) continue;
            vf_store_first((float *)tap + ox, count, vf_load_first((const float *)taps + oy * a->ow + ox, count));
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

/* The planes from begin to end, to dx, the first of them. */
static RN_ALWAYS_INLINE void pool_gradient(int mean, const rn_pool_args *a, ptrdiff_t begin, ptrdiff_t end, float *dx,
                                           void *scratch) {
    const ptrdiff_t in = a->h * a->w, out = a->oh * a->ow, kept = a->oh * a->row;
    const float *dy = a->dy + begin * out, *dy_end = a->dy + end * out, *dx_end = dx + (end - begin) * in;
    const int32_t *taps = mean ? NULL : a->taps + begin * out;
    const int halves = pool_halves(a), by_window = !halves && pool_by_window(a);
    const pool_shares shares = {scratch, (int32_t *)((float *)scratch + kept)};
    if (!halves && !by_window) {
        memset(shares.share, 0, (size_t)kept * sizeof(float));
        if (!mean) memset(shares.tap, -1, (size_t)kept * sizeof(int32_t));
    }
    for (ptrdiff_t behind = end - begin - 1; behind >= 0; behind--, dx += in, dy += out, taps += mean ? 0 : out) {
        const int inner = pool_inner(a, behind);
        if (by_window) {
            pool_gradient_by_window(mean, a, taps, dy, dx);
        } else if (!halves) {
            pool_shares_of_plane(mean, a, taps, dy, shares);
            pool_gradient_plane(mean, a, shares, dx, dx_end);
        } else if (pool_narrow(a)) {
            pool_gradient_halves(mean, 1, a, taps, dy, inner ? NULL : dy_end, dx, inner ? NULL : dx_end);
        } else if (inner) {
            pool_gradient_halves(mean, 0, a, taps, dy, NULL, dx, NULL);
        } else {
            pool_gradient_halves(mean, 0, a, taps, dy, dy_end, dx, dx_end);
        }
    }
}

static RN_ALWAYS_INLINE void pool_gradient_tile(int mean, const rn_pool_args *a, ptrdiff_t tile, void *scratch) {
    const ptrdiff_t begin = tile * a->group;
    pool_gradient(mean, a, begin, least(begin + a->group, a->planes), a->result + begin * a->h * a->w, scratch);
}

KERNEL(max_pool2d_gradient) { pool_gradient_tile(0, arguments, tile, scratch); }
KERNEL(avg_pool2d_gradient) { pool_gradient_tile(1, arguments, tile, scratch); }
