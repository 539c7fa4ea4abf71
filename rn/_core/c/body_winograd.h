/* Winograd's convolution F(4 x 4, 3 x 3) (Lavin and Gray 2015, "Fast algorithms for convolutional neural networks"): a tile of 4
 * x 4 outputs costs 36 multiplications for each pair of channels where the direct form has 144.
 *
 *     Y = A' [ (G w G') . (B' d B) ] A        d: 6 x 6 pixels, w: 3 x 3 weights, Y: 4 x 4 outputs, ': transposed
 *
 * The sum over channels is taken between the brackets' product and A, and makes 36 matrix products, one for each place (a, b) of
 * the 6 x 6: tiles times channels by channels times filters. Pixels and outputs are transformed with channels in the lanes.
 *
 * The points are 0, 1, -1, 2, -2 and infinity. */

enum { WINOGRAD_PLACES = 36 };

/* out = G in: rows (1/4 0 0), -(1 1 1)/6, -(1 -1 1)/6, (1 2 4)/24, (1 -2 4)/24, (0 0 1). */
static RN_ALWAYS_INLINE void weights_along(const vf in[3], vf out[6]) {
    const vf sixth = vf_set(-1.0f / 6), even = vf_fma(in[2], vf_set(1.0f / 6), vf_mul(in[0], vf_set(1.0f / 24)));
    const vf sum = vf_add(in[0], in[2]), odd = vf_mul(in[1], vf_set(1.0f / 12));
    out[0] = vf_mul(in[0], vf_set(0.25f));
    out[1] = vf_mul(vf_add(sum, in[1]), sixth);
    out[2] = vf_mul(vf_sub(sum, in[1]), sixth);
    out[3] = vf_add(even, odd);
    out[4] = vf_sub(even, odd);
    out[5] = in[2];
}

/* out = B' in: rows (4 0 -5 0 1 0), (0 -4 -4 1 1 0), (0 4 -4 -1 1 0), (0 -2 -1 2 1 0), (0 2 -1 -2 1 0), (0 4 0 -5 0 1). */
static RN_ALWAYS_INLINE void pixels_along(const vf in[6], vf out[6]) {
    const vf four = vf_set(4.0f), five = vf_set(5.0f), two = vf_set(2.0f);
    const vf a = vf_fnma(in[2], four, in[4]), b = vf_fnma(in[1], four, in[3]);
    const vf c = vf_sub(in[4], in[2]), d = vf_sub(in[3], in[1]);
    out[0] = vf_fma(in[0], four, vf_fnma(in[2], five, in[4]));
    out[1] = vf_add(a, b);
    out[2] = vf_sub(a, b);
    out[3] = vf_fma(d, two, c);
    out[4] = vf_fnma(d, two, c);
    out[5] = vf_fma(in[1], four, vf_fnma(in[3], five, in[5]));
}

/* out = A' in: rows (1 1 1 1 1 0), (0 1 -1 2 -2 0), (0 1 1 4 4 0), (0 1 -1 8 -8 1). */
static RN_ALWAYS_INLINE void outputs_along(const vf in[6], vf out[4]) {
    const vf near_sum = vf_add(in[1], in[2]), near_difference = vf_sub(in[1], in[2]);
    const vf far_sum = vf_add(in[3], in[4]), far_difference = vf_sub(in[3], in[4]);
    out[0] = vf_add(vf_add(in[0], near_sum), far_sum);
    out[1] = vf_fma(far_difference, vf_set(2.0f), near_difference);
    out[2] = vf_fma(far_sum, vf_set(4.0f), near_sum);
    out[3] = vf_add(vf_fma(far_difference, vf_set(8.0f), near_difference), in[5]);
}

/* Of one input channel and VL filters: G w G' to place[36], `step` floats apart. */
static RN_ALWAYS_INLINE void transform_weights(const vf w[9], float *place, ptrdiff_t step) {
    vf half[6][3], whole[6];
    for (int j = 0; j < 3; j++) {
        const vf column[3] = {w[j], w[3 + j], w[6 + j]};
        vf out[6];
        weights_along(column, out);
        for (int i = 0; i < 6; i++) half[i][j] = out[i];
    }
    for (int i = 0; i < 6; i++) {
        weights_along(half[i], whole);
        for (int j = 0; j < 6; j++, place += step) vf_store(place, whole[j]);
    }
}

KERNEL(winograd_weights) {
    const rn_winograd_weights_args *a = arguments;
    (void)scratch;
    const ptrdiff_t first = tile * RN_WINOGRAD_FILTERS, end = least(first + RN_WINOGRAD_FILTERS, a->filters);
    for (ptrdiff_t m = first; m < end; m += VL) {
        const ptrdiff_t lanes = least(VL, end - m), panel = m / PANEL;
        float *to = a->transformed + panel * WINOGRAD_PLACES * a->channels * PANEL + m % PANEL;
        for (ptrdiff_t c = 0; c < a->channels; c++, to += PANEL) {
            const float *from = a->weight + m * a->filter_step + c * a->channel_step;
            vf taps[(9 + VL - 1) / VL * VL], w[9];
            for (ptrdiff_t k = 0; k < 9; k += VL) load_turned_part(from + k, a->filter_step, lanes, least(VL, 9 - k), taps + k);
            for (int k = 0; k < 9; k++) w[k] = taps[a->flipped ? 8 - k : k];
            transform_weights(w, to, a->channels * PANEL);
        }
    }
}

/* Rows of images, VL channels at a time, with the channels in the lanes: row y of the frame, which is the image with `top` and
 * `left` zeros before its first row and column, stands at place y % ring, its `row` positions VL floats each. */
typedef struct {
    ptrdiff_t height, width, top, left; /* of the image */
    ptrdiff_t ring, row;
    float *at;
} pixel_stage;

static void clear_stage(const pixel_stage *s) {
    for (ptrdiff_t i = 0; i < s->ring * s->row; i++) vf_store(s->at + i * VL, vf_zero());
}

/* Row y of the frame, of `channels` <= VL planes that lie one after the other. */
static void stage_row(const pixel_stage *s, const float *planes, ptrdiff_t channels, ptrdiff_t y) {
    float *to = s->at + (y % s->ring * s->row + s->left) * VL;
    const ptrdiff_t image_y = y - s->top, size = s->height * s->width, columns = least(s->width, s->row - s->left);
    if (image_y < 0 || image_y >= s->height) {
        for (ptrdiff_t x = 0; x < columns; x++) vf_store(to + x * VL, vf_zero());
        return;
    }
    for (ptrdiff_t x = 0; x < columns; x += VL) {
        const float *from = planes + image_y * s->width + x;
        const ptrdiff_t count = least(VL, columns - x);
        vf block[VL];
        if (channels == VL && count == VL)
            vf_load_turned(from, size, block);
        else
            load_turned_part(from, size, channels, count, block);
        for (ptrdiff_t j = 0; j < count; j++) vf_store(to + (x + j) * VL, block[j]);
    }
}

/* B' d B of the tile in column j, whose first pixels are row y of the frame, to v; places are `plane` floats apart. */
static RN_ALWAYS_INLINE void transform_pixels(const pixel_stage *s, ptrdiff_t y, ptrdiff_t j, float *v, ptrdiff_t plane) {
    vf half[6][6], out[6];
    const float *line[6];
    for (int r = 0; r < 6; r++) line[r] = s->at + ((y + r) % 6 * s->row + 4 * j) * VL;
    for (int q = 0; q < 6; q++) {
        vf column[6];
        for (int r = 0; r < 6; r++) column[r] = vf_load(line[r] + q * VL);
        pixels_along(column, out);
        for (int r = 0; r < 6; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < 6; r++) {
        pixels_along(half[r], out);
        for (int q = 0; q < 6; q++, v += plane) vf_store(v, out[q]);
    }
}

/* Some rows of tiles of some images, worked together. */
typedef struct {
    ptrdiff_t first_image, images, first_row, rows, columns, tiles;
} tile_block;

/* The tiles' transformed pixels of channels first … first + channels - 1, to v[place, tile, channel]: tiles are `lanes` floats
 * apart, places `plane`. images has all_channels planes for each image. */
static void transform_all_pixels(const pixel_stage *s, const tile_block *b, const float *images, ptrdiff_t all_channels,
                                 ptrdiff_t first, ptrdiff_t channels, float *v, ptrdiff_t lanes, ptrdiff_t plane) {
    const ptrdiff_t size = s->height * s->width;
    clear_stage(s);
    for (ptrdiff_t c = 0; c < channels; c += VL) {
        float *to = v + c;
        for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
            const float *planes = images + (image * all_channels + first + c) * size;
            for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++) {
                for (ptrdiff_t r = i == b->first_row ? 0 : 2; r < 6; r++)
                    stage_row(s, planes, least(VL, channels - c), 4 * i + r);
                for (ptrdiff_t j = 0; j < b->columns; j++, to += lanes) transform_pixels(s, 4 * i, j, to, plane);
            }
        }
    }
}

/* Where a unit's things lie in its scratch. */
typedef struct {
    tile_block block;
    ptrdiff_t channels, plane, m_plane; /* floats of a tile's channels, of a place in v, of one in m */
    float *v, *m;
} winograd_unit;

/* m[place, tile, filter] = sum over c of v[place, tile, c] u[place, c, filter], for one panel of filters. */
static void multiply_places(const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t panel, ptrdiff_t columns) {
    micro_tile t = {.a_step = 1, .runs = 1, .b_step = PANEL, .c_row = PANEL, .columns = columns, .activation = RN_LINEAR};
    const float *b = a->transformed + panel * WINOGRAD_PLACES * a->channels * PANEL;
    for (int place = 0; place < WINOGRAD_PLACES; place++, b += a->channels * PANEL) {
        for (ptrdiff_t begin = 0; begin < a->channels; begin += RN_KC) {
            t.run = least(RN_KC, a->channels - begin);
            t.b = b + begin * PANEL;
            t.add = begin > 0;
            multiply_panel(&t, 0, u->v + place * u->plane + begin, u->channels, u->block.tiles, u->m + place * u->m_plane, NULL);
        }
    }
}

/* A' m A of one tile: row[r][4 j + q] = output (r, q) of VL filters, biased and activated. */
static RN_ALWAYS_INLINE void transform_outputs(const rn_winograd_args *a, const float *m, ptrdiff_t step, vf bias, vf *row[4]) {
    vf half[4][6], out[4];
    for (int q = 0; q < 6; q++) {
        vf column[6];
        for (int r = 0; r < 6; r++) column[r] = vf_load(m + (6 * r + q) * step);
        outputs_along(column, out);
        for (int r = 0; r < 4; r++) half[r][q] = out[r];
    }
    const vf alpha = vf_set(a->alpha);
    for (int r = 0; r < 4; r++) {
        outputs_along(half[r], out);
        for (int q = 0; q < 4; q++) {
            vf y = vf_add(out[q], bias);
            if (a->activation == RN_RELU) y = vf_max(vf_zero(), y);
            if (a->activation == RN_LEAKY_RELU) y = vf_select(vf_lt(y, vf_zero()), vf_mul(alpha, y), y);
            row[r][q] = y;
        }
    }
}

/* The outputs of VL filters from m, which holds them from its first lane on: as many tiles of a row at once as fill a vector,
 * which is then turned so that pixels are in the lanes. */
static void put_outputs(const rn_winograd_args *a, const winograd_unit *u, const float *m, ptrdiff_t filter, ptrdiff_t lanes) {
    const ptrdiff_t size = a->out_height * a->out_width;
    const vf bias = a->bias != NULL ? vf_load_first(a->bias + filter, lanes) : vf_zero();
    for (ptrdiff_t image = u->block.first_image; image < u->block.first_image + u->block.images; image++) {
        float *planes = a->y + (image * a->filters + filter) * size;
        for (ptrdiff_t i = u->block.first_row; i < u->block.first_row + u->block.rows; i++) {
            const ptrdiff_t rows = least(4, a->out_height - 4 * i);
            for (ptrdiff_t j = 0; j < a->columns; j += VL / 4) {
                vf block[4][VL];
                const ptrdiff_t tiles = least(VL / 4, a->columns - j), count = least(VL, a->out_width - 4 * j);
                for (ptrdiff_t k = 0; k < tiles; k++, m += PANEL) {
                    vf *row[4] = {block[0] + 4 * k, block[1] + 4 * k, block[2] + 4 * k, block[3] + 4 * k};
                    transform_outputs(a, m, u->m_plane, bias, row);
                }
                for (ptrdiff_t k = 4 * tiles; k < VL; k++) block[0][k] = block[1][k] = block[2][k] = block[3][k] = vf_zero();
                for (ptrdiff_t r = 0; r < rows; r++) {
                    float *to = planes + (4 * i + r) * a->out_width + 4 * j;
                    vf_transpose(block[r]);
                    for (ptrdiff_t l = 0; l < lanes; l++) vf_store_first(to + l * size, count, block[r][l]);
                }
            }
            if (a->activation <= RN_LEAKY_RELU) continue;
            for (ptrdiff_t l = 0; l < lanes; l++) {
                float *span = planes + l * size + 4 * i * a->out_width;
                activate_span(a->activation, a->alpha, span, span, rows * a->out_width);
            }
        }
    }
}

KERNEL(winograd) {
    const rn_winograd_args *a = arguments;
    const ptrdiff_t parts = (a->rows + a->unit_rows - 1) / a->unit_rows; /* of an image; 1 where a unit has several images */
    const ptrdiff_t filter_blocks = (a->filters + a->filter_block - 1) / a->filter_block;
    const ptrdiff_t first_filter = tile % filter_blocks * a->filter_block, unit = tile / filter_blocks;
    const ptrdiff_t last_filter = least(first_filter + a->filter_block, a->filters);
    tile_block block = {.first_image = unit / parts * a->unit_images, .first_row = unit % parts * a->unit_rows};
    block.images = least(a->unit_images, a->images - block.first_image);
    block.rows = least(a->unit_rows, a->rows - block.first_row);
    block.columns = a->columns;
    block.tiles = block.images * block.rows * block.columns;
    const pixel_stage stage = {a->height, a->width, a->top, a->left, .ring = 6, .row = 4 * a->columns + 2, .at = scratch};
    winograd_unit u = {.block = block, .channels = (a->channels + VL - 1) / VL * VL};
    /* Places are a cache line apart more than a power of two could be, so that a tile's 36 do not fall on one another. */
    u.plane = block.tiles * u.channels + 16;
    u.m_plane = block.tiles * PANEL + 16;
    u.v = stage.at + stage.ring * stage.row * VL;
    u.m = u.v + WINOGRAD_PLACES * u.plane;

    transform_all_pixels(&stage, &block, a->x, a->channels, 0, a->channels, u.v, u.channels, u.plane);
    for (ptrdiff_t m = first_filter; m < last_filter; m += PANEL) {
        const ptrdiff_t filters = least(PANEL, last_filter - m);
        multiply_places(a, &u, m / PANEL, filters > VL ? PANEL : VL);
        for (ptrdiff_t l = 0; l < filters; l += VL) put_outputs(a, &u, u.m + l, m + l, least(VL, filters - l));
    }
}
