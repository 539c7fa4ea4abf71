/* How the taps of a convolution reach into an image: addresses, zero padding, and pixels packed as panels.
 *
 * Tap (i, j) of grid position (y, x) reads the image at row y stride_y + first_y + i tap_step_y, column x stride_x + first_x +
 * j tap_step_x, and 0 outside. Images whose taps all lie inside are read in place; else the part that a tile needs is copied into
 * scratch with its zeros. From there on both look the same: a pointer to what tap `low` of the tile's first row reads at column 0, and
 * a pitch and a plane size to step by. */

/* The lowest row and column, relative to grid position (0, 0), that any tap reads. */
static inline ptrdiff_t lowest_tap(ptrdiff_t first, ptrdiff_t step, ptrdiff_t taps) {
    return taps > 1 && step < 0 ? first + (taps - 1) * step : first;
}
static inline ptrdiff_t low_y(const rn_window *w) { return lowest_tap(w->first_y, w->tap_step_y, w->tap_rows); }
static inline ptrdiff_t low_x(const rn_window *w) { return lowest_tap(w->first_x, w->tap_step_x, w->tap_columns); }

/* How many rows or columns of the image the taps of `length` grid rows or columns reach over. */
static inline ptrdiff_t reach(ptrdiff_t length, ptrdiff_t stride, ptrdiff_t step, ptrdiff_t taps) {
    return (length - 1) * stride + (taps > 1 ? (taps - 1) * (step < 0 ? -step : step) : 0) + 1;
}

/* What a tile reads: `channels` planes from `planes` on, for grid rows from grid_y on and grid columns from grid_x on. */
typedef struct {
    const float *origin; /* of the lowest tap at the tile's first grid row and column, in the first plane */
    ptrdiff_t pitch, plane;
} image_part;

static void copy_row(float *to, const float *from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_load_first(from + i, n - i));
}
static void zero_row(float *to, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_zero());
}

/* Copies rows and columns of the image from (y, x) on, which may lie outside, into `to`, [channels, rows, columns]. */
static void copy_padded(float *to, const float *planes, const rn_window *w, ptrdiff_t channels, ptrdiff_t y, ptrdiff_t x, ptrdiff_t rows,
                        ptrdiff_t columns) {
    const ptrdiff_t left = x < 0 ? least(-x, columns) : 0;
    const ptrdiff_t end = least(columns, w->width - x); /* columns from here on lie right of the image */
    const ptrdiff_t inside = end > left ? end - left : 0;
    for (ptrdiff_t c = 0; c < channels; c++, planes += w->height * w->width) {
        for (ptrdiff_t r = 0; r < rows; r++, to += columns) {
            if (y + r < 0 || y + r >= w->height || inside == 0) {
                zero_row(to, columns);
                continue;
            }
            if (left > 0) zero_row(to, left);
            copy_row(to + left, planes + (y + r) * w->width + x + left, inside);
            if (left + inside < columns) zero_row(to + left + inside, columns - left - inside);
        }
    }
}

/* The part of `planes` that grid positions (grid_y + rows, grid_x + columns) need, through `copy` where the taps leave the image. */
static image_part part_of_image(const rn_window *w, const float *planes, ptrdiff_t channels, ptrdiff_t grid_y, ptrdiff_t rows,
                                ptrdiff_t grid_x, ptrdiff_t columns, float *copy) {
    const ptrdiff_t y = grid_y * w->stride_y + low_y(w), x = grid_x * w->stride_x + low_x(w);
    if (!w->padded) return (image_part){planes + y * w->width + x, w->width, w->height * w->width};
    const ptrdiff_t high = reach(rows, w->stride_y, w->tap_step_y, w->tap_rows);
    const ptrdiff_t wide = reach(columns, w->stride_x, w->tap_step_x, w->tap_columns);
    copy_padded(copy, planes, w, channels, y, x, high, wide);
    return (image_part){copy, wide, high * wide};
}

/* offset[p] from the origin, of row p = (channel, tap row, tap column) of the unfolded image, for `count` rows from `begin` on; channels
 * count from the one of `begin`. */
static void tap_offsets(const rn_window *w, const image_part *part, ptrdiff_t begin, ptrdiff_t count, ptrdiff_t *offset) {
    if (count == 0) return;
    const ptrdiff_t taps = w->tap_rows * w->tap_columns;
    const ptrdiff_t from_low = (w->first_y - low_y(w)) * part->pitch + w->first_x - low_x(w);
    ptrdiff_t channel = 0, i = begin % taps / w->tap_columns, j = begin % w->tap_columns;
    for (ptrdiff_t p = 0; p < count; p++) {
        offset[p] = channel * part->plane + from_low + i * w->tap_step_y * part->pitch + j * w->tap_step_x;
        if (++j < w->tap_columns) continue;
        j = 0;
        if (++i < w->tap_rows) continue;
        i = 0;
        channel++;
    }
}

/* The lanes of a panel of grid positions: for each of its two vectors up to two pieces of consecutive floats, where a piece is what lies
 * in one row, or (pieces > 2) an index for each lane. Lanes beyond the last position are in no piece and read as 0. */
typedef struct {
    ptrdiff_t start[2][2]; /* of lane 0, had the piece begun there */
    vi mask[2][2];
    vi index[2], used[2];
    int pieces;
} lane_map;

/* Maps `columns` <= PANEL positions from (y, x) on, row by row through the grid; y counts from the part's first grid row. */
static void map_lanes(lane_map *map, const rn_window *w, ptrdiff_t pitch, ptrdiff_t y, ptrdiff_t x, ptrdiff_t columns) {
    const ptrdiff_t row = pitch * w->stride_y;
    map->pieces = 0;
    for (int v = 0; v < 2; v++) {
        int32_t index[VL] = {0};
        int pieces = 0, lane = 0;
        map->mask[v][0] = map->mask[v][1] = vi_set(0);
        map->start[v][0] = map->start[v][1] = 0;
        const int lanes = (int)least(columns, VL);
        columns -= lanes;
        while (lane < lanes) {
            const int length = (int)least(lanes - lane, w->grid_width - x);
            const ptrdiff_t start = y * row + x * w->stride_x;
            for (int l = 0; l < length; l++) index[lane + l] = (int32_t)(start + l * w->stride_x);
            const vi mask = vi_and(vi_first(lane + length), vi_not(vi_first(lane)));
            const int same = pieces > 0 && pieces <= 2 && map->start[v][pieces - 1] == start - lane;
            if (!same) pieces++;
            if (pieces <= 2) {
                map->start[v][pieces - 1] = start - lane;
                map->mask[v][pieces - 1] = vi_or(map->mask[v][pieces - 1], mask);
            }
            lane += length;
            x += length;
            if (x == w->grid_width) {
                x = 0;
                y++;
            }
        }
        if (w->stride_x != 1 && lanes > 0) pieces = 3;
        if (pieces > map->pieces) map->pieces = pieces;
        map->index[v] = vi_load(index);
        map->used[v] = vi_first(lanes);
    }
}

/* panel[p, lane] = origin[offset[p] + lane's place], p < k. */
static void pack_pixels(const lane_map *map, const float *origin, const ptrdiff_t *offset, ptrdiff_t k, float *panel) {
    if (map->pieces > 2) {
        const vi index0 = map->index[0], index1 = map->index[1], used0 = map->used[0], used1 = map->used[1];
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            vf_store(panel, vf_gather(origin + offset[p], index0, used0));
            vf_store(panel + VL, vf_gather(origin + offset[p], index1, used1));
        }
        return;
    }
    const float *a = origin + map->start[0][0], *b = origin + map->start[0][1];
    const float *c = origin + map->start[1][0], *d = origin + map->start[1][1];
    const vi in_a = map->mask[0][0], in_b = map->mask[0][1], in_c = map->mask[1][0], in_d = map->mask[1][1];
    for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
        const ptrdiff_t at = offset[p];
        vf_store(panel, vf_or(vf_load_masked(a + at, in_a), vf_load_masked(b + at, in_b)));
        vf_store(panel + VL, vf_or(vf_load_masked(c + at, in_c), vf_load_masked(d + at, in_d)));
    }
}
