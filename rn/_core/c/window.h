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

/* Rows or columns of the grid. */
typedef struct {
    ptrdiff_t first, count;
} grid_range;

static inline grid_range clip_range(grid_range range, ptrdiff_t first, ptrdiff_t count) {
    const ptrdiff_t end = least(range.first + range.count, first + count);
    if (range.first > first) first = range.first;
    return (grid_range){first, first < end ? end - first : 0};
}

/* ranges[i]: those whose tap i, first + i step away from them, lies inside an image of `length` rows or columns. */
static void find_ranges(grid_range *ranges, ptrdiff_t taps, ptrdiff_t first, ptrdiff_t step, ptrdiff_t stride, ptrdiff_t length,
                        ptrdiff_t grid) {
    for (ptrdiff_t i = 0; i < taps; i++) {
        const ptrdiff_t at = first + i * step;
        const ptrdiff_t low = at < 0 ? (-at + stride - 1) / stride : 0;
        const ptrdiff_t high = length > at ? (length - at + stride - 1) / stride : 0;
        ranges[i] = clip_range((grid_range){low, high - low}, 0, grid);
    }
}
static void find_row_ranges(grid_range *ranges, const rn_window *w) {
    find_ranges(ranges, w->tap_rows, w->first_y, w->tap_step_y, w->stride_y, w->height, w->grid_height);
}
static void find_column_ranges(grid_range *ranges, const rn_window *w) {
    find_ranges(ranges, w->tap_columns, w->first_x, w->tap_step_x, w->stride_x, w->width, w->grid_width);
}

/* What a tile reads: `channels` planes from `planes` on, for grid rows from grid_y on and grid columns from grid_x on. */
typedef struct {
    const float *origin; /* of the lowest tap at the tile's first grid row and column, in the first plane */
    ptrdiff_t pitch, plane;
    int open; /* a vector's length before the first and two after the last float may be read, though they mean nothing */
} image_part;

static void copy_row(float *to, const float *from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_load_first(from + i, n - i));
}
static void zero_row(float *to, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i += VL) vf_store_first(to + i, n - i, vf_zero());
}

/* Copies rows and columns of the image from (y, x) on, which may lie outside, into `to`, [channels, rows, columns].
 *
 * Whole vectors are written, COPIED of them side by side, row by row. What reaches beyond a row's end is overwritten by the next
 * row, for the last columns of a plane go first; beyond the last row `to` must have room for a vector. */
enum { COPIED = 8 };
static void copy_padded(float *to, const float *planes, const rn_window *w, ptrdiff_t channels, ptrdiff_t y, ptrdiff_t x,
                        ptrdiff_t rows, ptrdiff_t columns) {
    for (ptrdiff_t j = (columns - 1) / (COPIED * VL) * COPIED * VL; j >= 0; j -= COPIED * VL) {
        const ptrdiff_t vectors = least(COPIED, (columns - j + VL - 1) / VL);
        vm inside[COPIED];
        for (ptrdiff_t v = 0; v < vectors; v++) {
            const ptrdiff_t at = x + j + v * VL;
            inside[v] = vm_and(vm_first(w->width > at ? w->width - at : 0), vm_not(vm_first(at < 0 ? -at : 0)));
        }
        float *target = to + j;
        for (ptrdiff_t c = 0; c < channels; c++) {
            const float *source = planes + (c * w->height + y) * w->width + x + j;
            for (ptrdiff_t r = y; r < y + rows; r++, source += w->width, target += columns) {
                if (r >= 0 && r < w->height)
                    for (ptrdiff_t v = 0; v < vectors; v++) vf_store(target + v * VL, vf_load_masked(source + v * VL, inside[v]));
                else
                    for (ptrdiff_t v = 0; v < vectors; v++) vf_store(target + v * VL, vf_zero());
            }
        }
    }
}

/* The part that grid positions (grid_y + rows, grid_x + columns) need of `channels` planes from plane number `plane` on, of
 * `planes`; through `copy`, which has room for a vector before and two behind, where the taps leave the image. */
static image_part part_of_image(const rn_window *w, const float *image, ptrdiff_t planes, ptrdiff_t plane, ptrdiff_t channels,
                                ptrdiff_t grid_y, ptrdiff_t rows, ptrdiff_t grid_x, ptrdiff_t columns, float *copy) {
    const ptrdiff_t y = grid_y * w->stride_y + low_y(w), x = grid_x * w->stride_x + low_x(w);
    const ptrdiff_t size = w->height * w->width, first = plane * size + y * w->width + x;
    const ptrdiff_t high = reach(rows, w->stride_y, w->tap_step_y, w->tap_rows);
    const ptrdiff_t wide = reach(columns, w->stride_x, w->tap_step_x, w->tap_columns);
    if (!w->padded) {
        const ptrdiff_t last = first + (channels - 1) * size + (high - 1) * w->width + wide - 1;
        return (image_part){image + first, w->width, size, first >= VL && last + 2 * VL < planes * size};
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

/* How the lanes of a panel's two vectors are read, the same way for both: as one load each; of two loads, lane by lane one or the
 * other; from two windows of 2 VL floats, lane by lane any float of one or the other; or wherever they lie. */
typedef enum { LANES_WHOLE, LANES_SPLIT, LANES_PICK, LANES_GATHER } lane_way;

/* Where the lanes of a panel lie from the origin; lanes beyond the last position read anything. start: SPLIT, of lane 0, had the
 * piece begun there; PICK, of the window. */
typedef struct {
    lane_way way;
    ptrdiff_t start[2][2]; /* vector, piece or window */
    vm second[2], used[2]; /* lanes that read the second piece or window; lanes that mean something */
    int32_t index[2 * VL]; /* PICK: in the window, GATHER: from the origin */
    int one_window;        /* PICK: no lane reads a second one */
} lane_map;

/* The pieces of one vector, whose `lanes` first lanes begin at grid position (y, x): at most two where they lie in two rows. */
static lane_way split_lanes(lane_map *map, int v, const rn_window *w, ptrdiff_t row, ptrdiff_t y, ptrdiff_t x, ptrdiff_t lanes) {
    const ptrdiff_t border = w->grid_width - x; /* the first lane of the second piece */
    map->start[v][0] = map->start[v][1] = y * row + x * w->stride_x;
    map->second[v] = vm_none();
    map->used[v] = vm_first(lanes);
    if (lanes == 0) map->start[v][0] = map->start[v][1] = 0;
    if (w->stride_x != 1) return LANES_PICK;
    if (lanes <= border) return LANES_WHOLE;
    map->start[v][1] = (y + 1) * row - border;
    map->second[v] = vm_not(vm_first(border));
    return lanes <= border + w->grid_width ? LANES_SPLIT : LANES_PICK;
}

/* Its windows: the second begins where the first one's reach ends. */
static lane_way pick_lanes(lane_map *map, int v, const int32_t *place, ptrdiff_t lanes) {
    ptrdiff_t border = VL;
    for (ptrdiff_t l = 0; l < lanes; l++) {
        if (border == VL && place[l] >= place[0] + 2 * VL) border = l;
        const ptrdiff_t inside = place[l] - place[l < border ? 0 : border];
        if (inside >= 2 * VL) return LANES_GATHER;
        map->index[v * VL + l] = (int32_t)inside;
    }
    map->start[v][0] = lanes > 0 ? place[0] : 0;
    map->start[v][1] = border < VL ? place[border] : map->start[v][0];
    map->second[v] = vm_not(vm_first(border));
    if (border < VL) map->one_window = 0;
    return LANES_PICK;
}

/* Maps the next `columns` <= PANEL positions, row by row through the grid, and moves (y, x) behind them; y counts from the first
 * grid row of the part. */
static void map_lanes(lane_map *map, const rn_window *w, ptrdiff_t pitch, ptrdiff_t *y, ptrdiff_t *x, ptrdiff_t columns) {
    const ptrdiff_t row = pitch * w->stride_y, lanes[2] = {least(columns, VL), columns > VL ? columns - VL : 0};
    ptrdiff_t at_y = *y, at_x = *x;
    map->way = LANES_WHOLE;
    map->one_window = 1;
    for (int v = 0; v < 2; v++) {
        const lane_way way = split_lanes(map, v, w, row, at_y, at_x, lanes[v]);
        if (way > map->way) map->way = way;
        for (at_x += lanes[v]; at_x >= w->grid_width; at_x -= w->grid_width) at_y++;
    }
    if (map->way == LANES_PICK) {
        int32_t place[2 * VL] = {0};
        for (ptrdiff_t lane = 0; lane < columns; lane++) {
            place[lane] = (int32_t)(*y * row + *x * w->stride_x);
            if (++*x < w->grid_width) continue;
            *x = 0;
            ++*y;
        }
        for (int v = 0; v < 2 && map->way == LANES_PICK; v++) map->way = pick_lanes(map, v, place + v * VL, lanes[v]);
        if (map->way == LANES_GATHER) memcpy(map->index, place, sizeof place);
    }
    *y = at_y;
    *x = at_x;
}

static void gather_pixels(const lane_map *map, const float *origin, const ptrdiff_t *offset, ptrdiff_t k, float *panel) {
    vi place[2];
    for (int v = 0; v < 2; v++) {
        place[v] = vi_load(map->index + v * VL);
        if (map->way == LANES_GATHER) continue;
        const vi first = vi_set((int32_t)map->start[v][0]), second = vi_set((int32_t)map->start[v][1]);
        place[v] = vi_add(place[v], vi_select(map->second[v], second, first));
    }
    for (ptrdiff_t p = 0; p < k; p++, panel += PANEL)
        for (int v = 0; v < 2; v++) vf_store(panel + v * VL, vf_gather(origin + offset[p], place[v], map->used[v]));
}

/* panel[p, lane] = origin[offset[p] + lane's place], p < k. What is not open is gathered or read under masks. */
static void pack_pixels(const lane_map *map, const float *origin, int open, const ptrdiff_t *offset, ptrdiff_t k, float *panel) {
    const float *a = origin + map->start[0][0], *b = origin + map->start[0][1];
    const float *c = origin + map->start[1][0], *d = origin + map->start[1][1];
    const vm second0 = map->second[0], second1 = map->second[1];
    const vi index0 = vi_load(map->index), index1 = vi_load(map->index + VL);
    if (open && map->way == LANES_WHOLE) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_load(a + at));
            vf_store(panel + VL, vf_load(c + at));
        }
    } else if (open && map->way == LANES_SPLIT) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_select(second0, vf_load(b + at), vf_load(a + at)));
            vf_store(panel + VL, vf_select(second1, vf_load(d + at), vf_load(c + at)));
        }
    } else if (open && map->way == LANES_PICK && map->one_window) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_pick(vf_load(a + at), vf_load(a + at + VL), index0));
            vf_store(panel + VL, vf_pick(vf_load(c + at), vf_load(c + at + VL), index1));
        }
    } else if (open && map->way == LANES_PICK) {
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            const vf low = vf_pick(vf_load(a + at), vf_load(a + at + VL), index0);
            const vf high = vf_pick(vf_load(c + at), vf_load(c + at + VL), index1);
            vf_store(panel, vf_select(second0, vf_pick(vf_load(b + at), vf_load(b + at + VL), index0), low));
            vf_store(panel + VL, vf_select(second1, vf_pick(vf_load(d + at), vf_load(d + at + VL), index1), high));
        }
    } else if (map->way <= LANES_SPLIT) {
        const vm in_a = vm_and(map->used[0], vm_not(second0)), in_b = vm_and(map->used[0], second0);
        const vm in_c = vm_and(map->used[1], vm_not(second1)), in_d = vm_and(map->used[1], second1);
        for (ptrdiff_t p = 0; p < k; p++, panel += PANEL) {
            const ptrdiff_t at = offset[p];
            vf_store(panel, vf_or(vf_load_masked(a + at, in_a), vf_load_masked(b + at, in_b)));
            vf_store(panel + VL, vf_or(vf_load_masked(c + at, in_c), vf_load_masked(d + at, in_d)));
        }
    } else {
        gather_pixels(map, origin, offset, k, panel);
    }
}
