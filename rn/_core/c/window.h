/* How the taps of a convolution reach into an image: addresses, zero padding, and pixels packed as panels.
 *
 * Tap (i, j) of grid position (y, x) reads the image at row y stride_y + first_y + i tap_step_y, column x stride_x + first_x +
 * j tap_step_x, and 0 outside. Images whose taps all lie inside are read in place; else the part that a tile needs is copied into
 * scratch with its zeros. From there on both look the same: a pointer to what tap `low` of the tile's first row reads at column
 * 0, and a pitch and a plane size to step by. */

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
    int open; /* a vector's length before the first and after the last float may be read, though it means nothing */
} image_part;

static void copy_row(float *to, const float *from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_load_first(from + i, n - i));
}
static void zero_row(float *to, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_zero());
}

/* Copies rows and columns of the image from (y, x) on, which may lie outside, into `to`, [channels, rows, columns].
 *
 * Whole vectors are written. What reaches beyond a row's end is overwritten by the next row, for the last columns of all rows go
 * first; beyond the last row `to` must have room for a vector. */
static void copy_padded(float *to, const float *planes, const rn_window *w, ptrdiff_t channels, ptrdiff_t y, ptrdiff_t x,
                        ptrdiff_t rows, ptrdiff_t columns) {
    for (ptrdiff_t j = (columns - 1) / VL * VL; j >= 0; j -= VL) {
        const ptrdiff_t begin = x + j < 0 ? -(x + j) : 0, end = w->width > x + j ? w->width - (x + j) : 0;
        const vm inside = vm_and(vm_first(end), vm_not(vm_first(begin)));
        float *target = to + j;
        for (ptrdiff_t c = 0; c < channels; c++) {
            const float *source = planes + (c * w->height + y) * w->width + x + j;
            for (ptrdiff_t r = y; r < y + rows; r++, source += w->width, target += columns)
                vf_store(target, r >= 0 && r < w->height ? vf_load_masked(source, inside) : vf_zero());
        }
    }
}

/* The part that grid positions (grid_y + rows, grid_x + columns) need of `channels` planes from plane number `plane` on, of
 * `planes`; through `copy`, which has room for a vector on both sides, where the taps leave the image. */
static image_part part_of_image(const rn_window *w, const float *image, ptrdiff_t planes, ptrdiff_t plane, ptrdiff_t channels,
                                ptrdiff_t grid_y, ptrdiff_t rows, ptrdiff_t grid_x, ptrdiff_t columns, float *copy) {
    const ptrdiff_t y = grid_y * w->stride_y + low_y(w), x = grid_x * w->stride_x + low_x(w);
    const ptrdiff_t size = w->height * w->width, first = plane * size + y * w->width + x;
    const ptrdiff_t high = reach(rows, w->stride_y, w->tap_step_y, w->tap_rows);
    const ptrdiff_t wide = reach(columns, w->stride_x, w->tap_step_x, w->tap_columns);
    if (!w->padded) {
        const ptrdiff_t last = first + (channels - 1) * size + (high - 1) * w->width + wide - 1;
        return (image_part){image + first, w->width, size, first >= VL && last + VL < planes * size};
    }
    copy_padded(copy, image + plane * size, w, channels, y, x, high, wide);
    return (image_part){copy, wide, high * wide, 1};
}

/* offset[p] from the origin, of row p = (channel, tap row, tap column) of the unfolded image, for `count` rows from `begin` on;
 * channels count from the one of `begin`. */
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

/* The lanes of a panel of grid positions: for each of its two vectors up to two pieces of consecutive floats, where a piece is
 * what lies in one row, or (gather) an index for each lane. Lanes beyond the last position are in no piece; what they read means
 * nothing. */
typedef struct {
    ptrdiff_t start[2][2]; /* of lane 0, had the piece begun there */
    vm mask[2][2];
    int gather, whole; /* whole: each vector is one piece */
    int32_t index[2 * VL];
    vm used[2];
} lane_map;

/* Maps the next `columns` <= PANEL positions, row by row through the grid, and moves (y, x) behind them; y counts from the first
 * grid row of the part. */
static void map_lanes(lane_map *map, const rn_window *w, ptrdiff_t pitch, ptrdiff_t *y, ptrdiff_t *x, ptrdiff_t columns) {
    const ptrdiff_t row = pitch * w->stride_y, from_y = *y, from_x = *x;
    map->gather = w->stride_x != 1;
    map->whole = 1;
    for (int v = 0; v < 2; v++) {
        map->start[v][0] = map->start[v][1] = 0;
        map->mask[v][0] = map->mask[v][1] = vm_none();
        const ptrdiff_t lanes = columns > v * VL ? least(columns - v * VL, VL) : 0;
        int piece = -1;
        for (ptrdiff_t lane = 0; lane < lanes;) {
            const ptrdiff_t length = least(lanes - lane, w->grid_width - *x), start = *y * row + *x - lane;
            if (piece < 0 || map->start[v][piece] != start) piece++;
            if (piece > 0) map->whole = 0;
            if (piece > 1) {
                piece = 1;
                map->gather = 1;
            }
            map->start[v][piece] = start;
            map->mask[v][piece] = vm_or(map->mask[v][piece], vm_and(vm_first(lane + length), vm_not(vm_first(lane))));
            lane += length;
            *x += length;
            if (*x == w->grid_width) {
                *x = 0;
                ++*y;
            }
        }
        map->used[v] = vm_first(lanes);
    }
    if (!map->gather) return;
    ptrdiff_t gy = from_y, gx = from_x;
    for (ptrdiff_t lane = 0; lane < columns; lane++) {
        map->index[lane] = (int32_t)(gy * row + gx * w->stride_x);
        if (++gx < w->grid_width) continue;
        gx = 0;
        gy++;
    }
}

/* panel[p, lane] = origin[offset[p] + lane's place], p < k. In the open, plain loads do, which cost half of what masked ones
 * cost. */
static void pack_pixels(const lane_map *map, const float *origin, int open, const ptrdiff_t *offset, ptrdiff_t k, float *panel) {
    if (map->gather) {
        const vi index0 = vi_load(map->index), index1 = vi_load(map->index + VL);
        const vm used0 = map->used[0], used1 = map->used[1];
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            vf_store(panel, vf_gather(origin + offset[p], index0, used0));
            vf_store(panel + VL, vf_gather(origin + offset[p], index1, used1));
        }
        return;
    }
    const float *a = origin + map->start[0][0], *b = origin + map->start[0][1];
    const float *c = origin + map->start[1][0], *d = origin + map->start[1][1];
    const vm in_a = map->mask[0][0], in_b = map->mask[0][1], in_c = map->mask[1][0], in_d = map->mask[1][1];
    if (!open) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_or(vf_load_masked(a + at, in_a), vf_load_masked(b + at, in_b)));
            vf_store(panel + VL, vf_or(vf_load_masked(c + at, in_c), vf_load_masked(d + at, in_d)));
        }
    } else if (map->whole) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_load(a + at));
            vf_store(panel + VL, vf_load(c + at));
        }
    } else {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_select(in_a, vf_load(a + at), vf_load(b + at)));
            vf_store(panel + VL, vf_select(in_c, vf_load(c + at), vf_load(d + at)));
        }
    }
}
