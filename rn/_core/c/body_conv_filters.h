/* The direct convolution with filters in the lanes: where a multiple of VL filters leaves no lane idle, no pixel needs packing.
 *
 *   sum[i, m] = sum_k x[offset[k] + i stride] weight[k, m],   i < pixels <= MOST_PIXELS neighbours of a row,   m < 2 VL
 *
 * A pixel is broadcast from where it lies, weights come in the order in which they are read. Each sum is the chain of
 * multiply-adds over k that `convolve` makes, in the same blocks: the bits are the same.
 *
 * Registers (AVX-512: 32): 14 * 2 sums, 2 of weights, one broadcast. Else (16): 6 * 2 + 2 + 1. */

enum { MOST_PIXELS = VL == 16 ? 14 : VL == 8 ? 6 : 4 };

/* One k: where it reads the image, from the pixel, and its weights, from the panel's. */
typedef struct {
    ptrdiff_t x, weight;
} filter_tap;

/* A block of k for a few neighbouring pixels; total has rows of PANEL floats. */
typedef struct {
    const float *x, *weight; /* of the first pixel; [k, RN_PANEL] */
    const filter_tap *tap, *end;
    float *total;
    int add; /* to what total holds; else it is overwritten */
} pixel_tile;

typedef void (*pixel_kernel)(const pixel_tile *t);

static RN_ALWAYS_INLINE void multiply_pixels(const int pixels, const int vectors, const ptrdiff_t stride, const pixel_tile *t) {
    vf sum[MOST_PIXELS][2];
    RN_UNROLL
    for (int i = 0; i < pixels; i++)
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_zero();
    const float *first = t->x, *panel = t->weight;
    for (const filter_tap *tap = t->tap, *end = t->end; tap < end; tap++) {
        const float *x = first + tap->x, *weight = panel + tap->weight;
        vf line[2];
        for (int j = 0; j < vectors; j++) line[j] = vf_load(weight + j * VL);
        RN_UNROLL
        for (int i = 0; i < pixels; i++) {
            const vf value = vf_set(x[i * stride]);
            for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma(value, line[j], sum[i][j]);
        }
    }
    RN_UNROLL
    for (int i = 0; i < pixels; i++)
        for (int j = 0; j < vectors; j++) {
            float *total = t->total + i * PANEL + j * VL;
            vf_store(total, t->add ? vf_add(vf_load(total), sum[i][j]) : sum[i][j]);
        }
}

#define PIXELS(pixels) \
    static RN_NO_INLINE void pixels_##pixels##x1(const pixel_tile *t) { multiply_pixels(pixels, 1, 1, t); } \
    static RN_NO_INLINE void pixels_##pixels##x2(const pixel_tile *t) { multiply_pixels(pixels, 2, 1, t); } \
    static RN_NO_INLINE void strided_##pixels##x1(const pixel_tile *t) { multiply_pixels(pixels, 1, 2, t); } \
    static RN_NO_INLINE void strided_##pixels##x2(const pixel_tile *t) { multiply_pixels(pixels, 2, 2, t); }
#define RN_EACH_PIXELS_4(X) X(1) X(2) X(3) X(4)
#if VL == 16
#define RN_EACH_PIXELS(X) RN_EACH_PIXELS_4(X) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif VL == 8
#define RN_EACH_PIXELS(X) RN_EACH_PIXELS_4(X) X(5) X(6)
#else
#define RN_EACH_PIXELS RN_EACH_PIXELS_4
#endif
RN_EACH_PIXELS(PIXELS)
#undef PIXELS

/* By stride - 1, vectors - 1, pixels - 1. */
#define PIXELS_1X1(pixels) pixels_##pixels##x1,
#define PIXELS_1X2(pixels) pixels_##pixels##x2,
#define PIXELS_2X1(pixels) strided_##pixels##x1,
#define PIXELS_2X2(pixels) strided_##pixels##x2,
static const pixel_kernel PIXEL_KERNELS[2][2][MOST_PIXELS] = {{{RN_EACH_PIXELS(PIXELS_1X1)}, {RN_EACH_PIXELS(PIXELS_1X2)}},
                                                              {{RN_EACH_PIXELS(PIXELS_2X1)}, {RN_EACH_PIXELS(PIXELS_2X2)}}};
#undef PIXELS_1X1
#undef PIXELS_1X2
#undef PIXELS_2X1
#undef PIXELS_2X2

/* pixels <= VL of a row of outputs, out_column floats apart. */
static inline void store_pixels(float *out, ptrdiff_t out_column, ptrdiff_t pixels, vf values) {
    if (out_column == 1) {
        vf_store_first(out, pixels, values);
    } else if (out_column == 2) {
        const vm even = vi_eq(vi_and(vi_lanes(), vi_set(1)), vi_set(0));
        vf high, low = vf_interleave(values, values, &high);
        vf_store_masked(out, vm_and(even, vm_first(2 * pixels)), low);
        if (2 * pixels > VL) vf_store_masked(out + VL, vm_and(even, vm_first(2 * pixels - VL)), high);
    } else {
        float lane[VL];
        vf_store(lane, values);
        for (ptrdiff_t l = 0; l < pixels; l++) out[l * out_column] = lane[l];
    }
}

/* act(total + bias) of pixels x filters, turned into the filters' planes. Lines of several planes may collide in the cache, so
 * that none is left half written: that is why tiles are collected first. */
static void store_filters(const rn_convolve_args *a, float *total, const float *bias, ptrdiff_t pixels, ptrdiff_t filters,
                          float *out) {
    const int relu = a->activation == RN_RELU;
    if (a->activation > RN_RELU) {
        for (ptrdiff_t i = 0; i < pixels; i++) {
            float *row = total + i * PANEL;
            if (bias != NULL)
                for (ptrdiff_t m = 0; m < filters; m++) row[m] += bias[m];
            activate_span(a->activation, a->alpha, row, row, filters);
        }
        bias = NULL;
    }
    for (ptrdiff_t m = 0; m < filters; m += VL) {
        const vf add = bias != NULL ? vf_load_first(bias + m, filters - m) : vf_zero();
        for (ptrdiff_t i = 0; i < pixels; i += VL) {
            vf block[VL];
            RN_UNROLL
            for (int l = 0; l < VL; l++) {
                const vf value = vf_load(total + (i + l) * PANEL + m);
                block[l] = bias != NULL ? vf_add(value, add) : value;
                if (relu) block[l] = vf_max(vf_zero(), block[l]);
            }
            vf_transpose(block);
            float *to = out + m * a->out_plane + i * a->out_column;
            for (ptrdiff_t l = 0; l < least(VL, filters - m); l++, to += a->out_plane)
                store_pixels(to, a->out_column, pixels - i, block[l]);
        }
    }
}

/* The taps of a row of the grid, without those whose row lies outside the image: what they would add is 0. */
typedef struct {
    filter_tap *tap;
    ptrdiff_t *end; /* of each block of k */
    ptrdiff_t blocks;
    ptrdiff_t first_row, end_row; /* the tap rows listed; those of the last call are kept */
} tap_list;

static void list_taps(tap_list *list, const rn_window *w, const image_part *part, ptrdiff_t channels, ptrdiff_t grid_y) {
    const ptrdiff_t y = grid_y * w->stride_y + w->first_y, step = w->tap_step_y;
    ptrdiff_t first = 0, end = w->tap_rows;
    while (first < end && (y + first * step < 0 || y + first * step >= w->height)) first++;
    while (first < end && (y + (end - 1) * step < 0 || y + (end - 1) * step >= w->height)) end--;
    if (first == list->first_row && end == list->end_row) return;
    list->first_row = first;
    list->end_row = end;
    const ptrdiff_t across = w->tap_step_x, from_low = (w->first_y - low_y(w)) * part->pitch + w->first_x - low_x(w);
    filter_tap *tap = list->tap;
    ptrdiff_t block = 0;
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = first; i < end; i++) {
            filter_tap next = {c * part->plane + from_low + i * step * part->pitch,
                               (c * w->tap_rows + i) * w->tap_columns * RN_PANEL};
            for (ptrdiff_t j = 0; j < w->tap_columns; j++, next.x += across, next.weight += RN_PANEL) {
                while (next.weight >= (block + 1) * RN_KC * RN_PANEL) list->end[block++] = tap - list->tap;
                *tap++ = next;
            }
        }
    while (block < list->blocks) list->end[block++] = tap - list->tap;
}

/* The sums of `pixels` positions from number `first` of the part's on, whose first row is grid_y, in `total`: rows of the grid in
 * even tiles. */
static void sum_pixels(const rn_window *w, const image_part *part, tap_list *list, ptrdiff_t channels, ptrdiff_t grid_y,
                       const float *weight, ptrdiff_t filters, ptrdiff_t first, ptrdiff_t pixels, float *total) {
    const pixel_kernel *kernels = PIXEL_KERNELS[w->stride_x - 1][filters > VL];
    ptrdiff_t y = first / w->grid_width, x = first % w->grid_width;
    for (ptrdiff_t i = 0, take; i < pixels; i += take) {
        const ptrdiff_t left = least(w->grid_width - x, pixels - i), tiles = (left + MOST_PIXELS - 1) / MOST_PIXELS;
        take = (left + tiles - 1) / tiles;
        list_taps(list, w, part, channels, grid_y + y);
        pixel_tile t = {.x = part->origin + y * w->stride_y * part->pitch + x * w->stride_x,
                        .weight = weight,
                        .end = list->tap,
                        .total = total + i * PANEL};
        for (ptrdiff_t block = 0; block < list->blocks; block++) {
            t.tap = t.end;
            t.end = list->tap + list->end[block];
            t.add = block > 0;
            kernels[take - 1](&t);
        }
        x += take;
        if (x < w->grid_width) continue;
        x = 0;
        y++;
    }
}

KERNEL(convolve_filters) {
    const rn_convolve_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, pixels = least(a->block, w->grid_height * w->grid_width - first);
    const ptrdiff_t first_y = first / w->grid_width, rows_of_grid = (first + pixels - 1) / w->grid_width - first_y + 1;
    const ptrdiff_t k = a->channels * w->tap_rows * w->tap_columns;

    tap_list list = {.tap = scratch, .blocks = k > 0 ? (k + RN_KC - 1) / RN_KC : 1, .first_row = -1};
    list.end = (ptrdiff_t *)(list.tap + k);
    float *total = (float *)((ptrdiff_t *)scratch + (2 * k + list.blocks + 7) / 8 * 8);
    float *copy = total + RN_COLLECTED * RN_PANEL; /* the padded part of the image; total lies before it */

    const ptrdiff_t plane = (image * a->groups + group) * a->channels;
    const image_part part = part_of_image(w, a->source, a->images * a->groups * a->channels, plane, a->channels, first_y,
                                          rows_of_grid, 0, w->grid_width, copy);
    const float *weight = a->weight + group * ((a->rows + RN_PANEL - 1) / RN_PANEL) * k * RN_PANEL;
    const float *bias = a->bias != NULL ? a->bias + group * a->rows : NULL;
    float *out = a->out + (image * a->groups + group) * a->rows * a->out_plane + a->out_first;
    /* Whole rows where they are short; where the output has gaps, one at a time. */
    const ptrdiff_t rows = a->scattered ? 1 : RN_COLLECTED / w->grid_width, most = rows * w->grid_width;
    const ptrdiff_t collected = most > 0 ? least(most, RN_COLLECTED) : RN_COLLECTED;

    for (ptrdiff_t m = 0; m < a->rows; m += PANEL) {
        const ptrdiff_t filters = least(PANEL, a->rows - m);
        const float *panel = weight + m / RN_PANEL * k * RN_PANEL + m % RN_PANEL;
        for (ptrdiff_t i = 0, take; i < pixels; i += take) {
            const ptrdiff_t y = (first + i) / w->grid_width, x = (first + i) % w->grid_width;
            take = least(collected, a->scattered ? w->grid_width - x : pixels - i);
            sum_pixels(w, &part, &list, a->channels, first_y, panel, filters, first + i - first_y * w->grid_width, take, total);
            store_filters(a, total, bias == NULL ? NULL : bias + m, take, filters,
                          out + m * a->out_plane + y * a->out_row + x * a->out_column);
        }
    }
}

KERNEL(pack_filters) {
    const rn_pack_filters_args *a = arguments;
    (void)scratch;
    const ptrdiff_t panels = (a->rows + RN_PANEL - 1) / RN_PANEL, group = tile / panels, m = tile % panels * RN_PANEL;
    const ptrdiff_t filters = least(RN_PANEL, a->rows - m), taps = a->tap_rows * a->tap_columns;
    const float *weight = a->weight + group * a->group_step + m * a->row_step + a->first;
    float *to = a->packed + tile * a->channels * taps * RN_PANEL;
    if (a->contiguous) {
        for (ptrdiff_t v = 0; v < filters; v += VL)
            pack_transposed(weight + v * a->row_step, a->row_step, a->channels * taps, least(VL, filters - v), to + v, RN_PANEL);
        for (ptrdiff_t v = (filters + VL - 1) / VL * VL; v < RN_PANEL; v += VL)
            for (ptrdiff_t p = 0; p < a->channels * taps; p++) vf_store(to + p * RN_PANEL + v, vf_zero());
        return;
    }
    for (ptrdiff_t c = 0; c < a->channels; c++)
        for (ptrdiff_t i = 0; i < a->tap_rows; i++)
            for (ptrdiff_t j = 0; j < a->tap_columns; j++, to += RN_PANEL) {
                const float *from = weight + c * a->channel_step + i * a->tap_row_step + j * a->tap_column_step;
                for (ptrdiff_t l = 0; l < RN_PANEL; l++) to[l] = l < filters ? from[l * a->row_step] : 0.0f;
            }
}
