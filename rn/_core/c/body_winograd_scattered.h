/* The gradient by input in Winograd's form, by tiles of dY rather than of dX: that of body_winograd.h turned round. A tile's
 * outputs come from its 6 x 6 (9 x 9) pixels, so their gradients go back to them:
 *
 *     dX (+)= B [ sum over filters of (G w G') . (A dY A') ] B'        dX: pixels, some of which neighbours share
 *
 * It has fewer tiles than tiles of dX would be where the image has no padding; at stride 2 there is no other way. A unit is whole
 * images. */

/* Add B m B' of one tile, whose places are `plane` floats apart, to the pixels from position x of its lines on. */
static RN_ALWAYS_INLINE void scatter_tile(winograd_form f, const float *m, ptrdiff_t plane, float *const *line, ptrdiff_t x) {
    enum { MOST = WINOGRAD_MOST_SIDE };
    vf half[MOST][MOST], out[MOST];
    for (int q = 0; q < f.side; q++) {
        vf column[MOST];
        for (int r = 0; r < f.side; r++) column[r] = vf_load(m + (f.side * r + q) * plane);
        scatter_along(f, column, out);
        for (int r = 0; r < f.side; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < f.side; r++) {
        float *to = line[r] + x * VL;
        scatter_along(f, half[r], out);
        for (int q = 0; q < f.side; q++) vf_store(to + q * VL, vf_add(vf_load(to + q * VL), out[q]));
    }
}

/* The pixels of a line, with `lanes` channels in the lanes, to row y of their planes, biased and activated. */
static void put_pixels(const rn_winograd_args *a, const float *line, vf bias, ptrdiff_t lanes, float *planes, ptrdiff_t y) {
    const ptrdiff_t size = a->out_height * a->out_width;
    float *to = planes + y * a->out_width;
    for (ptrdiff_t x = 0; x < a->out_width; x += VL) {
        const ptrdiff_t count = least(VL, a->out_width - x);
        vf block[VL];
        for (ptrdiff_t k = 0; k < VL; k++)
            block[k] = k < count ? finish_output(a, vf_load(line + (a->left + x + k) * VL), bias) : vf_zero();
        vf_transpose(block);
        for (ptrdiff_t l = 0; l < lanes; l++) vf_store_first(to + l * size + x, count, block[l]);
    }
    if (a->activation <= RN_LEAKY_RELU) return;
    for (ptrdiff_t l = 0; l < lanes; l++) activate_span(a->activation, a->alpha, to + l * size, to + l * size, a->out_width);
}

/* The pixels of VL channels from m, which holds them from its first lane on: tiles add to a ring of lines, `row` positions
 * long, from which a row of the image is put out when no other tile reaches it. */
static RN_ALWAYS_INLINE void put_scattered(winograd_form f, const rn_winograd_args *a, const winograd_unit *u, const float *m,
                                           ptrdiff_t channel, ptrdiff_t lanes, float *ring, ptrdiff_t row) {
    const int advance = f.stride * f.step;
    const tile_block *b = &u->block;
    const vf bias = a->bias != NULL ? vf_load_first(a->bias + channel, lanes) : vf_zero();
    for (ptrdiff_t i = 0; i < f.side * row; i++) vf_store(ring + i * VL, vf_zero());
    for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
        float *planes = a->y + (image * a->filters + channel) * a->out_height * a->out_width;
        for (ptrdiff_t i = 0; i < b->rows; i++) {
            float *line[WINOGRAD_MOST_SIDE];
            for (ptrdiff_t r = 0; r < f.side; r++) line[r] = ring + (i * advance + r) % f.side * row * VL;
            for (ptrdiff_t j = 0; j < b->columns; j++, m += u->m_row) scatter_tile(f, m, u->m_plane, line, j * advance);
            /* At stride 2 the image may have a row behind those that outputs see: one more line, of zeros. */
            for (ptrdiff_t r = 0; r < (i + 1 < b->rows ? advance : f.side + f.stride - 1); r++) {
                const ptrdiff_t y = i * advance + r - a->top;
                float *done = line[r % f.side];
                if (y >= 0 && y < a->out_height) put_pixels(a, done, bias, lanes, planes, y);
                for (ptrdiff_t x = 0; x < row; x++) vf_store(done + x * VL, vf_zero());
            }
        }
    }
}

static RN_ALWAYS_INLINE void winograd_scattered_tile(winograd_form f, const rn_winograd_args *a, ptrdiff_t tile, float *scratch) {
    const ptrdiff_t row = RN_WINOGRAD_ROW(a->columns, f.taps, f.stride, 1);
    const filter_range range = filters_of(a, tile);
    const winograd_unit u = unit_of(f, a, tile, scratch + f.side * row * VL);
    const pixel_stage stage = {a->height, a->width, 0, 0, .ring = f.step, .row = f.step * a->columns, .at = scratch};
    transform_all_gradients(f, &stage, &u.block, 1, a->x, a->channels, 0, a->channels, u.v, u.channels, u.plane);
    for (ptrdiff_t m = range.first, filters; m < range.end; m += filters) {
        filters = multiply_places(a, &u, m, range.end);
        for (ptrdiff_t l = 0; l < filters; l += VL) put_scattered(f, a, &u, u.m + l, m + l, least(VL, filters - l), scratch, row);
    }
}

KERNEL(winograd_scattered) { FOR_WINOGRAD_FORM(winograd_scattered_tile, (const rn_winograd_args *)arguments, tile, scratch); }
