/* The gradient of a convolution by its weights, a product over positions: rows of x, one for each tap of each channel, are
 * broadcast from where they lie against a panel of dy that is turned so that filters are in the lanes. */

/* Positions of an image that are summed in one chain. */
typedef struct {
    ptrdiff_t y, x, rows, columns;
} position_block;

/* The positions whose tap lies inside the image, by the tap's row and column. */
typedef struct {
    grid_range *rows, *columns;
} tap_ranges;

/* Some rows of x, origin + offset[k], and after them that of ones unless it is NULL, times the panel. c moves on. */
static void multiply_rows(micro_tile *t, const float *origin, const ptrdiff_t *offset, ptrdiff_t rows, const float *ones,
                          rows_ahead *next) {
    const micro_kernel *kernels = MICRO_KERNELS[t->b_step / VL - 1];
    const int tall = t->b_step == PANEL && takes_tall_tiles(t), most = tall ? ROWS : TILE_ROWS[t->b_step / VL - 1];
    const ptrdiff_t all = rows + (ones != NULL);
    for (ptrdiff_t k = 0, take; k < all; k += take) {
        take = next_rows(all - k, most);
        ask_on(ASK_NEAR, next, take);
        for (ptrdiff_t i = 0; i < take; i++) t->row[i] = k + i < rows ? origin + offset[k + i] : ones;
        kernels[take - 1](t);
        t->c += take * t->c_row;
    }
}

/* The rows of x of all taps, each over the positions whose tap lies inside the image. plane[k] is where a channel begins. */
static void multiply_taps(const micro_tile *whole, const rn_window *w, const tap_ranges *inside, const position_block *block,
                          const float *x, const ptrdiff_t *plane, ptrdiff_t channels, rows_ahead *next, rows_ahead *next_x) {
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, most = TILE_ROWS[whole->b_step / VL - 1];
    micro_tile t = *whole;
    t.c_row = taps * whole->c_row;
    for (ptrdiff_t k = 0, take; k < channels; k += take) {
        take = next_rows(channels - k, most);
        for (ptrdiff_t tap = 0, i = 0, j = 0; tap < taps; tap++, j = j + 1 < w->tap_columns ? j + 1 : 0, i += j == 0) {
            const grid_range rows = clip_range(inside->rows[i], block->y, block->rows);
            const grid_range columns = clip_range(inside->columns[j], block->x, block->columns);
            t.runs = columns.count > 0 ? rows.count : 0;
            t.run = columns.count;
            if (t.add && t.runs == 0) continue;
            t.b = whole->b + ((rows.first - block->y) * block->columns + columns.first - block->x) * t.b_step;
            t.b_turn = (block->columns - columns.count) * t.b_step;
            t.c = whole->c + (k * taps + tap) * whole->c_row;
            const ptrdiff_t down = rows.first * w->stride_y + w->first_y + i * w->tap_step_y;
            const ptrdiff_t across = columns.first * w->stride_x + w->first_x + j * w->tap_step_x;
            ask_on(ASK_FAR, next_x, take);
            multiply_rows(&t, t.runs > 0 ? x + down * w->width + across : x, plane + k, take, NULL, next);
        }
    }
}

KERNEL(weight_gradient) {
    const rn_weight_gradient_args *a = arguments;
    const rn_window *w = &a->window;
    const ptrdiff_t filter_block = tile % a->filter_blocks, channel_block = tile / a->filter_blocks % a->channel_blocks;
    const ptrdiff_t group = tile / (a->filter_blocks * a->channel_blocks) % a->groups;
    const ptrdiff_t split = tile / (a->filter_blocks * a->channel_blocks * a->groups);
    const ptrdiff_t first_filter = filter_block * a->filter_block, filters = least(a->filter_block, a->filters - first_filter);
    const ptrdiff_t first_channel = channel_block * a->channel_block,
                    channels = least(a->channel_block, a->channels - first_channel);
    const ptrdiff_t taps = w->tap_rows * w->tap_columns, pixels = w->grid_height * w->grid_width, plane = w->height * w->width;
    const int with_bias = a->with_bias && channel_block == a->channel_blocks - 1;
    const ptrdiff_t rows = channels * taps + with_bias;

    ptrdiff_t *offset = scratch; /* [channel_block * taps] */
    tap_ranges inside = {.rows = (grid_range *)(offset + a->channel_block * taps)};
    inside.columns = inside.rows + w->tap_rows;
    find_row_ranges(inside.rows, w);
    find_column_ranges(inside.columns, w);
    float *panel = (float *)(offset + RN_ROW_LIST(a->channel_block * taps, w->tap_rows, w->tap_columns));
    float *all_ones = panel + RN_KC * RN_WIDE_PANEL; /* read like a channel of the image: its gradient is that of the bias */
    float *copy = all_ones + a->ones;
    const float *ones = with_bias ? all_ones : NULL;
    for (ptrdiff_t i = 0; i < a->ones && with_bias; i++) all_ones[i] = 1.0f;
    for (ptrdiff_t c = 0; c < channels && a->by_taps; c++) offset[c] = c * plane;

    float *partial =
        a->partial + ((split * a->groups + group) * (a->channels * taps + 1) + first_channel * taps) * a->filters + first_filter;
    micro_tile t = {.a_step = w->stride_x, .c_row = a->filters};
    for (ptrdiff_t image = a->images * split / a->splits; image < a->images * (split + 1) / a->splits; image++) {
        const ptrdiff_t first_plane = (image * a->groups + group) * a->channels + first_channel;
        const float *dy = a->dy + ((image * a->groups + group) * a->filters + first_filter) * pixels;
        const ptrdiff_t panels = (filters + PANEL - 1) / PANEL, blocks = (w->grid_height + a->block_rows - 1) / a->block_rows;
        rows_ahead next_x = {.from = a->x + (first_plane + a->groups * a->channels) * plane, .row = plane, .n = plane};
        next_x.count = image + 1 < a->images ? channels : 0;
        next_x.work = channels * taps * panels * blocks;
        position_block block;
        for (block.y = 0; block.y < w->grid_height; block.y += a->block_rows) {
            block.rows = least(a->block_rows, w->grid_height - block.y);
            for (block.x = 0; block.x < w->grid_width; block.x += a->block_columns) {
                block.columns = least(a->block_columns, w->grid_width - block.x);
                image_part part = {a->x + first_plane * plane, w->width, plane, 0};
                if (!a->by_taps) {
                    part = part_of_image(w, a->x, a->images * a->groups * a->channels, first_plane, channels, block.y, block.rows,
                                         block.x, block.columns, copy);
                    tap_offsets(w, &part, 0, channels * taps, offset);
                }
                t.runs = block.rows;
                t.run = block.columns;
                t.a_turn = w->stride_y * part.pitch;
                for (ptrdiff_t m = 0; m < filters; m += t.columns) {
                    t.columns = next_columns(filters - m);
                    t.b_step = (t.columns + VL - 1) / VL * VL;
                    t.b = panel;
                    t.c = partial + m;
                    const float *from = dy + m * pixels + block.y * w->grid_width + block.x;
                    if (t.run == w->grid_width)
                        pack_transposed(from, pixels, t.runs * t.run, t.columns, panel, t.b_step);
                    else
                        for (ptrdiff_t r = 0; r < t.runs; r++)
                            pack_transposed(from + r * w->grid_width, pixels, t.run, t.columns, panel + r * t.run * t.b_step,
                                            t.b_step);
                    const int last_panel = m + t.columns >= filters, last_rows = block.y + block.rows >= w->grid_height;
                    rows_ahead next = {from + t.columns * pixels, t.columns, pixels, t.runs * t.run, rows, 0, 0};
                    if (last_panel)
                        next.from =
                            last_rows ? dy + a->groups * a->filters * pixels : from + block.rows * w->grid_width - m * pixels;
                    if (a->by_taps) {
                        multiply_taps(&t, w, &inside, &block, part.origin, offset, channels, &next, &next_x);
                        t.c += channels * taps * t.c_row;
                        multiply_rows(&t, NULL, NULL, 0, ones, &next);
                    } else {
                        multiply_rows(&t, part.origin, offset, channels * taps, ones, &next);
                    }
                }
                t.add = 1;
            }
        }
    }
    if (t.add) return;
    for (ptrdiff_t k = 0; k < rows; k++)
        zero_row(partial + k * a->filters, filters); /* there was no image, or none with pixels */
}

KERNEL(sum_splits) {
    const rn_sum_splits_args *a = arguments;
    float *sum = scratch; /* [RN_SUM_BLOCK, RN_SUM_BLOCK] */
    const ptrdiff_t all_rows = a->rows + (a->dbias != NULL), row_tiles = (all_rows + RN_SUM_BLOCK - 1) / RN_SUM_BLOCK;
    const ptrdiff_t column_tiles = (a->filters + RN_SUM_BLOCK - 1) / RN_SUM_BLOCK;
    const ptrdiff_t group = tile / (row_tiles * column_tiles);
    const ptrdiff_t row = tile / column_tiles % row_tiles * RN_SUM_BLOCK, column = tile % column_tiles * RN_SUM_BLOCK;
    const ptrdiff_t rows = least(RN_SUM_BLOCK, all_rows - row), columns = least(RN_SUM_BLOCK, a->filters - column);
    const ptrdiff_t matrix = (a->rows + 1) * a->filters;
    const float *partial = a->partial + group * matrix + row * a->filters + column;
    for (ptrdiff_t i = 0; i < rows; i++) {
        for (ptrdiff_t j = 0; j < columns; j += VL) {
            const float *from = partial + i * a->filters + j;
            vf total = vf_load_first(from, columns - j);
            for (ptrdiff_t s = 1; s < a->splits; s++)
                total = vf_add(total, vf_load_first(from + s * a->groups * matrix, columns - j));
            vf_store(sum + i * RN_SUM_BLOCK + j, total);
        }
    }
    if (a->swapped) {
        float *to = a->dweight + (group * a->rows + row) * a->filters + column;
        for (ptrdiff_t i = 0; i < rows; i++) copy_row(to + i * a->filters, sum + i * RN_SUM_BLOCK, columns);
        return;
    }
    const ptrdiff_t first_filter = group * a->filters + column;
    transpose(sum, RN_SUM_BLOCK, least(rows, a->rows - row), columns, a->dweight + first_filter * a->rows + row, a->rows);
    if (a->dbias != NULL && row + rows > a->rows) copy_row(a->dbias + first_filter, sum + (rows - 1) * RN_SUM_BLOCK, columns);
}
