/* Convolutions in which every channel has one filter of its own: no sum over channels, so lanes are neighbouring pixels and a tap
 * costs one load and one multiply-add. Planes are copied with their zeros, some rows at a time, so that no load looks at an edge.
 */

enum { DEPTHWISE_ROWS = 4, DEPTHWISE_TAPS = 9 };

/* DEPTHWISE_ROWS vectors of outputs below each other: four chains hide each other's waits. */
static RN_ALWAYS_INLINE void depthwise_sums(const ptrdiff_t stride, const float *x, ptrdiff_t row, const ptrdiff_t *offset,
                                            const float *weight, ptrdiff_t taps, vf sum[DEPTHWISE_ROWS]) {
    RN_UNROLL
    for (int r = 0; r < DEPTHWISE_ROWS; r++) sum[r] = vf_zero();
    for (ptrdiff_t t = 0; t < taps; t++) {
        const vf value = vf_set(weight[t]);
        const float *from = x + offset[t];
        RN_UNROLL
        for (int r = 0; r < DEPTHWISE_ROWS; r++) sum[r] = vf_fma(value, load_steps(from + r * row, stride), sum[r]);
    }
}

/* Rows of one plane of outputs; rows beyond the last are computed from the last. */
static RN_ALWAYS_INLINE void depthwise_rows(const ptrdiff_t stride, const rn_depthwise_args *a, const image_part *part,
                                            const ptrdiff_t *offset, const float *weight, float bias, ptrdiff_t rows, float *y) {
    const rn_window *w = &a->window;
    const ptrdiff_t row = w->stride_y * part->pitch, width = w->grid_width;
    for (ptrdiff_t i = 0; i < rows; i += DEPTHWISE_ROWS) {
        const ptrdiff_t first = rows > DEPTHWISE_ROWS ? least(i, rows - DEPTHWISE_ROWS) : i;
        const ptrdiff_t step = rows >= DEPTHWISE_ROWS ? row : 0;
        for (ptrdiff_t one = 0; one < (step ? 1 : rows); one++) { /* fewer rows than chains: one by one */
            for (ptrdiff_t j = 0; j < width; j += VL) {
                vf sum[DEPTHWISE_ROWS];
                depthwise_sums(stride, part->origin + (first + one) * row + j * stride, step, offset, weight,
                               w->tap_rows * w->tap_columns, sum);
                for (ptrdiff_t r = 0; r < (step ? DEPTHWISE_ROWS : 1); r++) {
                    vf value = a->bias != NULL ? vf_add(sum[r], vf_set(bias)) : sum[r];
                    if (a->activation == RN_RELU) value = vf_max(vf_zero(), value);
                    vf_store_first(y + (first + one + r) * width + j, width - j, value);
                }
            }
        }
    }
    if (a->activation > RN_RELU) activate_span(a->activation, a->alpha, y, y, rows * width);
}

/* Windows of 3 x 3 cells side by side, the common case, read planes where they are: rows and columns outside under masks. A row
 * of cells, once loaded, serves the three rows of outputs that reach it. */
static inline int depthwise_3x3(const rn_window *w) {
    return w->tap_rows == 3 && w->tap_columns == 3 && w->stride_y == 1 && w->stride_x == 1 &&
           (w->tap_step_y == 1 || w->tap_step_y == -1) && (w->tap_step_x == 1 || w->tap_step_x == -1);
}

/* Which tap reads cell (i, c) of the window. */
static inline ptrdiff_t tap_of_cell(const rn_window *w, int i, int c) {
    return (w->tap_step_y > 0 ? i : 2 - i) * 3 + (w->tap_step_x > 0 ? c : 2 - c);
}

/* The three columns of cells of outputs j, j + 1, …: what lies in the image, for the lanes that are outputs. */
static inline void cells_inside(const rn_window *w, ptrdiff_t j, vm inside[3]) {
    for (int c = 0; c < 3; c++) inside[c] = vm_and(columns_inside(j + low_x(w) + c, 1, w->width), vm_first(w->grid_width - j));
}

/* Vectors of outputs below each other: nine weights, eight sums and three of cells fit 32 registers, not 16. */
enum { DEPTHWISE_STRIP = VL == 16 ? 8 : 4 };
static const float NO_CELLS[VL + 2]; /* a row beside the image */

/* `rows` <= DEPTHWISE_STRIP rows of outputs from row `first` on, of columns j, j + 1, …; the others are not stored. */
static RN_ALWAYS_INLINE void depthwise_strip(const rn_depthwise_args *a, const vf value[3][3], const vf *bias, const vm inside[3],
                                             const float *x, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t j, float *y) {
    const ptrdiff_t height = a->window.height, x_row = a->window.width, width = a->window.grid_width;
    const ptrdiff_t top = first + low_y(&a->window), left = j + low_x(&a->window);
    vf sum[DEPTHWISE_STRIP];
    RN_UNROLL
    for (int o = 0; o < DEPTHWISE_STRIP; o++) sum[o] = vf_zero();
    RN_UNROLL
    for (int r = 0; r < DEPTHWISE_STRIP + 2; r++) {
        const float *from = top + r >= 0 && top + r < height ? x + (top + r) * x_row + left : NO_CELLS;
        RN_UNROLL
        for (int c = 0; c < 3; c++) {
            const vf cells = vf_load_masked(from + c, inside[c]);
            RN_UNROLL
            for (int i = 0; i < 3; i++)
                if (r - i >= 0 && r - i < DEPTHWISE_STRIP) sum[r - i] = vf_fma(value[i][c], cells, sum[r - i]);
        }
    }
    if (bias != NULL) {
        RN_UNROLL
        for (int o = 0; o < DEPTHWISE_STRIP; o++) sum[o] = vf_add(sum[o], *bias);
    }
    if (a->activation == RN_RELU) {
        RN_UNROLL
        for (int o = 0; o < DEPTHWISE_STRIP; o++) sum[o] = vf_max(vf_zero(), sum[o]);
    }
    float *to = y + first * width + j;
    if (rows == DEPTHWISE_STRIP && width - j >= VL) {
        RN_UNROLL
        for (int o = 0; o < DEPTHWISE_STRIP; o++) vf_store(to + o * width, sum[o]);
    } else {
        RN_UNROLL
        for (int o = 0; o < DEPTHWISE_STRIP; o++)
            if (o < rows) vf_store_first(to + o * width, width - j, sum[o]);
    }
}

static RN_NO_INLINE void depthwise_plane_3x3(const rn_depthwise_args *a, const float *x, const float *weight, const float *bias,
                                             float *y) {
    const rn_window *w = &a->window;
    const ptrdiff_t width = w->grid_width, height = w->grid_height;
    vf value[3][3];
    RN_UNROLL
    for (int i = 0; i < 3; i++) {
        RN_UNROLL
        for (int c = 0; c < 3; c++) value[i][c] = vf_set(weight[tap_of_cell(w, i, c)]);
    }
    const vf add = vf_set(bias != NULL ? *bias : 0.0f);
    for (ptrdiff_t j = 0; j < width; j += VL) {
        vm inside[3];
        cells_inside(w, j, inside);
        for (ptrdiff_t first = 0; first < height; first += DEPTHWISE_STRIP)
            depthwise_strip(a, (const vf(*)[3])value, bias != NULL ? &add : NULL, inside, x, first,
                            least(DEPTHWISE_STRIP, height - first), j, y);
    }
    if (a->activation > RN_RELU) activate_span(a->activation, a->alpha, y, y, height * width);
}

/* sum[i, c] += cells[c] slope[i], for rows of cells that outputs r, r - 1 and r - 2 read. inner: all three are there. */
static RN_ALWAYS_INLINE void add_cells(const int inner, const float *from, const vm inside[3], const vf slope[3], ptrdiff_t r,
                                       ptrdiff_t outputs, vf sum[3][3]) {
    RN_UNROLL
    for (int c = 0; c < 3; c++) {
        const vf cells = vf_load_masked(from + c, inside[c]);
        RN_UNROLL
        for (int i = 0; i < 3; i++)
            if (inner || (r >= i && r - i < outputs)) sum[i][c] = vf_fma(cells, slope[i], sum[i][c]);
    }
}

/* Vectors of products that are summed in one chain: in a longer one the rounding of equal terms would add up. */
enum { DEPTHWISE_CHAIN = 256 };

/* total[tap] += products of the plane with `outputs` rows of dy from row `first` on, of columns `left` to `right`, lane by lane;
 * no cell meets a row that is not one of them. */
static RN_ALWAYS_INLINE void depthwise_products_3x3(const rn_window *w, const float *x, const float *dy, ptrdiff_t first,
                                                    ptrdiff_t outputs, ptrdiff_t left, ptrdiff_t right, float *total) {
    const ptrdiff_t width = w->grid_width, x_row = w->width, low = first + low_y(w);
    const ptrdiff_t begin = low < 0 ? -low : 0, end = least(outputs + 2, w->height - low); /* rows of cells in the image */
    vf sum[3][3];
    RN_UNROLL
    for (int i = 0; i < 3; i++) {
        RN_UNROLL
        for (int c = 0; c < 3; c++) sum[i][c] = vf_zero();
    }
    for (ptrdiff_t j = left; j < right; j += VL) {
        vm masks[4] = {[3] = vm_first(width - j)}; /* of three columns of cells; of the slopes */
        cells_inside(w, j, masks);
        const vm *inside = masks;
        const float *slopes = dy + first * width + j, *cells = x + low * x_row + j + low_x(w);
        vf slope[3] = {vf_zero(), vf_zero(), vf_zero()}; /* of outputs r, r - 1, r - 2 */
        for (ptrdiff_t r = begin > 2 ? begin - 2 : 0; r < end; r++) {
            if (VL != 16) RN_OPAQUE(inside); /* masks stay in memory, for sums and slopes fill 16 registers */
            slope[2] = slope[1];
            slope[1] = slope[0];
            if (r < outputs) slope[0] = vf_load_masked(slopes + r * width, inside[3]);
            if (r < begin) continue;
            if (r >= 2 && r < outputs)
                add_cells(1, cells + r * x_row, inside, slope, r, outputs, sum);
            else
                add_cells(0, cells + r * x_row, inside, slope, r, outputs, sum);
        }
    }
    RN_UNROLL
    for (int i = 0; i < 3; i++) {
        RN_UNROLL
        for (int c = 0; c < 3; c++) {
            float *to = total + tap_of_cell(w, i, c) * VL;
            vf_store(to, vf_add(vf_load(to), sum[i][c]));
        }
    }
}

KERNEL(depthwise) {
    const rn_depthwise_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, planes = a->images * a->channels, size = w->grid_height * w->grid_width;
    ptrdiff_t *offset = scratch; /* [taps] */
    float *copy = (float *)(offset + (taps + 7) / 8 * 8);
    for (ptrdiff_t plane = tile * a->group; plane < least((tile + 1) * a->group, planes); plane++) {
        const ptrdiff_t channel = plane % a->channels;
        const float *weight = a->weight + channel * taps, bias = a->bias != NULL ? a->bias[channel] : 0.0f;
        if (depthwise_3x3(w)) {
            depthwise_plane_3x3(a, a->x + plane * w->height * w->width, weight, a->bias != NULL ? &bias : NULL,
                                a->y + plane * size);
            continue;
        }
        for (ptrdiff_t y = 0, rows; y < w->grid_height; y += rows) {
            rows = least(a->block_rows, w->grid_height - y);
            const image_part part = part_of_image(w, a->x, planes, plane, 1, y, rows, 0, w->grid_width, copy);
            tap_offsets(w, &part, 0, taps, offset);
            float *to = a->y + plane * size + y * w->grid_width;
            if (w->stride_x == 1)
                depthwise_rows(1, a, &part, offset, weight, bias, rows, to);
            else if (w->stride_x == 2)
                depthwise_rows(2, a, &part, offset, weight, bias, rows, to);
            else
                depthwise_rows(w->stride_x, a, &part, offset, weight, bias, rows, to);
        }
    }
}

/* Some rows of a plane, from where their first window begins, and those of dy. */
typedef struct {
    const float *x, *dy;
    ptrdiff_t x_row, dy_row, rows, columns;
} depthwise_block;

/* The products of a block with its dy, summed lane by lane, for `count` taps; what lies beside a row is never multiplied. */
static RN_ALWAYS_INLINE void depthwise_products(const int count, const ptrdiff_t stride, const depthwise_block *b,
                                                const ptrdiff_t *offset, float *total) {
    const float *x = b->x, *dy = b->dy;
    const ptrdiff_t columns = b->columns;
    vf sum[DEPTHWISE_TAPS];
    RN_UNROLL
    for (int t = 0; t < count; t++) sum[t] = vf_zero();
    for (ptrdiff_t i = 0; i < b->rows; i++, x += b->x_row, dy += b->dy_row)
        for (ptrdiff_t j = 0; j < columns; j += VL) {
            const vf slope = vf_load_first(dy + j, columns - j);
            const vm inside = vm_first(columns - j);
            RN_UNROLL
            for (int t = 0; t < count; t++) {
                const float *from = x + offset[t] + j * stride;
                sum[t] = vf_fma(stride == 1 ? vf_load_masked(from, inside) : vf_where(inside, load_steps(from, stride)), slope,
                                sum[t]);
            }
        }
    RN_UNROLL
    for (int t = 0; t < count; t++) vf_store(total + t * VL, vf_add(vf_load(total + t * VL), sum[t]));
}

static RN_NO_INLINE void depthwise_products_of(ptrdiff_t count, ptrdiff_t stride, const depthwise_block *b,
                                               const ptrdiff_t *offset, float *total) {
    if (count == DEPTHWISE_TAPS && stride == 1) {
        depthwise_products(DEPTHWISE_TAPS, 1, b, offset, total);
    } else if (count == DEPTHWISE_TAPS && stride == 2) {
        depthwise_products(DEPTHWISE_TAPS, 2, b, offset, total);
    } else {
        for (ptrdiff_t t = 0; t < count; t++) depthwise_products(1, stride, b, offset + t, total + t * VL);
    }
}

/* total[tap] += the products of one plane with its dy, lane by lane, through a copy with zeros around it; `down` rows of `across`
 * columns make a chain. */
static void add_plane_products(const rn_depthwise_args *a, ptrdiff_t plane, ptrdiff_t down, ptrdiff_t across, ptrdiff_t *offset,
                               float *copy, float *total) {
    const rn_window *w = &a->window;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, width = w->grid_width;
    const float *dy = a->dy + plane * w->grid_height * width;
    for (ptrdiff_t y = 0, rows; y < w->grid_height; y += rows) {
        rows = least(down, w->grid_height - y);
        const image_part part = part_of_image(w, a->x, a->images * a->channels, plane, 1, y, rows, 0, width, copy);
        tap_offsets(w, &part, 0, taps, offset);
        depthwise_block block = {.x_row = w->stride_y * part.pitch, .dy_row = width, .rows = rows};
        for (ptrdiff_t x = 0; x < width; x += across) {
            block.x = part.origin + x * w->stride_x;
            block.dy = dy + y * width + x;
            block.columns = least(across, width - x);
            for (ptrdiff_t t = 0; t < taps; t += DEPTHWISE_TAPS)
                depthwise_products_of(least(DEPTHWISE_TAPS, taps - t), w->stride_x, &block, offset + t, total + t * VL);
        }
    }
}

/* The same of windows of 3 x 3 cells side by side, read where they are. */
static RN_ALWAYS_INLINE void add_plane_products_3x3(const rn_depthwise_args *a, ptrdiff_t plane, ptrdiff_t down, ptrdiff_t across,
                                                    float *total) {
    const rn_window *w = &a->window;
    const float *x = a->x + plane * w->height * w->width, *dy = a->dy + plane * w->grid_height * w->grid_width;
    for (ptrdiff_t first = 0, rows; first < w->grid_height; first += rows) {
        rows = least(down, w->grid_height - first);
        for (ptrdiff_t left = 0; left < w->grid_width; left += across)
            depthwise_products_3x3(w, x, dy, first, rows, left, least(left + across, w->grid_width), total);
    }
}

KERNEL(depthwise_weights) {
    const rn_depthwise_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, size = w->grid_height * w->grid_width;
    const ptrdiff_t first = tile * a->group, channels = least(a->group, a->channels - first);
    const int in_place = depthwise_3x3(w);
    const ptrdiff_t down = least(least(in_place ? w->grid_height : a->block_rows, w->grid_height), DEPTHWISE_CHAIN);
    const ptrdiff_t across = (down > 0 ? DEPTHWISE_CHAIN / down : 1) * VL; /* columns of a chain, whose rows are `down` */
    ptrdiff_t *offset = scratch;                                           /* [taps] */
    double *bias = (double *)(offset + (taps + 7) / 8 * 8);                /* [channels] */
    float *totals = (float *)(bias + (a->group + 7) / 8 * 8);              /* [channels, taps, VL] */
    float *copy = totals + a->group * taps * (RN_PANEL / 2);
    for (ptrdiff_t i = 0; i < channels * taps * VL; i += VL) vf_store(totals + i, vf_zero());
    for (ptrdiff_t c = 0; c < channels; c++) bias[c] = 0.0;
    for (ptrdiff_t image = 0; image < a->images; image++)
        for (ptrdiff_t c = 0; c < channels; c++) {
            const ptrdiff_t plane = image * a->channels + first + c;
            if (in_place)
                add_plane_products_3x3(a, plane, down, across, totals + c * taps * VL);
            else
                add_plane_products(a, plane, down, across, offset, copy, totals + c * taps * VL);
            if (a->dbias != NULL) bias[c] += row_sum(a->dy + plane * size, size, 0.0f);
        }
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t t = 0; t < taps; t++) a->y[(first + c) * taps + t] = vf_sum(vf_load(totals + (c * taps + t) * VL));
    for (ptrdiff_t c = 0; c < channels && a->dbias != NULL; c++) a->dbias[first + c] = (float)bias[c];
}
