/* The gradient by weights as dot products: lanes are neighbouring pixels, and neither x nor dy is turned. Turning dy, as
 * weight_gradient does, pays only where many rows of x (a row: one tap of one channel) share a turned panel.
 *
 *   dweight[k, m] = sum over positions p of x[k, p] dy[m, p]
 *
 * Registers: rows * DOT_FILTERS sums, rows of x, one vector of dy: 6 * 4 + 6 + 1 = 31 of 32, 3 * 4 + 3 + 1 = 16 of 16. */

enum { DOT_FILTERS = RN_DOT_FILTERS, DOT_ROWS = VL == 16 ? 6 : 3 };

/* Some rows of x and of dy, `runs` pieces of `run` neighbouring pixels each. Sums go to total[row, filter], lane by lane. */
typedef struct {
    const float *x[DOT_ROWS], *dy[DOT_FILTERS];
    ptrdiff_t x_turn, dy_turn; /* floats from one piece to the next */
    ptrdiff_t runs, run;
    float *total;
    ptrdiff_t total_row;
} dot_tile;

/* Adds the products of the VL pixels, or of those inside, that lie `x` and `dy` floats from where the rows begin. */
static RN_ALWAYS_INLINE void add_products(const int rows, const int whole, const dot_tile *t, ptrdiff_t x, ptrdiff_t dy,
                                          vm inside, vf sum[DOT_ROWS][DOT_FILTERS]) {
    vf pixels[DOT_ROWS];
    RN_UNROLL
    for (int i = 0; i < rows; i++) pixels[i] = whole ? vf_load(t->x[i] + x) : vf_load_masked(t->x[i] + x, inside);
    RN_UNROLL
    for (int f = 0; f < DOT_FILTERS; f++) {
        const vf slope = whole ? vf_load(t->dy[f] + dy) : vf_load_masked(t->dy[f] + dy, inside);
        RN_UNROLL
        for (int i = 0; i < rows; i++) sum[i][f] = vf_fma(pixels[i], slope, sum[i][f]);
    }
}

static RN_ALWAYS_INLINE void dot_rows(const int rows, const dot_tile *t) {
    vf sum[DOT_ROWS][DOT_FILTERS];
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        RN_UNROLL
        for (int f = 0; f < DOT_FILTERS; f++) sum[i][f] = vf_zero();
    }
    const dot_tile own = *t; /* nothing below can change it, so its pointers stay in registers */
    const ptrdiff_t whole = own.run / VL * VL;
    const vm inside = vm_first(own.run - whole);
    for (ptrdiff_t r = 0; r < own.runs; r++) {
        const ptrdiff_t x = r * own.x_turn, dy = r * own.dy_turn;
        for (ptrdiff_t j = 0; j < whole; j += VL) add_products(rows, 1, &own, x + j, dy + j, inside, sum);
        if (whole < own.run) add_products(rows, 0, &own, x + whole, dy + whole, inside, sum);
    }
    RN_UNROLL
    for (int i = 0; i < rows; i++) {
        RN_UNROLL
        for (int f = 0; f < DOT_FILTERS; f++) {
            float *to = own.total + i * own.total_row + f * VL;
            vf_store(to, vf_add(vf_load(to), sum[i][f]));
        }
    }
}

typedef void (*dot_kernel)(const dot_tile *t);
#define DOT(rows) \
    static RN_NO_INLINE void dot_##rows(const dot_tile *t) { dot_rows(rows, t); }
DOT(1)
DOT(2)
DOT(3)
#if VL == 16
DOT(4)
DOT(5)
DOT(6)
static const dot_kernel DOT_KERNELS[DOT_ROWS] = {dot_1, dot_2, dot_3, dot_4, dot_5, dot_6};
#else
static const dot_kernel DOT_KERNELS[DOT_ROWS] = {dot_1, dot_2, dot_3};
#endif
#undef DOT

/* Adds the rows of dy themselves, which is the gradient by bias; four chains, which hide each other's waits. */
static void add_slopes(const dot_tile *t) {
    const ptrdiff_t whole = t->run / VL * VL;
    const vm inside = vm_first(t->run - whole);
    vf sum[DOT_FILTERS];
    for (int f = 0; f < DOT_FILTERS; f++) sum[f] = vf_zero();
    for (ptrdiff_t r = 0; r < t->runs; r++) {
        const ptrdiff_t at = r * t->dy_turn;
        for (ptrdiff_t j = 0; j < whole; j += VL) {
            RN_UNROLL
            for (int f = 0; f < DOT_FILTERS; f++) sum[f] = vf_add(sum[f], vf_load(t->dy[f] + at + j));
        }
        if (whole == t->run) continue;
        RN_UNROLL
        for (int f = 0; f < DOT_FILTERS; f++) sum[f] = vf_add(sum[f], vf_load_masked(t->dy[f] + at + whole, inside));
    }
    for (int f = 0; f < DOT_FILTERS; f++) vf_store(t->total + f * VL, vf_add(vf_load(t->total + f * VL), sum[f]));
}

/* All rows of x, origin + offset[k], and after them that of ones if wanted, times all filters' rows of dy. */
static void add_block(dot_tile *t, const float *origin, const ptrdiff_t *offset, ptrdiff_t rows, int with_bias, const float *dy,
                      ptrdiff_t dy_plane, ptrdiff_t filters, float *total) {
    for (ptrdiff_t k = 0, take; k < rows + with_bias; k += take) {
        take = k < rows ? next_rows(rows - k, DOT_ROWS) : 1;
        for (ptrdiff_t i = 0; i < take && k < rows; i++) t->x[i] = origin + offset[k + i];
        for (ptrdiff_t m = 0; m < filters; m += DOT_FILTERS) {
            /* Beyond the last filter the last is taken again, for sums that nobody reads. */
            for (ptrdiff_t f = 0; f < DOT_FILTERS; f++) t->dy[f] = dy + least(m + f, filters - 1) * dy_plane;
            t->total = total + k * t->total_row + m * VL;
            if (k < rows)
                DOT_KERNELS[take - 1](t);
            else
                add_slopes(t);
        }
    }
}

/* Adds one image, or joined ones, for some filters whose rows of dy begin at `slopes`. */
static void add_image(const rn_weight_gradient_args *a, ptrdiff_t image, ptrdiff_t joined, ptrdiff_t group, const float *slopes,
                      ptrdiff_t filters, float *total, ptrdiff_t total_row, ptrdiff_t *offset, float *copy) {
    const rn_window *w = &a->window;
    const ptrdiff_t plane = (image * a->groups + group) * a->channels, rows = a->channels * w->tap_rows * w->tap_columns;
    dot_tile t = {.total_row = total_row};
    for (ptrdiff_t y = 0; y < w->grid_height; y += a->block_rows)
        for (ptrdiff_t x = 0; x < w->grid_width; x += a->block_columns) {
            t.runs = least(a->block_rows, w->grid_height - y);
            t.run = least(a->block_columns, w->grid_width - x);
            const image_part part =
                part_of_image(w, a->x, a->images * a->groups * a->channels, plane, a->channels, y, t.runs, x, t.run, copy);
            tap_offsets(w, &part, 0, rows, offset);
            t.x_turn = w->stride_y * part.pitch;
            t.dy_turn = w->grid_width;
            if (a->joined_images > 1) { /* each image is one row */
                t.runs = joined;
                t.x_turn = a->groups * a->channels * w->width;
                t.dy_turn = a->groups * a->filters * w->width;
            }
            add_block(&t, part.origin, offset, rows, a->with_bias, slopes + y * w->grid_width + x, w->grid_height * w->grid_width,
                      filters, total);
        }
}

KERNEL(weight_gradient_dots) {
    const rn_weight_gradient_args *a = arguments;
    const ptrdiff_t filter_block = tile % a->filter_blocks, group = tile / a->filter_blocks % a->groups;
    const ptrdiff_t split = tile / (a->filter_blocks * a->groups), end = a->images * (split + 1) / a->splits;
    const ptrdiff_t first_filter = filter_block * a->filter_block, filters = least(a->filter_block, a->filters - first_filter);
    const ptrdiff_t rows = a->channels * a->window.tap_rows * a->window.tap_columns;
    const ptrdiff_t pixels = a->window.grid_height * a->window.grid_width;

    ptrdiff_t *offset = scratch; /* [rows] */
    float *total = (float *)(offset + (rows + 7) / 8 * 8);
    const ptrdiff_t total_row = (filters + DOT_FILTERS - 1) / DOT_FILTERS * DOT_FILTERS * VL;
    float *made = total + (rows + 1) * total_row; /* [filters_at_once, pixels] where dy is made here */
    float *shares = made + (a->dy == NULL ? a->filters_at_once * pixels : 0);
    float *copy = shares + (a->dy == NULL ? 2 * a->pool.oh * a->pool.row : 0);
    for (ptrdiff_t i = 0; i < (rows + 1) * total_row; i += VL) vf_store(total + i, vf_zero());

    for (ptrdiff_t image = a->images * split / a->splits, joined; image < end; image += joined) {
        joined = least(a->joined_images, end - image);
        for (ptrdiff_t m = 0, some; m < filters; m += some) {
            some = least(a->filters_at_once, filters - m);
            const ptrdiff_t plane = (image * a->groups + group) * a->filters + first_filter + m;
            if (a->dy == NULL) pool_gradient(0, &a->pool, plane, plane + some, made, shares);
            const float *slopes = a->dy == NULL ? made : a->dy + plane * pixels;
            add_image(a, image, joined, group, slopes, some, total + m * VL, total_row, offset, copy);
        }
    }
    float *partial = a->partial + (split * a->groups + group) * (rows + 1) * a->filters + first_filter;
    for (ptrdiff_t k = 0; k < rows + a->with_bias; k++)
        for (ptrdiff_t m = 0; m < filters; m++) partial[k * a->filters + m] = vf_sum(vf_load(total + k * total_row + m * VL));
}
