/* A direct convolution of few products whose outputs are pooled, by windows of 2 x 2 side by side, before they leave the
 * registers: written aside, packed and pooled they would take longer than their sums.
 *
 *   y[m, oy, ox] = the largest of four cells (dy, dx), act(sum_k weight[m, k] pixel[k, dy, dx] + bias[m])
 *
 * Lanes are windows, as pool_windows.h packs them.
 *
 * Registers: 6 * 4 sums, 6 weights and a line, 31 of 32 (AVX-512), or 3 * 4 + 3 + 1, 16 of 16. */

enum { WINDOW_FILTERS = VL == 16 ? 6 : 3 };

/* Some filters for VL windows. */
typedef struct {
    const float *line;   /* [channels, tap_rows + 1, line_row] */
    const float *weight; /* [filters, k] */
    const float *bias;   /* or NULL */
    float *y;
    int32_t *tap; /* or NULL */
    ptrdiff_t channels, tap_rows, tap_columns, k;
    ptrdiff_t line_row;      /* floats from one row's lines to the next's */
    ptrdiff_t y_plane, room; /* floats to the next filter's plane; of this one from y on */
    int relu;
} window_tile;

static RN_ALWAYS_INLINE void pool_sums(const int filters, const window_tile *t, vf sum[WINDOW_FILTERS][CELLS]) {
    RN_UNROLL
    for (int f = 0; f < filters; f++) {
        vf *cell = sum[f];
        if (t->bias != NULL) {
            const vf bias = vf_set(t->bias[f]);
            RN_UNROLL
            for (int i = 0; i < CELLS; i++) cell[i] = vf_add(cell[i], bias);
        }
        if (t->relu) {
            RN_UNROLL
            for (int i = 0; i < CELLS; i++) cell[i] = vf_max(vf_zero(), cell[i]);
        }
        vi tap;
        vf_store_first(t->y + f * t->y_plane, t->room, largest_of_halves(cell, t->relu, t->tap == NULL ? NULL : &tap));
        if (t->tap != NULL) vf_store_first((float *)t->tap + f * t->y_plane, t->room, vi_as_float(tap));
    }
}

static RN_ALWAYS_INLINE void convolve_windows(const int filters, const window_tile *t) {
    vf sum[WINDOW_FILTERS][CELLS];
    RN_UNROLL
    for (int f = 0; f < filters; f++) {
        RN_UNROLL
        for (int i = 0; i < CELLS; i++) sum[f][i] = vf_zero();
    }
    const float *line = t->line, *weight = t->weight;
    const ptrdiff_t k = t->k, below = t->line_row, columns = t->tap_columns;
    for (ptrdiff_t c = 0; c < t->channels; c++, line += below)
        for (ptrdiff_t i = 0; i < t->tap_rows; i++, line += below) {
            const float *at = line;
            for (ptrdiff_t j = 0; j < columns; j++, at += VL, weight++) {
                vf value[WINDOW_FILTERS];
                RN_UNROLL
                for (int f = 0; f < filters; f++) value[f] = vf_set_ordered(weight + f * k);
                RN_UNROLL
                for (int l = 0; l < CELLS; l++) {
                    const vf pixel = vf_load_ordered(at + l / 2 * below + l % 2 * VL);
                    RN_UNROLL
                    for (int f = 0; f < filters; f++) sum[f][l] = vf_fma_ordered(value[f], pixel, sum[f][l]);
                }
            }
        }
    pool_sums(filters, t, sum);
}

typedef void (*window_kernel)(const window_tile *t);
#define WINDOWS(filters) \
    static RN_NO_INLINE void windows_##filters(const window_tile *t) { convolve_windows(filters, t); }
WINDOWS(1)
WINDOWS(2)
WINDOWS(3)
#if VL == 16
WINDOWS(4)
WINDOWS(5)
WINDOWS(6)
static const window_kernel WINDOW_KERNELS[WINDOW_FILTERS] = {windows_1, windows_2, windows_3, windows_4, windows_5, windows_6};
#else
static const window_kernel WINDOW_KERNELS[WINDOW_FILTERS] = {windows_1, windows_2, windows_3};
#endif
#undef WINDOWS

KERNEL(convolve_pooled) {
    const rn_convolve_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, rows = least(a->block, a->pool.oh - first);
    const ptrdiff_t plane = (image * a->groups + group) * a->channels, planes = a->images * a->groups * a->channels;
    const ptrdiff_t first_plane = (image * a->groups + group) * a->rows, size = a->pool.oh * a->pool.ow;

    window_tile t = {.channels = a->channels, .tap_rows = w->tap_rows, .tap_columns = w->tap_columns};
    t.k = a->channels * w->tap_rows * w->tap_columns;
    t.line_row = RN_LINES(w->tap_columns) * VL;
    t.y_plane = size;
    t.relu = a->activation == RN_RELU;
    float *line = scratch;
    t.line = line;
    float *copy = line + a->channels * (w->tap_rows + 1) * t.line_row; /* the padded part of the image */
    const ptrdiff_t width = a->pool.ow, windows = rows * width;
    const image_part part = part_of_image(w, a->source, planes, plane, a->channels, 2 * first, 2 * rows, 0, 2 * width, copy);
    const float *end = part.open ? NULL : a->source + planes * w->height * w->width;

    for (ptrdiff_t i = 0; i < windows; i += VL) {
        const window_lanes lanes = find_windows(i, windows, width, &part, end);
        pack_windows(w, a->channels, &part, &lanes, line);
        t.room = windows - i;
        for (ptrdiff_t m = 0, take; m < a->rows; m += take) {
            take = next_rows(a->rows - m, WINDOW_FILTERS);
            const ptrdiff_t at = (first_plane + m) * size + first * width + i;
            t.weight = a->weight + (group * a->rows + m) * t.k;
            t.bias = a->bias == NULL ? NULL : a->bias + group * a->rows + m;
            t.y = a->pool.result + at;
            t.tap = a->pool.taps == NULL ? NULL : a->pool.taps + at;
            WINDOW_KERNELS[take - 1](&t);
        }
    }
}
