/* The gradient by input in Winograd's form, by tiles of dY rather than of dX: that of body_winograd.h turned round. A tile's
 * outputs come from its 6 x 6 pixels, so their gradients go back to them:
 *
 *     dX (+)= B [ sum over filters of (G w G') . (A dY A') ] B'        dX: 6 x 6 pixels, of which neighbours share taps - 1
 *
 * It has fewer tiles than tiles of dX would be where the image has no padding. A unit is whole images. */

/* out = B in: columns (4 0 -5 0 1 0), (0 -4 -4 1 1 0), (0 4 -4 -1 1 0), (0 -2 -1 2 1 0), (0 2 -1 -2 1 0), (0 4 0 -5 0 1). */
static RN_ALWAYS_INLINE void scatter_along(const vf in[6], vf out[6]) {
    const vf four = vf_set(4.0f), five = vf_set(5.0f), two = vf_set(2.0f);
    const vf near_sum = vf_add(in[1], in[2]), near_difference = vf_sub(in[1], in[2]);
    const vf far_sum = vf_add(in[3], in[4]), far_difference = vf_sub(in[3], in[4]);
    out[0] = vf_mul(in[0], four);
    out[1] = vf_fnma(far_difference, two, vf_mul(vf_sub(in[5], near_difference), four));
    out[2] = vf_sub(vf_fnma(in[0], five, vf_mul(near_sum, vf_set(-4.0f))), far_sum);
    out[3] = vf_fma(far_difference, two, vf_fnma(in[5], five, near_difference));
    out[4] = vf_add(in[0], vf_add(near_sum, far_sum));
    out[5] = in[5];
}

/* Add B m B' of one tile, whose places are `plane` floats apart, to the pixels from position x of six lines on. */
static RN_ALWAYS_INLINE void scatter_tile(const float *m, ptrdiff_t plane, float *const line[6], ptrdiff_t x) {
    vf half[6][6], out[6];
    for (int q = 0; q < 6; q++) {
        vf column[6];
        for (int r = 0; r < 6; r++) column[r] = vf_load(m + (6 * r + q) * plane);
        scatter_along(column, out);
        for (int r = 0; r < 6; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < 6; r++) {
        float *to = line[r] + x * VL;
        scatter_along(half[r], out);
        for (int q = 0; q < 6; q++) vf_store(to + q * VL, vf_add(vf_load(to + q * VL), out[q]));
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

/* The pixels of VL channels from m, which holds them from its first lane on: tiles add to a ring of six lines, `row` positions
 * long, from which a row of the image is put out when no other tile reaches it. */
static RN_ALWAYS_INLINE void put_scattered(const rn_winograd_args *a, const winograd_unit *u, int taps, const float *m,
                                           ptrdiff_t channel, ptrdiff_t lanes, float *ring, ptrdiff_t row) {
    const int step = 7 - taps;
    const tile_block *b = &u->block;
    const vf bias = a->bias != NULL ? vf_load_first(a->bias + channel, lanes) : vf_zero();
    for (ptrdiff_t i = 0; i < 6 * row; i++) vf_store(ring + i * VL, vf_zero());
    for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
        float *planes = a->y + (image * a->filters + channel) * a->out_height * a->out_width;
        for (ptrdiff_t i = 0; i < b->rows; i++) {
            float *line[6];
            for (ptrdiff_t r = 0; r < 6; r++) line[r] = ring + (i * step + r) % 6 * row * VL;
            for (ptrdiff_t j = 0; j < b->columns; j++, m += PANEL) scatter_tile(m, u->m_plane, line, j * step);
            for (ptrdiff_t r = 0; r < (i + 1 < b->rows ? step : 6); r++) {
                const ptrdiff_t y = i * step + r - a->top;
                if (y >= 0 && y < a->out_height) put_pixels(a, line[r], bias, lanes, planes, y);
                for (ptrdiff_t x = 0; x < row; x++) vf_store(line[r] + x * VL, vf_zero());
            }
        }
    }
}

static RN_ALWAYS_INLINE void winograd_scattered_tile(const rn_winograd_args *a, int taps, ptrdiff_t tile, float *scratch) {
    const int step = 7 - taps;
    const ptrdiff_t row = RN_WINOGRAD_ROW(a->columns, taps, 1);
    const filter_range range = filters_of(a, tile);
    const winograd_unit u = unit_of(a, tile, scratch + 6 * row * VL);
    const pixel_stage stage = {a->height, a->width, 0, 0, .ring = step, .row = step * a->columns, .at = scratch};
    transform_all_gradients(&stage, &u.block, taps, 1, a->x, a->channels, 0, a->channels, u.v, u.channels, u.plane);
    for (ptrdiff_t m = range.first; m < range.end; m += PANEL) {
        const ptrdiff_t filters = least(PANEL, range.end - m);
        multiply_places(a, &u, m / PANEL, filters > VL ? PANEL : VL);
        for (ptrdiff_t l = 0; l < filters; l += VL)
            put_scattered(a, &u, taps, u.m + l, m + l, least(VL, filters - l), scratch, row);
    }
}

KERNEL(winograd_scattered) { FOR_WINOGRAD_TAPS((const rn_winograd_args *)arguments, winograd_scattered_tile, tile, scratch); }
