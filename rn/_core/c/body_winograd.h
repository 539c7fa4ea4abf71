/* Winograd's convolution F(4 x 4, 3 x 3), also at stride 2, and F(2 x 2, 5 x 5) (Lavin and Gray 2015, "Fast algorithms for
 * convolutional neural networks"): a tile of 4 x 4 outputs costs 36 multiplications for each pair of channels where the direct
 * form has 144; one of 2 x 2 outputs of a 5 x 5 kernel 36 where it has 100; at stride 2 one of 4 x 4 costs 81 for 144.
 *
 *     Y = A' [ (G w G') . (B' d B) ] A        d: the pixels under a tile, w: weights, Y: outputs, ': transposed
 *
 * The sum over channels is taken between the brackets' product and A, and makes 36 (81) matrix products, one for each place (a,
 * b) of the 6 x 6 (9 x 9): tiles times channels by channels times filters. Pixels and outputs are transformed with channels in
 * the lanes.
 *
 * With dilation d, outputs d apart see nothing of those between: tiles are of d x d separate phases, each the rows and columns of
 * one remainder by d; `across` is the dilation of columns. */

/* Of one input channel and VL filters: G w. */
static RN_ALWAYS_INLINE void transform_side(winograd_form f, const vf *w, vf side[WINOGRAD_WEIGHT_SIDE][WINOGRAD_MOST_TAPS]) {
    for (int j = 0; j < f.taps; j++) {
        vf column[WINOGRAD_MOST_TAPS], rows[WINOGRAD_WEIGHT_SIDE];
        for (int i = 0; i < f.taps; i++) column[i] = w[i * f.taps + j];
        weights_along(f, column, rows);
        for (int i = 0; i < WINOGRAD_WEIGHT_SIDE; i++) side[i][j] = rows[i];
    }
}

/* And G w G' to 36 places, `step` floats apart. */
static RN_ALWAYS_INLINE void transform_weights(winograd_form f, const vf *w, float *place, ptrdiff_t step) {
    vf side[WINOGRAD_WEIGHT_SIDE][WINOGRAD_MOST_TAPS], row[WINOGRAD_WEIGHT_SIDE];
    transform_side(f, w, side);
    for (int i = 0; i < WINOGRAD_WEIGHT_SIDE; i++) {
        weights_along(f, side[i], row);
        for (int j = 0; j < WINOGRAD_WEIGHT_SIDE; j++, place += step) vf_store(place, row[j]);
    }
}

/* Floats from one place of a panel's weights to the next: a row more than there are channels, so that the places of a pair do not
 * fall on one another in the cache. */
static inline ptrdiff_t weight_plane(ptrdiff_t channels) { return (channels + 1) * PANEL; }

/* The taps of channel c and the `lanes` <= VL filters from m on, from the last to the first where flipped. */
static RN_ALWAYS_INLINE void load_taps(winograd_form f, const rn_winograd_weights_args *a, ptrdiff_t m, ptrdiff_t lanes,
                                       ptrdiff_t c, vf *w) {
    enum { MOST = WINOGRAD_MOST_TAPS * WINOGRAD_MOST_TAPS };
    const int count = f.taps * f.taps;
    const float *from = a->weight + m * a->filter_step + c * a->channel_step;
    vf taps[(MOST + VL - 1) / VL * VL];
    for (ptrdiff_t k = 0; k < count; k += VL) load_turned_part(from + k, a->filter_step, lanes, least(VL, count - k), taps + k);
    for (int k = 0; k < count; k++) w[k] = taps[a->flipped ? count - 1 - k : k];
}

static RN_ALWAYS_INLINE void transform_filters(winograd_form f, const rn_winograd_weights_args *a, ptrdiff_t tile) {
    const ptrdiff_t first = tile * RN_WINOGRAD_FILTERS, end = least(first + RN_WINOGRAD_FILTERS, a->filters);
    for (ptrdiff_t m = first; m < end; m += VL) {
        float *to = a->transformed + m / PANEL * RN_WINOGRAD_WEIGHTS * weight_plane(a->channels) + m % PANEL;
        for (ptrdiff_t c = 0; c < a->channels; c++, to += PANEL) {
            vf w[WINOGRAD_MOST_TAPS * WINOGRAD_MOST_TAPS];
            load_taps(f, a, m, least(VL, end - m), c, w);
            transform_weights(f, w, to, weight_plane(a->channels));
        }
    }
}

KERNEL(winograd_weights) {
    (void)scratch;
    FOR_WINOGRAD_FORM(transform_filters, (const rn_winograd_weights_args *)arguments, tile);
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
    const int collide = size % 1024 == 0; /* in the first cache; each line is then read once, which takes more shuffles */
    if (image_y < 0 || image_y >= s->height) {
        for (ptrdiff_t x = 0; x < columns; x++) vf_store(to + x * VL, vf_zero());
        return;
    }
    for (ptrdiff_t x = 0; x < columns; x += VL) {
        const float *from = planes + image_y * s->width + x;
        const ptrdiff_t count = least(VL, columns - x);
        vf block[VL];
        if (channels == VL && count == VL && !collide)
            vf_load_turned(from, size, block);
        else
            load_turned_part(from, size, channels, count, block);
        for (ptrdiff_t j = 0; j < count; j++) vf_store(to + (x + j) * VL, block[j]);
    }
}

/* B' d B of the tile whose first pixel is at `x` of the ring's row `first`, its columns `apart` positions apart, to v; places
 * are `plane` floats apart. */
static RN_ALWAYS_INLINE void transform_pixels(winograd_form f, const pixel_stage *s, ptrdiff_t first, ptrdiff_t x,
                                              ptrdiff_t apart, float *v, ptrdiff_t plane) {
    enum { MOST = WINOGRAD_MOST_SIDE };
    vf half[MOST][MOST], out[MOST];
    const float *line[MOST];
    for (int r = 0; r < f.side; r++) line[r] = s->at + ((first + r) % f.side * s->row + x) * VL;
    for (int q = 0; q < f.side; q++) {
        vf column[MOST];
        for (int r = 0; r < f.side; r++) column[r] = vf_load(line[r] + q * apart * VL);
        pixels_along(f, column, out);
        for (int r = 0; r < f.side; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < f.side; r++) {
        pixels_along(f, half[r], out);
        for (int q = 0; q < f.side; q++, v += plane) vf_store(v, out[q]);
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
static RN_ALWAYS_INLINE void transform_all_pixels(winograd_form f, const pixel_stage *s, const tile_block *b, ptrdiff_t across,
                                                  const float *images, ptrdiff_t all_channels, ptrdiff_t first,
                                                  ptrdiff_t channels, float *v, ptrdiff_t lanes, ptrdiff_t plane) {
    const ptrdiff_t size = s->height * s->width;
    const int advance = f.stride * f.step;
    clear_stage(s);
    for (ptrdiff_t c = 0; c < channels; c += VL) {
        float *to = v + c;
        for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
            const float *planes = images + (image * all_channels + first + c) * size;
            for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++) {
                const ptrdiff_t y = f.stride * first_output(b, i, f.step), ring = i % b->phase_rows * advance;
                for (ptrdiff_t r = i == b->first_row || ring == 0 ? 0 : f.side - advance; r < f.side; r++)
                    stage_row(s, planes, least(VL, channels - c), y + b->down * r, ring + r);
                for (ptrdiff_t x = 0; x < b->columns * advance; x += across * advance)
                    for (ptrdiff_t phase = 0; phase < across; phase++, to += lanes)
                        transform_pixels(f, s, ring, x + phase, across, to, plane);
            }
        }
    }
}

/* Where a unit's things lie in its scratch. */
typedef struct {
    tile_block block;
    int side;                  /* places along an axis */
    ptrdiff_t channels, plane; /* floats of a tile's channels and of a place in v */
    ptrdiff_t m_row, m_plane;  /* the same in m, of filters */
    float *v, *m;
} winograd_unit;

/* m[place, tile, filter] = sum over c of v[place, tile, c] u[place, c, filter], for the filters from `first` on, as many as m has
 * room for or there are; returns how many. Summed in short chains, for what is rounded here grows where places are added up.
 * multiply_one_sided sums in the same ones. */
static ptrdiff_t multiply_places(const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t first, ptrdiff_t end) {
    const int pair = u->m_row > PANEL && end - first > PANEL + VL;
    const ptrdiff_t filters = least(pair ? 2 * PANEL : PANEL, end - first),
                    panel = RN_WINOGRAD_WEIGHTS * weight_plane(a->channels);
    micro_tile t = {.a_step = 1, .runs = 1, .b_step = PANEL, .b_beside = panel, .c_row = u->m_row, .activation = RN_LINEAR};
    t.columns = pair ? 2 * PANEL : filters > VL ? PANEL : VL;
    for (int place = 0; place < u->side * u->side; place++) {
        const float *b = a->transformed + first / PANEL * panel + weights_of_place(place, u->side) * weight_plane(a->channels);
        for (ptrdiff_t begin = 0; begin < a->channels; begin += WINOGRAD_CHAIN) {
            t.run = least(WINOGRAD_CHAIN, a->channels - begin);
            t.b = b + begin * PANEL;
            t.add = begin > 0;
            multiply_panel(&t, pair ? PAIR_OF_PANELS : ONE_PANEL, u->v + place * u->plane + begin, u->channels, u->block.tiles,
                           u->m + place * u->m_plane, NULL);
        }
    }
    return filters;
}

static RN_ALWAYS_INLINE vf finish_output(const rn_winograd_args *a, vf y, vf bias) {
    y = vf_add(y, bias);
    if (a->activation == RN_RELU) y = vf_max(vf_zero(), y);
    if (a->activation == RN_LEAKY_RELU) y = vf_select(vf_lt(y, vf_zero()), vf_mul(vf_set(a->alpha), y), y);
    return y;
}

/* A' m A of one tile: row[r][q * apart] = output (r, q) of VL filters, biased and activated. */
static RN_ALWAYS_INLINE void transform_outputs(winograd_form f, const rn_winograd_args *a, const float *m, ptrdiff_t plane,
                                               vf bias, vf *const *row, ptrdiff_t at, ptrdiff_t apart) {
    vf half[WINOGRAD_MOST_STEP][WINOGRAD_MOST_SIDE], out[WINOGRAD_MOST_STEP];
    for (int q = 0; q < f.side; q++) {
        vf column[WINOGRAD_MOST_SIDE];
        for (int r = 0; r < f.side; r++) column[r] = vf_load(m + (f.side * r + q) * plane);
        outputs_along(f, column, out);
        for (int r = 0; r < f.step; r++) half[r][q] = out[r];
    }
    for (int r = 0; r < f.step; r++) {
        outputs_along(f, half[r], out);
        for (int q = 0; q < f.step; q++) row[r][at + q * apart] = finish_output(a, out[q], bias);
    }
}

/* The outputs of VL filters from m, which holds them from its first lane on: as many tiles of a row at once as fill vectors of
 * neighbours, which are then turned so that pixels are in the lanes. */
static RN_ALWAYS_INLINE void put_outputs(winograd_form f, const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t across,
                                         const float *m, ptrdiff_t filter, ptrdiff_t lanes) {
    const int step = f.step;
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
                    for (ptrdiff_t phase = 0; phase < across; phase++, m += u->m_row)
                        transform_outputs(f, a, m, u->m_plane, bias, row, k * step + phase, across);
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

/* The same pooled by windows of 2 x 2, which do not reach from tile to tile: filters stay in the lanes until then. */
static RN_ALWAYS_INLINE void put_pooled_of(winograd_form f, const rn_winograd_args *a, const winograd_unit *u, const float *m,
                                           ptrdiff_t filter, ptrdiff_t lanes) {
    enum { MOST = WINOGRAD_MOST_STEP };
    const int half = f.step / 2;
    const tile_block *b = &u->block;
    const ptrdiff_t height = a->out_height / 2, width = a->out_width / 2, size = height * width, chunk = VL / half;
    const vf bias = a->bias != NULL ? vf_load_first(a->bias + filter, lanes) : vf_zero();
    vf output[MOST][MOST], best[MOST / 2][VL], tap[MOST / 2][VL];
    vf *const row[MOST] = {output[0], output[1], output[2], output[3]};
    for (ptrdiff_t image = b->first_image; image < b->first_image + b->images; image++) {
        const ptrdiff_t planes = (image * a->filters + filter) * size;
        for (ptrdiff_t i = b->first_row; i < b->first_row + b->rows; i++)
            for (ptrdiff_t j = 0; j < b->columns; j += chunk) {
                const ptrdiff_t tiles = least(chunk, b->columns - j), count = width - j * half;
                for (ptrdiff_t k = 0; k < tiles; k++, m += u->m_row) {
                    transform_outputs(f, a, m, u->m_plane, bias, row, 0, 1);
                    for (int p = 0; p < half; p++)
                        for (int q = 0; q < half; q++) {
                            const vf cell[4] = {output[2 * p][2 * q], output[2 * p][2 * q + 1], output[2 * p + 1][2 * q],
                                                output[2 * p + 1][2 * q + 1]};
                            vi found;
                            best[p][k * half + q] =
                                largest_of_halves(cell, a->activation == RN_RELU, a->pool_taps == NULL ? NULL : &found);
                            if (a->pool_taps != NULL) tap[p][k * half + q] = vi_as_float(found);
                        }
                }
                for (ptrdiff_t k = tiles * half; k < VL; k++)
                    for (int p = 0; p < half; p++) best[p][k] = tap[p][k] = vf_zero();
                for (int p = 0; p < half && i * half + p < height; p++) {
                    const ptrdiff_t at = planes + (i * half + p) * width + j * half;
                    vf_transpose(best[p]);
                    for (ptrdiff_t l = 0; l < lanes; l++) vf_store_first(a->y + at + l * size, count, best[p][l]);
                    if (a->pool_taps == NULL) continue;
                    vf_transpose(tap[p]);
                    for (ptrdiff_t l = 0; l < lanes; l++) vf_store_first((float *)a->pool_taps + at + l * size, count, tap[p][l]);
                }
            }
    }
}

/* Of all `filters` that m holds; apart from what does not pool, whose registers it would take. */
static RN_NO_INLINE void put_pooled(const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t first, ptrdiff_t filters) {
    for (ptrdiff_t l = 0; l < filters; l += VL)
        FOR_WINOGRAD_FORM(put_pooled_of, a, u, u->m + l, first + l, least(VL, filters - l));
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
static inline winograd_unit unit_of(winograd_form f, const rn_winograd_args *a, ptrdiff_t tile, float *scratch) {
    const ptrdiff_t parts = (a->rows + a->unit_rows - 1) / a->unit_rows; /* of an image; 1 where a unit has several images */
    const ptrdiff_t unit = tile / filter_blocks_of(a);
    tile_block block = {.first_image = unit / parts * a->unit_images, .first_row = unit % parts * a->unit_rows};
    block.images = least(a->unit_images, a->images - block.first_image);
    block.rows = least(a->unit_rows, a->rows - block.first_row);
    block.columns = a->columns;
    block.tiles = block.images * block.rows * block.columns;
    block.phase_rows = a->rows / a->dilation_y, block.down = a->dilation_y;
    winograd_unit u = {.block = block, .side = f.side, .channels = (a->channels + VL - 1) / VL * VL, .v = scratch};
    /* Places are a cache line apart more than a power of two could be, so that a tile's do not fall on one another. */
    u.plane = block.tiles * u.channels + 16;
    /* Two panels of weights pass together where they stay in the first cache, or pass once. */
    const int near = block.tiles <= PAIR_ROWS || 2 * PANEL * a->channels < NEAR_FLOATS;
    u.m_row = VL == 16 && near && a->filters > PANEL ? 2 * PANEL : PANEL;
    u.m_plane = block.tiles * u.m_row + 16;
    u.m = u.v + f.side * f.side * u.plane;
    return u;
}

static ptrdiff_t multiply_one_sided(const rn_winograd_args *a, const winograd_unit *u, ptrdiff_t first, ptrdiff_t end);

static RN_ALWAYS_INLINE void winograd_tile(winograd_form f, const rn_winograd_args *a, ptrdiff_t across, ptrdiff_t tile,
                                           float *scratch) {
    const ptrdiff_t row = RN_WINOGRAD_ROW(a->columns, f.taps, f.stride, across);
    const pixel_stage stage = {a->height, a->width, a->top, a->left, .ring = f.side, .row = row, .at = scratch};
    const int one_sided = VL == 16 && f.taps == 3 && f.stride == 1 && a->one_sided;
    const filter_range range = filters_of(a, tile);
    const winograd_unit u = unit_of(f, a, tile, stage.at + stage.ring * stage.row * VL);
    transform_all_pixels(f, &stage, &u.block, across, a->x, a->channels, 0, a->channels, u.v, u.channels, u.plane);
    for (ptrdiff_t m = range.first, filters; m < range.end; m += filters) {
        filters = one_sided ? multiply_one_sided(a, &u, m, range.end) : multiply_places(a, &u, m, range.end);
        if (a->pooled) {
            put_pooled(a, &u, m, filters);
            continue;
        }
        for (ptrdiff_t l = 0; l < filters; l += VL) put_outputs(f, a, &u, across, u.m + l, m + l, least(VL, filters - l));
    }
}

KERNEL(winograd) { FOR_WINOGRAD_COLUMNS(winograd_tile, (const rn_winograd_args *)arguments, tile, scratch); }
