/* The gradient by weights in Winograd's form, F(3 x 3, 4 x 4), also at stride 2, and F(5 x 5, 2 x 2): that of body_winograd.h
 * read from its other end. With the same matrices, the loss's gradient by the weights w of a pair of channels is
 *
 *     dw = G' [ sum over tiles of (A dY A') . (B' d B) ] G        d: the pixels under a tile, dY: gradients of its outputs
 *
 * and the sum is 36 (81) matrix products, one for each place: filters times tiles by tiles times channels. At stride 2 those of
 * places with the same weights are added up. */

/* A dY A' of the tile whose first gradient is at `x` of the stage's rows, its columns `apart` positions apart, to u; places are
 * `plane` floats apart. */
static RN_ALWAYS_INLINE void transform_gradients(winograd_form f, const pixel_stage *s, ptrdiff_t x, ptrdiff_t apart, float *u,
                                                 ptrdiff_t plane) {
    vf half[WINOGRAD_MOST_SIDE][WINOGRAD_MOST_STEP], out[WINOGRAD_MOST_SIDE];
    for (int q = 0; q < f.step; q++) {
        vf column[WINOGRAD_MOST_STEP];
        for (int r = 0; r < f.step; r++) column[r] = vf_load(s->at + (r * s->row + x + q * apart) * VL);
        gradients_along(f, column, out);
        for (int r = 0; r < f.side; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < f.side; r++) {
        gradients_along(f, half[r], out);
        for (int q = 0; q < f.side; q++, u += plane) vf_store(u, out[q]);
    }
}

/* As transform_all_pixels, of the gradients of outputs; images have all_filters planes. */
static RN_ALWAYS_INLINE void transform_all_gradients(winograd_form f, const pixel_stage *s, const tile_block *b, ptrdiff_t across,
                                                     const float *dy, ptrdiff_t all_filters, ptrdiff_t first, ptrdiff_t filters,
                                                     float *u, ptrdiff_t lanes, ptrdiff_t plane) {
    const ptrdiff_t size = s->height * s->width;
    const int step = f.step;
    clear_stage(s);
    for (ptrdiff_t m = 0; m < filters; m += VL) {
        float *to = u + m;
        for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
            const float *planes = dy + (image * all_filters + first + m) * size;
            for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++) {
                const ptrdiff_t y = first_output(b, i, step);
                for (ptrdiff_t r = 0; r < step; r++) stage_row(s, planes, least(VL, filters - m), y + b->down * r, r);
                for (ptrdiff_t x = 0; x < b->columns * step; x += across * step)
                    for (ptrdiff_t phase = 0; phase < across; phase++, to += lanes)
                        transform_gradients(f, s, x + phase, across, to, plane);
            }
        }
    }
}

/* sum[m] (+)= the gradients of all outputs of filter m: place (1, 1) of A dY A' is the sum of a tile. */
static void add_tile_sums(const float *u, ptrdiff_t tiles, ptrdiff_t lanes, ptrdiff_t filters, int add, float *sum) {
    for (ptrdiff_t m = 0; m < filters; m += VL) {
        vf total = vf_zero();
        for (ptrdiff_t t = 0; t < tiles; t++) total = vf_add(total, vf_load(u + t * lanes + m));
        if (add) total = vf_add(vf_load(sum + m), total);
        vf_store(sum + m, total);
    }
}

static inline ptrdiff_t whole_lanes(ptrdiff_t channels) { return (channels + 15) / 16 * 16; }

/* One side of the products of a unit: transformed pixels or gradients, [places, tiles, lanes]. */
typedef struct {
    const float *at;
    ptrdiff_t plane, lanes, used; /* floats from place to place, from tile to tile; how many there are of the block's */
} product_side;

/* Floats of a block's sums for one place: [filter_block, channels in whole lanes], swapped [channel_block, filters so]. */
static inline ptrdiff_t gradient_matrix(const rn_winograd_gradient_args *a) {
    return a->swapped ? a->channel_block * whole_lanes(a->filter_block) : a->filter_block * whole_lanes(a->channel_block);
}

/* Floats of a block of partial sums: 36 matrices, then sums of filters. */
static inline ptrdiff_t gradient_block(const rn_winograd_gradient_args *a) {
    return RN_WINOGRAD_WEIGHTS * gradient_matrix(a) + whole_lanes(a->filter_block);
}

/* The products of a unit's tiles that belong to place i of the weights, added to c, [left, right]; places that share it in one
 * row of places go in one chain. */
static RN_ALWAYS_INLINE void add_places(winograd_form f, micro_tile *t, int i, const product_side *left,
                                        const product_side *right, float *c) {
    enum { LAST = WINOGRAD_WEIGHT_SIDE - 1 };
    const int row = i / WINOGRAD_WEIGHT_SIDE, column = i % WINOGRAD_WEIGHT_SIDE;
    const int rows = row == LAST ? f.side - LAST : 1, add = t->add;
    t->runs = column == LAST ? f.side - LAST : 1;
    for (int r = row; r < row + rows; r++, t->add = 1) {
        const int place = r * f.side + column;
        for (ptrdiff_t j = 0; j < right->used; j += PANEL) {
            t->columns = least(PANEL, right->used - j);
            t->b = right->at + place * right->plane + j;
            multiply_panel(t, ONE_PANEL, left->at + place * left->plane, 1, left->used, c + j, NULL);
        }
    }
    t->add = add;
}

static RN_ALWAYS_INLINE void winograd_gradient_tile(winograd_form f, const rn_winograd_gradient_args *a, ptrdiff_t across,
                                                    ptrdiff_t tile, float *scratch) {
    const ptrdiff_t first_filter = tile % a->filter_blocks * a->filter_block;
    const ptrdiff_t first_channel = tile / a->filter_blocks % a->channel_blocks * a->channel_block;
    const ptrdiff_t split = tile / (a->filter_blocks * a->channel_blocks);
    const ptrdiff_t filters = least(a->filter_block, a->filters - first_filter);
    const ptrdiff_t channels = least(a->channel_block, a->channels - first_channel);
    const ptrdiff_t last_image = a->images * (split + 1) / a->splits;
    const ptrdiff_t lanes = whole_lanes(a->channel_block), filter_lanes = whole_lanes(a->filter_block);
    const ptrdiff_t most_tiles = a->unit_images * a->unit_rows * a->columns;
    const ptrdiff_t plane = most_tiles * lanes + 16, filter_plane = most_tiles * filter_lanes + 16;
    float *block = a->partial + tile * gradient_block(a), *sums = block + RN_WINOGRAD_WEIGHTS * gradient_matrix(a);

    const ptrdiff_t row = RN_WINOGRAD_ROW(a->columns, f.taps, f.stride, across);
    const pixel_stage pixels = {a->height, a->width, a->top, a->left, .ring = f.side, .row = row, .at = scratch};
    float *v = pixels.at + pixels.ring * pixels.row * VL;
    const pixel_stage outputs = {
        a->out_height, a->out_width, 0, 0, .ring = f.step, .row = f.step * a->columns, .at = v + f.side * f.side * plane};
    float *u = outputs.at + outputs.ring * outputs.row * VL;

    const product_side of_pixels = {v, plane, lanes, channels}, of_outputs = {u, filter_plane, filter_lanes, filters};
    const product_side left = a->swapped ? of_pixels : of_outputs, right = a->swapped ? of_outputs : of_pixels;
    micro_tile t = {.a_step = left.lanes, .a_turn = left.plane, .b_step = right.lanes, .c_row = right.lanes};
    tile_block b = {.columns = a->columns, .down = a->dilation_y};
    b.phase_rows = a->rows / a->dilation_y;
    for (b.first_image = a->images * split / a->splits; b.first_image < last_image; b.first_image += a->unit_images) {
        b.images = least(a->unit_images, last_image - b.first_image);
        for (b.first_row = 0; b.first_row < a->rows; b.first_row += a->unit_rows) {
            b.rows = least(a->unit_rows, a->rows - b.first_row);
            b.tiles = t.run = b.images * b.rows * b.columns;
            transform_all_pixels(f, &pixels, &b, across, a->x, a->channels, first_channel, channels, v, lanes, plane);
            transform_all_gradients(f, &outputs, &b, across, a->dy, a->filters, first_filter, filters, u, filter_lanes,
                                    filter_plane);
            add_tile_sums(u + (f.side + 1) * filter_plane, b.tiles, filter_lanes, filters, t.add, sums);
            t.b_turn = right.plane - b.tiles * right.lanes;
            for (int i = 0; i < RN_WINOGRAD_WEIGHTS; i++) add_places(f, &t, i, &left, &right, block + i * gradient_matrix(a));
            t.add = 1;
        }
    }
    if (!t.add) memset(block, 0, (size_t)gradient_block(a) * sizeof *block); /* there was no image */
}

KERNEL(winograd_gradient) {
    FOR_WINOGRAD_COLUMNS(winograd_gradient_tile, (const rn_winograd_gradient_args *)arguments, tile, scratch);
}

/* Element i of all splits' blocks, summed in their order; VL of them. */
static inline vf sum_of_splits(const rn_winograd_gradient_args *a, const float *first, ptrdiff_t step) {
    vf total = vf_load(first);
    for (ptrdiff_t s = 1; s < a->splits; s++) total = vf_add(total, vf_load(first + s * step));
    return total;
}

/* G' (the splits' sum) G of `pairs` of a filter and a channel, whose sums lie side by side at `from`: to weights `apart`. */
static RN_ALWAYS_INLINE void put_taps(winograd_form f, const rn_winograd_gradient_args *a, const float *from, ptrdiff_t pairs,
                                      float *to, ptrdiff_t apart) {
    enum { SIDE = WINOGRAD_WEIGHT_SIDE };
    const ptrdiff_t matrix = gradient_matrix(a), split = a->channel_blocks * a->filter_blocks * gradient_block(a);
    vf half[WINOGRAD_MOST_TAPS][SIDE], taps[WINOGRAD_MOST_TAPS];
    for (int q = 0; q < SIDE; q++) {
        vf column[SIDE];
        for (int r = 0; r < SIDE; r++) column[r] = sum_of_splits(a, from + (SIDE * r + q) * matrix, split);
        taps_along(f, column, taps);
        for (int r = 0; r < f.taps; r++) half[r][q] = taps[r];
    }
    float numbers[WINOGRAD_MOST_TAPS * WINOGRAD_MOST_TAPS][VL];
    for (int r = 0; r < f.taps; r++) {
        taps_along(f, half[r], taps);
        for (int q = 0; q < f.taps; q++) vf_store(numbers[f.taps * r + q], taps[q]);
    }
    for (ptrdiff_t l = 0; l < least(VL, pairs); l++, to += apart)
        for (int k = 0; k < f.taps * f.taps; k++) to[k] = numbers[k][l];
}

static float bias_gradient(const rn_winograd_gradient_args *a, ptrdiff_t filter) {
    const ptrdiff_t size = gradient_block(a), split = a->channel_blocks * a->filter_blocks * size;
    const float *from = a->partial + filter / a->filter_block * size + RN_WINOGRAD_WEIGHTS * gradient_matrix(a);
    float bias = 0.0f;
    for (ptrdiff_t s = 0; s < a->splits; s++) bias += from[s * split + filter % a->filter_block];
    return bias;
}

static RN_ALWAYS_INLINE void winograd_taps_tile(winograd_form f, const rn_winograd_gradient_args *a, ptrdiff_t tile) {
    const int count = f.taps * f.taps;
    const ptrdiff_t block = tile / a->filter_block, filter = tile % a->filter_block; /* of the block */
    const ptrdiff_t lanes = whole_lanes(a->channel_block), size = gradient_block(a);
    float *to = a->dweight + tile * a->channels * count;
    for (ptrdiff_t c = 0; c < a->channels; c += VL) {
        const float *sums = a->partial + (c / a->channel_block * a->filter_blocks + block) * size;
        put_taps(f, a, sums + filter * lanes + c % a->channel_block, a->channels - c, to + c * count, count);
    }
    if (a->dbias != NULL) a->dbias[tile] = bias_gradient(a, tile);
}

/* The same with filters in the lanes; a tile is a channel. */
static RN_ALWAYS_INLINE void winograd_swapped_taps_tile(winograd_form f, const rn_winograd_gradient_args *a, ptrdiff_t tile) {
    const int count = f.taps * f.taps;
    const ptrdiff_t block = tile / a->channel_block * a->filter_blocks, channel = tile % a->channel_block;
    const ptrdiff_t lanes = whole_lanes(a->filter_block), size = gradient_block(a);
    for (ptrdiff_t m = 0; m < a->filters; m += a->filter_block)
        for (ptrdiff_t l = 0; l < least(a->filter_block, a->filters - m); l += VL) {
            const float *sums = a->partial + (block + m / a->filter_block) * size;
            put_taps(f, a, sums + channel * lanes + l, least(a->filter_block, a->filters - m) - l,
                     a->dweight + ((m + l) * a->channels + tile) * count, a->channels * count);
        }
    if (a->dbias != NULL && tile == 0)
        for (ptrdiff_t m = 0; m < a->filters; m++) a->dbias[m] = bias_gradient(a, m);
}

KERNEL(winograd_taps) {
    const rn_winograd_gradient_args *a = arguments;
    (void)scratch;
    if (a->swapped)
        FOR_WINOGRAD_FORM(winograd_swapped_taps_tile, a, tile);
    else
        FOR_WINOGRAD_FORM(winograd_taps_tile, a, tile);
}
