/* The gradient by weights of a convolution that only max pooling reads, by windows of 2 x 2 side by side, whose taps tell which
 * of its four cells a window's gradient goes to. Lanes are windows, as pool_windows.h packs them:
 *
 *   dweight[k, m] = sum over windows p and cells l of pixel[k, p, l] dy[m, p] [tap[m, p] = l]
 *
 * so that the gradient by the convolution's output, three quarters of which is 0, need not be spread out in memory.
 *
 * Registers: SLOPE_FILTERS * 9 sums of 3 x 3 taps, and for each filter its sum, dy, tap and dy of a cell; a line. */

enum { SLOPE_FILTERS = VL == 16 ? 2 : 1, SIDE_TAPS = 3 };

/* Some filters and one channel, over some vectors of windows. */
typedef struct {
    const float *line;
    const int32_t *tap;
    const float *dy;
    float *total, *slopes; /* [9, total_row], a filter every VL floats; slopes NULL: not wanted */
    ptrdiff_t total_row, plane;
    ptrdiff_t windows, vector; /* from the first vector's first lane on; floats from a vector's lines to the next's */
} slope_tile;

static RN_ALWAYS_INLINE void add_windows(const int filters, const slope_tile *t) {
    enum { ROW = RN_LINES(SIDE_TAPS) * VL };
    vf sum[SLOPE_FILTERS][SIDE_TAPS * SIDE_TAPS], slopes[SLOPE_FILTERS];
    RN_UNROLL
    for (int f = 0; f < filters; f++) {
        slopes[f] = vf_zero();
        RN_UNROLL
        for (int k = 0; k < SIDE_TAPS * SIDE_TAPS; k++) sum[f][k] = vf_zero();
    }
    const float *line = t->line;
    for (ptrdiff_t i = 0; i < t->windows; i += VL, line += t->vector) {
        vf dy[SLOPE_FILTERS];
        vi tap[SLOPE_FILTERS];
        RN_UNROLL
        for (int f = 0; f < filters; f++) {
            dy[f] = vf_load_first(t->dy + f * t->plane + i, t->windows - i);
            tap[f] = vf_as_int(vf_load_first((const float *)t->tap + f * t->plane + i, t->windows - i));
            slopes[f] = vf_add(slopes[f], vf_where(vi_gt(tap[f], vi_set(-1)), dy[f]));
        }
        RN_UNROLL
        for (int cell = 0; cell < CELLS; cell++) {
            const float *first = line + cell / 2 * ROW + cell % 2 * VL;
            vf slope[SLOPE_FILTERS];
            RN_UNROLL
            for (int f = 0; f < filters; f++) slope[f] = vf_where(vi_eq(tap[f], vi_set(cell)), dy[f]);
            RN_UNROLL
            for (int k = 0; k < SIDE_TAPS * SIDE_TAPS; k++) {
                const vf pixels = vf_load(first + k / SIDE_TAPS * ROW + k % SIDE_TAPS * VL);
                RN_UNROLL
                for (int f = 0; f < filters; f++) sum[f][k] = vf_fma(pixels, slope[f], sum[f][k]);
            }
        }
    }
    RN_UNROLL
    for (int f = 0; f < filters; f++) {
        RN_UNROLL
        for (int k = 0; k < SIDE_TAPS * SIDE_TAPS; k++) {
            float *to = t->total + k * t->total_row + f * VL;
            vf_store(to, vf_add(vf_load(to), sum[f][k]));
        }
        if (t->slopes != NULL) vf_store(t->slopes + f * VL, vf_add(vf_load(t->slopes + f * VL), slopes[f]));
    }
}

static RN_NO_INLINE void add_windows_of_one(const slope_tile *t) { add_windows(1, t); }
static RN_NO_INLINE void add_windows_of_some(const slope_tile *t) { add_windows(SLOPE_FILTERS, t); }

KERNEL(weight_gradient_windows) {
    const rn_weight_gradient_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t filter_block = tile % a->filter_blocks, group = tile / a->filter_blocks % a->groups;
    const ptrdiff_t split = tile / (a->filter_blocks * a->groups), end = a->images * (split + 1) / a->splits;
    const ptrdiff_t first_filter = filter_block * a->filter_block, filters = least(a->filter_block, a->filters - first_filter);
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, rows = a->channels * taps;
    const ptrdiff_t planes = a->images * a->groups * a->channels, windows = a->pool.oh * a->pool.ow;
    const ptrdiff_t channel_lines = (w->tap_rows + 1) * RN_LINES(w->tap_columns) * VL;

    float *total = scratch;                          /* [rows and one, filters] of VL */
    float *line = total + (rows + 1) * filters * VL; /* of `at_once` vectors */
    const ptrdiff_t vector = a->channels * channel_lines, at_once = vector < RN_WINDOW_LINES ? RN_WINDOW_LINES / vector : 1;
    float *copy = line + at_once * vector; /* the padded image */
    slope_tile t = {.total_row = filters * VL, .plane = windows, .vector = vector};
    for (ptrdiff_t i = 0; i < (rows + 1) * t.total_row; i += VL) vf_store(total + i, vf_zero());

    for (ptrdiff_t image = a->images * split / a->splits; image < end; image++) {
        const ptrdiff_t plane = (image * a->groups + group) * a->channels;
        const ptrdiff_t first_plane = (image * a->groups + group) * a->filters + first_filter;
        const image_part part = part_of_image(w, a->x, planes, plane, a->channels, 0, 2 * a->pool.oh, 0, 2 * a->pool.ow, copy);
        const float *readable = part.open ? NULL : a->x + planes * w->height * w->width;
        for (ptrdiff_t i = 0; i < windows; i += t.windows) {
            t.windows = least(at_once * VL, windows - i);
            for (ptrdiff_t j = 0; j < t.windows; j += VL) {
                const window_lanes lanes = find_windows(i + j, windows, a->pool.ow, &part, readable);
                pack_windows(w, a->channels, &part, &lanes, line + j / VL * t.vector);
            }
            for (ptrdiff_t m = 0, take; m < filters; m += take) {
                take = filters - m >= SLOPE_FILTERS ? SLOPE_FILTERS : 1;
                t.dy = a->pool.dy + (first_plane + m) * windows + i;
                t.tap = a->pool.taps + (first_plane + m) * windows + i;
                for (ptrdiff_t c = 0; c < a->channels; c++) {
                    t.line = line + c * channel_lines;
                    t.total = total + c * taps * t.total_row + m * VL;
                    t.slopes = c == 0 && a->with_bias ? total + rows * t.total_row + m * VL : NULL;
                    if (take == SLOPE_FILTERS)
                        add_windows_of_some(&t);
                    else
                        add_windows_of_one(&t);
                }
            }
        }
    }
    float *partial = a->partial + (split * a->groups + group) * (rows + 1) * a->filters + first_filter;
    for (ptrdiff_t k = 0; k < rows + a->with_bias; k++)
        for (ptrdiff_t m = 0; m < filters; m++) partial[k * a->filters + m] = vf_sum(vf_load(total + k * t.total_row + m * VL));
}
