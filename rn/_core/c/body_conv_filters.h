/* The direct convolution with filters in the lanes: where a multiple of VL filters leaves no lane idle, no pixel needs packing.
 *
 *   sum[i, m] = sum_k x[offset[k] + i stride] weight[k, m],   i < pixels neighbours of a row,   m < vectors * VL
 *
 * A pixel is broadcast from where it lies, weights come in the order in which they are read. Each sum is the chain of
 * multiply-adds over k that `convolve` makes, in the same blocks: the bits are the same. Taps beside the image are left out: what
 * they would add is 0.
 *
 * Registers (AVX-512: 32): 14 * 2 sums, 2 of weights, one broadcast. Else (16): 6 * 2 + 2 + 1. Two panels at once, 6 * 4 sums,
 * take fewer instructions for a multiply-add, as in matrix products (micro_kernel.h). */

enum { MOST_PIXELS = VL == 16 ? 14 : VL == 8 ? 6 : 4, MOST_VECTORS = 4 };
enum { TAPS_AT_ONCE = 4 }; /* where no pixel lies beside the image */
/* Of two panels: the most pixels of a tile; what a row's tiles must have on average, or one panel is faster; pixels collected. */
enum { PAIR_PIXELS = 6, FEWEST_PAIR_PIXELS = 5, PAIR_COLLECTED = RN_COLLECTED / 2 };

/* One k: where it reads the image's planes, from the pixel's place in one, and which tap of the window it is. */
typedef struct {
    ptrdiff_t x, place;
} filter_tap;

/* A block of k for a few neighbouring pixels; total has rows of PANEL floats, and the second panel's PAIR_COLLECTED rows
 * further. */
typedef struct {
    const float *x, *weight; /* the first pixel in the first plane; [k, PANEL] */
    ptrdiff_t beside;        /* floats from the weights of the first panel to those of the second */
    const filter_tap *tap, *end;
    const unsigned *inside; /* by a tap's place: the pixels, bit by bit, whose tap lies inside the image */
    float *total;
    int add; /* to what total holds; else it is overwritten */
} pixel_tile;

typedef void (*pixel_kernel)(const pixel_tile *t);

/* Adds the products of one tap to the sums of pixels first … end - 1, of those that `inside` has. */
static RN_ALWAYS_INLINE void add_tap(const int first, const int end, const int vectors, const ptrdiff_t stride,
                                     const float *pixel, const float *weight, const ptrdiff_t beside, const unsigned inside,
                                     vf sum[MOST_PIXELS][MOST_VECTORS]) {
    vf line[MOST_VECTORS];
    RN_UNROLL
    for (int j = 0; j < vectors; j++) line[j] = vf_load_ordered(weight + j / 2 * beside + j % 2 * VL);
    RN_UNROLL
    for (int i = first; i < end; i++) {
        if (!(inside & 1u << i)) continue;
        const vf value = vf_set_ordered(pixel + i * stride);
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma_ordered(value, line[j], sum[i][j]);
    }
}

/* border: some tap of some pixel lies beside the image; its product, 0, is left out. */
static RN_ALWAYS_INLINE void multiply_pixels(const int pixels, const int vectors, const ptrdiff_t stride, const int border,
                                             const pixel_tile *t) {
    const unsigned all = (1u << pixels) - 1u, but_first = all & ~1u, but_last = all >> 1;
    vf sum[MOST_PIXELS][MOST_VECTORS];
    RN_UNROLL
    for (int i = 0; i < pixels; i++) {
        RN_UNROLL
        for (int j = 0; j < vectors; j++) sum[i][j] = vf_zero();
    }
    const ptrdiff_t beside = t->beside;
    const float *x = t->x, *weight = t->weight;
    const filter_tap *tap = t->tap, *end = t->end;
    for (; !border && end - tap >= TAPS_AT_ONCE; tap += TAPS_AT_ONCE) {
        RN_UNROLL
        for (int k = 0; k < TAPS_AT_ONCE; k++, weight += PANEL)
            add_tap(0, pixels, vectors, stride, x + tap[k].x, weight, beside, all, sum);
        RN_OPAQUE(weight); /* or each k's would be an address of its own */
    }
    for (; tap < end; tap++, weight += PANEL) {
        const float *pixel = x + tap->x;
        const unsigned inside = border ? t->inside[tap->place] : all;
        if (inside == all)
            add_tap(0, pixels, vectors, stride, pixel, weight, beside, all, sum);
        else if (inside == but_first)
            add_tap(1, pixels, vectors, stride, pixel, weight, beside, all, sum);
        else if (inside == but_last)
            add_tap(0, pixels - 1, vectors, stride, pixel, weight, beside, all, sum);
        else if (inside != 0)
            add_tap(0, pixels, vectors, stride, pixel, weight, beside, inside, sum);
    }
    const int add = t->add;
    RN_UNROLL
    for (int i = 0; i < pixels; i++) {
        RN_UNROLL
        for (int j = 0; j < vectors; j++) {
            float *total = t->total + (j / 2 * PAIR_COLLECTED + i) * PANEL + j % 2 * VL;
            vf_store(total, add ? vf_add(vf_load(total), sum[i][j]) : sum[i][j]);
        }
    }
}

#define PIXEL_KERNEL(name, vectors, stride, border, n) \
    static RN_NO_INLINE void name##_##n##x##vectors(const pixel_tile *t) { multiply_pixels(n, vectors, stride, border, t); }
#define PIXEL_NAME(name, vectors, stride, border, n) name##_##n##x##vectors,
#define EACH_4(X, ...) X(__VA_ARGS__, 1) X(__VA_ARGS__, 2) X(__VA_ARGS__, 3) X(__VA_ARGS__, 4)
#define EACH_6(X, ...) EACH_4(X, __VA_ARGS__) X(__VA_ARGS__, 5) X(__VA_ARGS__, 6)
#define EACH_10(X, ...) EACH_6(X, __VA_ARGS__) X(__VA_ARGS__, 7) X(__VA_ARGS__, 8) X(__VA_ARGS__, 9) X(__VA_ARGS__, 10)
#define EACH_14(X, ...) EACH_10(X, __VA_ARGS__) X(__VA_ARGS__, 11) X(__VA_ARGS__, 12) X(__VA_ARGS__, 13) X(__VA_ARGS__, 14)
#if VL == 16
#define EACH_PIXELS EACH_14
#define EACH_PAIR EACH_6
#elif VL == 8
#define EACH_PIXELS EACH_6
#define EACH_PAIR(X, ...)
#else
#define EACH_PIXELS EACH_4
#define EACH_PAIR(X, ...)
#endif
EACH_PIXELS(PIXEL_KERNEL, pixels, 1, 1, 0)
EACH_PIXELS(PIXEL_KERNEL, pixels, 2, 1, 0)
EACH_PIXELS(PIXEL_KERNEL, border, 1, 1, 1)
EACH_PIXELS(PIXEL_KERNEL, border, 2, 1, 1)
EACH_PIXELS(PIXEL_KERNEL, strided, 1, 2, 0)
EACH_PIXELS(PIXEL_KERNEL, strided, 2, 2, 0)
EACH_PIXELS(PIXEL_KERNEL, strided_border, 1, 2, 1)
EACH_PIXELS(PIXEL_KERNEL, strided_border, 2, 2, 1)
EACH_PAIR(PIXEL_KERNEL, pixels, 4, 1, 0)
EACH_PAIR(PIXEL_KERNEL, border, 4, 1, 1)
EACH_PAIR(PIXEL_KERNEL, strided, 4, 2, 0)
EACH_PAIR(PIXEL_KERNEL, strided_border, 4, 2, 1)

/* By stride - 1, border, one vector, two or two panels, pixels - 1; NULL beyond those there are. */
#define EACH_VECTORS(name, stride, border) \
    {{EACH_PIXELS(PIXEL_NAME, name, 1, stride, border)}, \
     {EACH_PIXELS(PIXEL_NAME, name, 2, stride, border)}, \
     {EACH_PAIR(PIXEL_NAME, name, 4, stride, border) NULL}}
static const pixel_kernel PIXEL_KERNELS[2][2][3][MOST_PIXELS] = {
    {EACH_VECTORS(pixels, 1, 0), EACH_VECTORS(border, 1, 1)},
    {EACH_VECTORS(strided, 2, 0), EACH_VECTORS(strided_border, 2, 1)},
};
#undef EACH_VECTORS
#undef PIXEL_KERNEL
#undef PIXEL_NAME
#undef EACH_PIXELS
#undef EACH_PAIR
#undef EACH_4
#undef EACH_6
#undef EACH_10
#undef EACH_14

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

/* Filters by pixels into their planes, a row of outputs each. */
static RN_ALWAYS_INLINE void store_block(const rn_convolve_args *a, const vf block[VL], ptrdiff_t filters, ptrdiff_t pixels,
                                         float *out) {
    if (filters >= VL && pixels >= VL && a->out_column == 1) {
        RN_UNROLL
        for (int l = 0; l < VL; l++) vf_store(out + l * a->out_plane, block[l]);
        return;
    }
    for (ptrdiff_t l = 0; l < least(VL, filters); l++, out += a->out_plane) store_pixels(out, a->out_column, pixels, block[l]);
}

/* The same of two phases: their pixels by turns. */
static RN_ALWAYS_INLINE void store_pair(const rn_convolve_args *a, const vf block[VL], const vf beside[VL], ptrdiff_t filters,
                                        ptrdiff_t pixels, float *out) {
    const ptrdiff_t floats = 2 * pixels;
    for (ptrdiff_t l = 0; l < least(VL, filters); l++, out += a->out_plane) {
        vf high, low = vf_interleave(block[l], beside[l], &high);
        vf_store_first(out, floats, low);
        if (floats > VL) vf_store_first(out + VL, floats - VL, high);
    }
}

/* act(total + bias) of VL filters of VL pixels, turned: block[l] holds the pixels of filter l. */
static RN_ALWAYS_INLINE void finish_block(const float *total, const float *bias, ptrdiff_t filters, int relu, vf block[VL]) {
    RN_UNROLL
    for (int l = 0; l < VL; l++) block[l] = vf_load(total + l * PANEL);
    if (bias != NULL) {
        const vf add = vf_load_first(bias, filters);
        RN_UNROLL
        for (int l = 0; l < VL; l++) block[l] = vf_add(block[l], add);
    }
    if (relu) {
        RN_UNROLL
        for (int l = 0; l < VL; l++) block[l] = vf_max(vf_zero(), block[l]);
    }
    vf_transpose(block);
}

/* The activations that store_filters does not know. */
static void activate_total(const rn_convolve_args *a, float *total, const float *bias, ptrdiff_t pixels, ptrdiff_t filters) {
    for (ptrdiff_t i = 0; i < pixels; i++, total += PANEL) {
        if (bias != NULL)
            for (ptrdiff_t m = 0; m < filters; m++) total[m] += bias[m];
        activate_span(a->activation, a->alpha, total, total, filters);
    }
}

/* act(total + bias) of pixels x filters, of each phase, turned into the filters' planes. Lines of several planes may collide in
 * the cache, so that none is left half written: that is why tiles are collected first. */
static void store_filters(const rn_convolve_args *a, float *total, const float *bias, ptrdiff_t pixels, ptrdiff_t filters,
                          float *out) {
    const int relu = a->activation == RN_RELU;
    float *beside = a->phases == 2 ? total + RN_COLLECTED * RN_PANEL : NULL;
    if (a->activation > RN_RELU) {
        activate_total(a, total, bias, pixels, filters);
        if (beside != NULL) activate_total(a, beside, bias, pixels, filters);
        bias = NULL;
    }
    for (ptrdiff_t m = 0; m < filters; m += VL) {
        const float *add = bias != NULL ? bias + m : NULL;
        for (ptrdiff_t i = 0; i < pixels; i += VL) {
            float *to = out + m * a->out_plane + i * a->out_column;
            vf block[VL], other[VL];
            finish_block(total + i * PANEL + m, add, filters - m, relu, block);
            if (beside != NULL) {
                finish_block(beside + i * PANEL + m, add, filters - m, relu, other);
                store_pair(a, block, other, filters - m, pixels - i, to);
            } else {
                store_block(a, block, filters - m, pixels - i, to);
            }
        }
    }
}

/* All taps of all channels, and where those of the window lie inside the image. */
typedef struct {
    filter_tap *tap;
    grid_range *rows, *columns;           /* of the grid, by a tap's row and column */
    grid_range whole_rows, whole_columns; /* where all taps do */
    unsigned *inside;                     /* by a tap's place, for the tile at hand */
} tap_list;

static grid_range common_range(const grid_range *ranges, ptrdiff_t n, ptrdiff_t length) {
    ptrdiff_t first = 0, end = length;
    for (ptrdiff_t i = 0; i < n; i++) {
        if (ranges[i].first > first) first = ranges[i].first;
        end = least(end, ranges[i].first + ranges[i].count);
    }
    return (grid_range){first, end > first ? end - first : 0};
}

/* One set of taps and their weights: those of the window, or of one of two phases. */
typedef struct {
    const rn_window *window;
    const float *weight; /* of the group */
    ptrdiff_t k;
    tap_list list;
} filter_phase;

/* In `room`, of which the rest is returned. */
static ptrdiff_t *list_taps(tap_list *list, const rn_window *w, ptrdiff_t channels, ptrdiff_t *room) {
    filter_tap *tap = list->tap = (filter_tap *)room;
    list->rows = (grid_range *)(list->tap + channels * w->tap_rows * w->tap_columns);
    list->columns = list->rows + w->tap_rows;
    list->inside = (unsigned *)(list->columns + w->tap_columns);
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = 0; i < w->tap_rows; i++) {
            const ptrdiff_t row = (c * w->height + w->first_y + i * w->tap_step_y) * w->width + w->first_x;
            for (ptrdiff_t j = 0; j < w->tap_columns; j++) *tap++ = (filter_tap){row + j * w->tap_step_x, i * w->tap_columns + j};
        }
    find_row_ranges(list->rows, w);
    find_column_ranges(list->columns, w);
    list->whole_rows = common_range(list->rows, w->tap_rows, w->grid_height);
    list->whole_columns = common_range(list->columns, w->tap_columns, w->grid_width);
    return room + RN_TAP_LIST(channels * w->tap_rows * w->tap_columns, w->tap_rows, w->tap_columns);
}

static inline int is_in_range(ptrdiff_t first, ptrdiff_t count, grid_range range) {
    return first >= range.first && first + count <= range.first + range.count;
}

/* Whether of `pixels` positions from (y, x) on some have a tap beside the image; then fills in list->inside. */
static int find_border(tap_list *list, const rn_window *w, ptrdiff_t y, ptrdiff_t x, ptrdiff_t pixels) {
    if (is_in_range(y, 1, list->whole_rows) && is_in_range(x, pixels, list->whole_columns)) return 0;
    for (ptrdiff_t j = 0; j < w->tap_columns; j++) {
        const ptrdiff_t first = list->columns[j].first - x, end = least(first + list->columns[j].count, pixels);
        const unsigned before_end = end > 0 ? (1u << end) - 1u : 0;
        const unsigned before_first = first > 0 ? (1u << least(first, pixels)) - 1u : 0;
        const unsigned inside = before_end & ~before_first;
        for (ptrdiff_t i = 0; i < w->tap_rows; i++)
            list->inside[i * w->tap_columns + j] = is_in_range(y, 1, list->rows[i]) ? inside : 0;
    }
    return 1;
}

/* Positions of the grid, row by row, and where their outputs go. */
typedef struct {
    ptrdiff_t y, x, pixels;
    float *out;
} pixel_run;

/* Whether two panels of `filters` filters, or part of the second, pass at once. */
static int takes_pair(const rn_convolve_args *a, ptrdiff_t filters) {
    const ptrdiff_t width = a->window.grid_width, tiles = (width + PAIR_PIXELS - 1) / PAIR_PIXELS;
    return VL == 16 && a->phases == 1 && filters > PANEL + VL && width >= FEWEST_PAIR_PIXELS * tiles;
}

/* The sums of a run of positions over a phase's taps, in `total`: rows of the grid in even tiles. m: the first of the filters,
 * of one panel or of two. */
static void sum_pixels(const rn_convolve_args *a, filter_phase *phase, const float *planes, ptrdiff_t m, ptrdiff_t filters,
                       const pixel_run *run, rows_ahead *next, float *total) {
    const rn_window *w = phase->window;
    const float *weight = phase->weight + m * phase->k;
    tap_list *list = &phase->list;
    const int pair = filters > PANEL;
    const ptrdiff_t most = pair ? PAIR_PIXELS : MOST_PIXELS;
    ptrdiff_t begin = 0;
    do { /* for all tiles of the run, so that a block's weights stay in the cache, of short vectors in the first */
        ptrdiff_t y = run->y, x = run->x;
        for (ptrdiff_t i = 0, take; i < run->pixels; i += take) {
            const ptrdiff_t left = least(w->grid_width - x, run->pixels - i), tiles = (left + most - 1) / most;
            take = (left + tiles - 1) / tiles;
            if (begin == 0) ask_on(ASK_FAR, next, pair ? 2 * take : take);
            if (begin == 0 && w == &a->window)
                ask_for_rows(ASK_TO_WRITE, run->out, a->out_plane, run->pixels * a->out_column, i * filters / run->pixels,
                             (i + take) * filters / run->pixels);
            const int border = find_border(list, w, y, x, take);
            const pixel_kernel kernel = PIXEL_KERNELS[w->stride_x - 1][border][pair ? 2 : filters > VL][take - 1];
            const pixel_tile t = {.x = planes + y * w->stride_y * w->width + x * w->stride_x,
                                  .weight = weight + begin * PANEL,
                                  .beside = phase->k * PANEL,
                                  .tap = list->tap + begin,
                                  .end = list->tap + least(begin + KC, phase->k),
                                  .inside = list->inside,
                                  .total = total + i * PANEL,
                                  .add = begin > 0};
            kernel(&t);
            x += take;
            if (x < w->grid_width) continue;
            x = 0;
            y++;
        }
        begin += KC;
    } while (begin < phase->k);
}

/* A group's filters from m on, of one panel or of two, for positions first … end - 1 of an image. */
static void pass_filters(const rn_convolve_args *a, filter_phase *phases, const float *planes, const float *bias, ptrdiff_t m,
                         ptrdiff_t filters, ptrdiff_t first, ptrdiff_t end, rows_ahead *next, float *total, float *out) {
    const rn_window *w = &a->window;
    const ptrdiff_t width = w->grid_width, fit = filters > PANEL ? PAIR_COLLECTED : RN_COLLECTED;
    /* Whole rows where they are short; where the output has gaps, one at a time. */
    const ptrdiff_t rows = a->scattered ? 1 : fit / width, most = rows > 0 ? least(rows * width, fit) : fit;
    pixel_run run = {.y = 0};
    for (ptrdiff_t i = first; i < end; i += run.pixels) {
        run.y = i / width;
        run.x = i % width;
        run.pixels = least(most, a->scattered ? least(width - run.x, end - i) : end - i);
        run.out = out + m * a->out_plane + run.y * a->out_row + run.x * a->out_column;
        for (int p = 0; p < a->phases; p++)
            sum_pixels(a, &phases[p], planes, m, filters, &run, next, total + p * RN_COLLECTED * RN_PANEL);
        for (ptrdiff_t j = 0; j < filters; j += PANEL)
            store_filters(a, total + j / PANEL * PAIR_COLLECTED * PANEL, bias == NULL ? NULL : bias + m + j, run.pixels,
                          least(PANEL, filters - j), run.out + j * a->out_plane);
    }
}

KERNEL(convolve_filters) {
    const rn_convolve_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t image = tile / (a->groups * a->blocks), group = tile / a->blocks % a->groups;
    const ptrdiff_t first = tile % a->blocks * a->block, end = least(first + a->block, w->grid_height * w->grid_width);

    filter_phase phases[2] = {{.window = w, .weight = a->weight}, {.window = &a->beside, .weight = a->weight_beside}};
    ptrdiff_t *room = scratch;
    for (int p = 0; p < a->phases; p++) {
        filter_phase *phase = &phases[p];
        phase->k = a->channels * phase->window->tap_rows * phase->window->tap_columns;
        phase->weight += group * ((a->rows + RN_PANEL - 1) / RN_PANEL) * phase->k * RN_PANEL;
        room = list_taps(&phase->list, phase->window, a->channels, room);
    }

    const float *planes = a->source + (image * a->groups + group) * a->channels * w->height * w->width;
    const float *bias = a->bias != NULL ? a->bias + group * a->rows : NULL;
    float *out = a->out + (image * a->groups + group) * a->rows * a->out_plane + a->out_first;
    rows_ahead next = next_image(a, tile + 1, a->block * ((a->rows + PANEL - 1) / PANEL) * a->phases);
    for (ptrdiff_t m = 0, filters; m < a->rows; m += filters) {
        filters = least(takes_pair(a, a->rows - m) ? 2 * PANEL : PANEL, a->rows - m);
        pass_filters(a, phases, planes, bias, m, filters, first, end, &next, (float *)room, out);
    }
}

KERNEL(pack_filters) {
    const rn_pack_filters_args *a = arguments;
    (void)scratch;
    const ptrdiff_t panels = (a->rows + RN_PANEL - 1) / RN_PANEL, group = tile / panels, m = tile % panels * RN_PANEL;
    const ptrdiff_t filters = least(RN_PANEL, a->rows - m), taps = a->tap_rows * a->tap_columns;
    const float *weight = a->weight + group * a->group_step + m * a->row_step + a->first;
    float *to = a->packed + tile * a->channels * taps * RN_PANEL;
    const ptrdiff_t k = a->channels * taps;
    for (ptrdiff_t v = 0; v < RN_PANEL; v += VL) {
        float *part = to + v / PANEL * k * PANEL + v % PANEL;
        if (a->contiguous && v < filters) {
            pack_transposed(weight + v * a->row_step, a->row_step, k, least(VL, filters - v), part, PANEL);
            continue;
        }
        for (ptrdiff_t c = 0; c < a->channels; c++)
            for (ptrdiff_t i = 0; i < a->tap_rows; i++)
                for (ptrdiff_t j = 0; j < a->tap_columns; j++, part += PANEL) {
                    const float *from = weight + c * a->channel_step + i * a->tap_row_step + j * a->tap_column_step;
                    for (ptrdiff_t l = 0; l < VL; l++) part[l] = v + l < filters ? from[(v + l) * a->row_step] : 0.0f;
                }
    }
}
