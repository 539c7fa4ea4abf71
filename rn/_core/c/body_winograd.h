/* Winograd's convolution F(4 x 4, 3 x 3), and F(2 x 2, 5 x 5), on the same six points (Lavin and Gray 2015, "Fast algorithms for
 * convolutional neural networks"): a tile of 4 x 4 outputs costs 36 multiplications for each pair of channels where the direct
 * form has 144; one of 2 x 2 outputs of a 5 x 5 kernel 36 where it has 100.
 *
 *     Y = A' [ (G w G') . (B' d B) ] A        d: 6 x 6 pixels, w: weights, Y: outputs, ': transposed
 *
 * The sum over channels is taken between the brackets' product and A, and makes 36 matrix products, one for each place (a, b) of
 * the 6 x 6: tiles times channels by channels times filters. Pixels and outputs are transformed with channels in the lanes.
 *
 * The points are 0, 1, -1, 2, -2 and infinity. `taps` is the kernel's side, and 7 - taps that of a tile. With dilation d, outputs
 * d apart see nothing of those between: tiles are of d x d separate phases, each the rows and columns of one remainder by d;
 * `across` is the dilation of columns. */

enum { WINOGRAD_PLACES = 36, WINOGRAD_MOST_STEP = 4, WINOGRAD_MOST_TAPS = 5 };

/* Call work(a, taps, ...), compiled for each kernel's side; and work(a, taps, across, ...), compiled for columns side by side. */
#define FOR_WINOGRAD_TAPS(a, work, ...) \
    do { \
        if ((a)->taps == 5) \
            work(a, 5, __VA_ARGS__); \
        else \
            work(a, 3, __VA_ARGS__); \
    } while (0)
#define FOR_WINOGRAD_FORM(a, work, ...) \
    do { \
        if ((a)->dilation_x > 1) /* only 3 x 3 kernels are dilated in this form */ \
            work(a, 3, (a)->dilation_x, __VA_ARGS__); \
        else \
            FOR_WINOGRAD_TAPS(a, work, 1, __VA_ARGS__); \
    } while (0)

/* out = G in: row (1 0 … 0) / 4; for the points p = 1 and -1 rows -(1 p p^2 …) / 6, for 2 and -2 (1 p p^2 …) / 24; (0 … 0 1). */
static RN_ALWAYS_INLINE void weights_along(int taps, const vf *in, vf out[6]) {
    const vf sixth = vf_set(-1.0f / 6);
    vf even = in[0], odd = in[1], far_even = vf_mul(in[0], vf_set(1.0f / 24)), far_odd = vf_mul(in[1], vf_set(1.0f / 12));
    for (int k = 2; k < taps; k += 2) {
        even = vf_add(even, in[k]);
        far_even = vf_fma(in[k], vf_set((float)(1 << k) / 24), far_even);
    }
    for (int k = 3; k < taps; k += 2) {
        odd = vf_add(odd, in[k]);
        far_odd = vf_fma(in[k], vf_set((float)(1 << k) / 24), far_odd);
    }
    out[0] = vf_mul(in[0], vf_set(0.25f));
    out[1] = vf_mul(vf_add(even, odd), sixth);
    out[2] = vf_mul(vf_sub(even, odd), sixth);
    out[3] = vf_add(far_even, far_odd);
    out[4] = vf_sub(far_even, far_odd);
    out[5] = in[taps - 1];
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

/* out = A' in, rows (1 1 1 1 1 0), (0 1 -1 2 -2 0), (0 1 1 4 4 0), (0 1 -1 8 -8 1); of a 5 x 5 kernel's tile the first two, with
 * the infinite point's 1 in the second. */
static RN_ALWAYS_INLINE void outputs_along(int taps, const vf in[6], vf *out) {
    const vf near_sum = vf_add(in[1], in[2]), near_difference = vf_sub(in[1], in[2]);
    const vf far_sum = vf_add(in[3], in[4]), far_difference = vf_sub(in[3], in[4]);
    out[0] = vf_add(vf_add(in[0], near_sum), far_sum);
    out[1] = vf_fma(far_difference, vf_set(2.0f), near_difference);
    if (taps == 5) {
        out[1] = vf_add(out[1], in[5]);
        return;
    }
    out[2] = vf_fma(far_sum, vf_set(4.0f), near_sum);
    out[3] = vf_add(vf_fma(far_difference, vf_set(8.0f), near_difference), in[5]);
}

/* Of one input channel and VL filters: G w G' to place[36], `step` floats apart. */
static RN_ALWAYS_INLINE void transform_weights(int taps, const vf *w, float *place, ptrdiff_t step) {
    vf half[6][WINOGRAD_MOST_TAPS], whole[6];
    for (int j = 0; j < taps; j++) {
        vf column[WINOGRAD_MOST_TAPS];
        for (int i = 0; i < taps; i++) column[i] = w[i * taps + j];
        weights_along(taps, column, whole);
        for (int i = 0; i < 6; i++) half[i][j] = whole[i];
    }
    for (int i = 0; i < 6; i++) {
        weights_along(taps, half[i], whole);
        for (int j = 0; j < 6; j++, place += step) vf_store(place, whole[j]);
    }
}

static RN_ALWAYS_INLINE void transform_filters(const rn_winograd_weights_args *a, int side, ptrdiff_t tile) {
    enum { MOST = WINOGRAD_MOST_TAPS * WINOGRAD_MOST_TAPS };
    const int count = side * side;
    const ptrdiff_t first = tile * RN_WINOGRAD_FILTERS, end = least(first + RN_WINOGRAD_FILTERS, a->filters);
    for (ptrdiff_t m = first; m < end; m += VL) {
        const ptrdiff_t lanes = least(VL, end - m), panel = m / PANEL;
        float *to = a->transformed + panel * WINOGRAD_PLACES * a->channels * PANEL + m % PANEL;
        for (ptrdiff_t c = 0; c < a->channels; c++, to += PANEL) {
            const float *from = a->weight + m * a->filter_step + c * a->channel_step;
            vf taps[(MOST + VL - 1) / VL * VL], w[MOST];
            for (ptrdiff_t k = 0; k < count; k += VL)
                load_turned_part(from + k, a->filter_step, lanes, least(VL, count - k), taps + k);
            for (int k = 0; k < count; k++) w[k] = taps[a->flipped ? count - 1 - k : k];
            transform_weights(side, w, to, a->channels * PANEL);
        }
    }
}

KERNEL(winograd_weights) {
    (void)scratch;
    FOR_WINOGRAD_TAPS((const rn_winograd_weights_args *)arguments, transform_filters, tile);
}

/* Rows of images, VL channels at a time, with the channels in the lanes: row y of the frame, which is the image with `top` and
 * `left` zeros before its first row and column, stands in a ring of rows, its `row` positions VL floats each. */
typedef struct {
    ptrdiff_t height, width, top, left; /* of the image */
    ptrdiff_t ring, row;
    float *at;
} pixel_stage;

static void clear_stage(const pixel_stage *s) {
    for (ptrdiff_t i = 0; i < s->ring * s->row; i++) vf_store(s->at + i * VL, vf_zero());
}

/* Row y of the frame, of `channels` <= VL planes that lie one after the other, to place `at` of the ring. */
static void stage_row(const pixel_stage *s, const float *planes, ptrdiff_t channels, ptrdiff_t y, ptrdiff_t at) {
    float *to = s->at + (at % s->ring * s->row + s->left) * VL;
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

/* B' d B of the tile whose first pixel is at `x` of the ring's row `first`, its columns `apart` positions apart, to v; places
 * are `plane` floats apart. */
static RN_ALWAYS_INLINE void transform_pixels(const pixel_stage *s, ptrdiff_t first, ptrdiff_t x, ptrdiff_t apart, float *v,
                                              ptrdiff_t plane) {
    vf half[6][6], out[6];
    const float *line[6];
    for (int r = 0; r < 6; r++) line[r] = s->at + ((first + r) % 6 * s->row + x) * VL;
    for (int q = 0; q < 6; q++) {
        vf column[6];
        for (int r = 0; r < 6; r++) column[r] = vf_load(line[r] + q * apart * VL);
        pixels_along(column, out);
        for (int r = 0; r < 6; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < 6; r++) {
        pixels_along(half[r], out);
        for (int q = 0; q < 6; q++, v += plane) vf_store(v, out[q]);
    }
}

/* Some rows of tiles of some images, worked together. Rows of tiles are by phase, then by place; in a row, tiles are by place,
 * then by phase, so that what `across` neighbours put out has no gaps. */
typedef struct {
    ptrdiff_t first_image, images, first_row, rows, columns, tiles;
    ptrdiff_t phase_rows, down; /* rows of tiles of a phase, and the dilation of rows */
} tile_block;

/* The first row of outputs of row i of tiles; its others are `down` apart. */
static RN_ALWAYS_INLINE ptrdiff_t first_output(const tile_block *b, ptrdiff_t i, int step) {
    return i / b->phase_rows + b->down * step * (i % b->phase_rows);
}

/* The tiles' transformed pixels of channels first … first + channels - 1, to v[place, tile, channel]: tiles are `lanes` floats
 * apart, places `plane`. images has all_channels planes for each image. */
static RN_ALWAYS_INLINE void transform_all_pixels(const pixel_stage *s, const tile_block *b, int taps, ptrdiff_t across,
                                                  const float *images, ptrdiff_t all_channels, ptrdiff_t first,
                                                  ptrdiff_t channels, float *v, ptrdiff_t lanes, ptrdiff_t plane) {
    const ptrdiff_t size = s->height * s->width;
    const int step = 7 - taps;
    clear_stage(s);
    for (ptrdiff_t c = 0; c < channels; c += VL) {
        float *to = v + c;
        for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
            const float *planes = images + (image * all_channels + first + c) * size;
            for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++) {
                const ptrdiff_t y = first_output(b, i, step), ring = i % b->phase_rows * step;
                for (ptrdiff_t r = i == b->first_row || ring == 0 ? 0 : taps - 1; r < 6; r++)
                    stage_row(s, planes, least(VL, channels - c), y + b->down * r, ring + r);
                for (ptrdiff_t x = 0; x < b->columns * step; x += across * step)
                    for (ptrdiff_t phase = 0; phase < across; phase++, to += lanes)
                        transform_pixels(s, ring, x + phase, across, to, plane);
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
            multiply_panel(&t, ONE_PANEL, u->v + place * u->plane + begin, u->channels, u->block.tiles, u->m + place * u->m_plane,
                           NULL);
        }
    }
}

static RN_ALWAYS_INLINE vf finish_output(const rn_winograd_args *a, vf y, vf bias) {
    y = vf_add(y, bias);
    if (a->activation == RN_RELU) y = vf_max(vf_zero(), y);
    if (a->activation == RN_LEAKY_RELU) y = vf_select(vf_lt(y, vf_zero()), vf_mul(vf_set(a->alpha), y), y);
    return y;
}

/* A' m A of one tile: row[r][q * apart] = output (r, q) of VL filters, biased and activated. */
static RN_ALWAYS_INLINE void transform_outputs(const rn_winograd_args *a, int taps, const float *m, ptrdiff_t plane, vf bias,
                                               vf *const *row, ptrdiff_t at, ptrdiff_t apart) {
    const int step = 7 - taps;
    vf half[WINOGRAD_MOST_STEP][6], out[WINOGRAD_MOST_STEP];
    for (int q = 0; q < 6; q++) {
        vf column[6];
        for (int r = 0; r < 6; r++) column[r] = vf_load(m + (6 * r + q) * plane);
        outputs_along(taps, column, out);
        for (int r = 0; r < step; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < step; r++) {
        outputs_along(taps, half[r], out);
        for (int q = 0; q < step; q++) row[r][at + q * apart] = finish_output(a, out[q], bias);
    }
}

/* The outputs of VL filters from m, which holds them from its first lane on: as many tiles of a row at once as fill vectors of
 * neighbours, which are then turned so that pixels are in the lanes. */
static RN_ALWAYS_INLINE void put_outputs(const rn_winograd_args *a, const winograd_unit *u, int taps, ptrdiff_t across,
                                         const float *m, ptrdiff_t filter, ptrdiff_t lanes) {
    const int step = 7 - taps;
    const tile_block *b = &u->block;
    const ptrdiff_t size = a->out_height * a->out_width, chunk = across * (VL / step);
    const vf bias = a->bias != NULL ? vf_load_first(a->bias + filter, lanes) : vf_zero();
    vf block[WINOGRAD_MOST_STEP][RN_WINOGRAD_MOST_DILATION * VL];
    vf *const row[WINOGRAD_MOST_STEP] = {block[0], block[1], block[2], block[3]};
    for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
        float *planes = a->y + (image * a->filters + filter) * size;
        for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++) {
            const ptrdiff_t y = first_output(b, i, step), rows = least(step, (a->out_height - y + b->down - 1) / b->down);
            for (ptrdiff_t j = 0; j < b->columns; j += chunk) {
                const ptrdiff_t tiles = least(chunk, b->columns - j), count = a->out_width - j * step;
                for (ptrdiff_t k = 0; k < tiles; k += across)
                    for (ptrdiff_t phase = 0; phase < across; phase++, m += PANEL)
                        transform_outputs(a, taps, m, u->m_plane, bias, row, k * step + phase, across);
                for (ptrdiff_t k = tiles * step; k < chunk * step; k++)
                    for (int r = 0; r < step; r++) block[r][k] = vf_zero();
                for (ptrdiff_t r = 0; r < rows; r++) {
                    float *to = planes + (y + b->down * r) * a->out_width + j * step;
                    for (ptrdiff_t k = 0; k < least(chunk * step, count); k += VL) {
                        vf_transpose(block[r] + k);
                        for (ptrdiff_t l = 0; l < lanes; l++)
                            vf_store_first(to + k + l * size, least(VL, count - k), block[r][k + l]);
                    }
                }
            }
            if (a->activation <= RN_LEAKY_RELU) continue;
            for (ptrdiff_t l = 0; l < lanes; l++)
                for (ptrdiff_t r = 0; r < rows; r++) {
                    float *span = planes + l * size + (y + b->down * r) * a->out_width;
                    activate_span(a->activation, a->alpha, span, span, a->out_width);
                }
        }
    }
}

/* The filters of a tile of the call. */
typedef struct {
    ptrdiff_t first, end;
} filter_range;

static inline ptrdiff_t filter_blocks_of(const rn_winograd_args *a) {
    return (a->filters + a->filter_block - 1) / a->filter_block;
}

static inline filter_range filters_of(const rn_winograd_args *a, ptrdiff_t tile) {
    const ptrdiff_t first = tile % filter_blocks_of(a) * a->filter_block;
    return (filter_range){first, least(first + a->filter_block, a->filters)};
}

/* The unit of a tile of the call, its v and m from `scratch` on. */
static inline winograd_unit unit_of(const rn_winograd_args *a, ptrdiff_t tile, float *scratch) {
    const ptrdiff_t parts = (a->rows + a->unit_rows - 1) / a->unit_rows; /* of an image; 1 where a unit has several images */
    const ptrdiff_t unit = tile / filter_blocks_of(a);
    tile_block block = {.first_image = unit / parts * a->unit_images, .first_row = unit % parts * a->unit_rows};
    block.images = least(a->unit_images, a->images - block.first_image);
    block.rows = least(a->unit_rows, a->rows - block.first_row);
    block.columns = a->columns;
    block.tiles = block.images * block.rows * block.columns;
    block.phase_rows = a->rows / a->dilation_y, block.down = a->dilation_y;
    winograd_unit u = {.block = block, .channels = (a->channels + VL - 1) / VL * VL, .v = scratch};
    /* Places are a cache line apart more than a power of two could be, so that a tile's 36 do not fall on one another. */
    u.plane = block.tiles * u.channels + 16;
    u.m_plane = block.tiles * PANEL + 16;
    u.m = u.v + WINOGRAD_PLACES * u.plane;
    return u;
}

static RN_ALWAYS_INLINE void winograd_tile(const rn_winograd_args *a, int taps, ptrdiff_t across, ptrdiff_t tile,
                                           float *scratch) {
    const pixel_stage stage = {
        a->height, a->width, a->top, a->left, .ring = 6, .row = RN_WINOGRAD_ROW(a->columns, taps, across), .at = scratch};
    const filter_range range = filters_of(a, tile);
    const winograd_unit u = unit_of(a, tile, stage.at + stage.ring * stage.row * VL);
    transform_all_pixels(&stage, &u.block, taps, across, a->x, a->channels, 0, a->channels, u.v, u.channels, u.plane);
    for (ptrdiff_t m = range.first; m < range.end; m += PANEL) {
        const ptrdiff_t filters = least(PANEL, range.end - m);
        multiply_places(a, &u, m / PANEL, filters > VL ? PANEL : VL);
        for (ptrdiff_t l = 0; l < filters; l += VL) put_outputs(a, &u, taps, across, u.m + l, m + l, least(VL, filters - l));
    }
}

KERNEL(winograd) { FOR_WINOGRAD_FORM((const rn_winograd_args *)arguments, winograd_tile, tile, scratch); }
