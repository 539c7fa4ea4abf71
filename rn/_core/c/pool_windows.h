/* Windows of 2 x 2, side by side, in the lanes: the pixels that a convolution's taps read for them.
 *
 * Tap (i, j) of cell (dy, dx) reads line (i + dy, j + dx): row i + dy of the image from the window's first on, every second pixel
 * from column j + dx on. So the four cells share lines: tap_rows + 1 rows of tap_columns + 1 a channel, packed in pairs. Up to
 * two vectors behind the last pixel are read, which `open` allows and a copy has room for. */

enum { CELLS = 4 };

/* VL windows, row by row of the output, and where their pixels lie: the lanes of a row behind those of the rows before
 * are read from a corner as if their row began with the vector. */
typedef struct {
    const float *corner[VL]; /* the pixel of lane 0, in the first plane, were all lanes of this row */
    vm from[VL];             /* the lanes of this row and of those below */
    vm used;
    ptrdiff_t rows;
    const float *end; /* what is not read; NULL: all may be */
} window_lanes;

/* Those from window `first` on, of `windows` in rows of `width`. */
static window_lanes find_windows(ptrdiff_t first, ptrdiff_t windows, ptrdiff_t width, const image_part *part, const float *end) {
    window_lanes lanes = {.rows = 0, .end = end};
    const ptrdiff_t count = least(VL, windows - first);
    lanes.used = vm_first(count);
    for (ptrdiff_t lane = 0, next; lane < count; lane = next) {
        const ptrdiff_t y = (first + lane) / width, x = (first + lane) % width;
        lanes.corner[lanes.rows] = part->origin + 2 * y * part->pitch + 2 * (x - lane);
        lanes.from[lanes.rows++] = vm_not(vm_first(lane));
        next = lane + width - x;
    }
    return lanes;
}

/* [channels, tap_rows + 1, RN_LINES(tap_columns)] lines; 0 in lanes that are not used. */
static void pack_windows(const rn_window *w, ptrdiff_t channels, const image_part *part, const window_lanes *lanes, float *line) {
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = 0; i <= w->tap_rows; i++)
            for (ptrdiff_t j = 0; j <= w->tap_columns; j += 2, line += 2 * VL) {
                const ptrdiff_t at = c * part->plane + i * part->pitch + j;
                vf even, odd;
                load_pairs(0, lanes->corner[0] + at, lanes->end, &even, &odd);
                for (ptrdiff_t r = 1; r < lanes->rows; r++) {
                    vf even_below, odd_below;
                    load_pairs(0, lanes->corner[r] + at, lanes->end, &even_below, &odd_below);
                    even = vf_select(lanes->from[r], even_below, even);
                    odd = vf_select(lanes->from[r], odd_below, odd);
                }
                vf_store(line, vf_where(lanes->used, even));
                vf_store(line + VL, vf_where(lanes->used, odd));
            }
}
