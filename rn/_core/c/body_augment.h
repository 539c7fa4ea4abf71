/* Images changed on their way into a model: cropped, flipped, cut, warped, coloured, scaled, mixed.
 *
 * Plain loops that compilers turn into vectors: bytes widen to floats there as they should, and no order of summation is open. */

static inline ptrdiff_t within(ptrdiff_t i, ptrdiff_t low, ptrdiff_t high) { return i < low ? low : i > high ? high : i; }

/* y[j] = x[columns - 1 - j] */
static void mirror_row(const uint8_t *restrict x, uint8_t *restrict y, ptrdiff_t columns, ptrdiff_t bytes) {
    if (bytes == 1) {
        for (ptrdiff_t j = 0; j < columns; j++) y[j] = x[columns - 1 - j];
        return;
    }
    const uint32_t *from = (const void *)x;
    uint32_t *to = (void *)y;
    for (ptrdiff_t j = 0; j < columns; j++) to[j] = from[columns - 1 - j];
}

KERNEL(crop_images) {
    const rn_crop_args *a = arguments;
    (void)scratch;
    const ptrdiff_t top = (ptrdiff_t)a->top[tile], left = (ptrdiff_t)a->left[tile], b = a->bytes;
    const int upend = a->upend[tile], mirror = a->mirror[tile];
    const uint8_t *x = a->x + tile * a->c * a->h * a->w * b;
    uint8_t *y = a->y + tile * a->c * a->oh * a->ow * b;
    if (top == 0 && left == 0 && !upend && !mirror && a->oh == a->h && a->ow == a->w) {
        memcpy(y, x, (size_t)(a->c * a->h * a->w * b));
        return;
    }
    /* columns [first, end) of an unmirrored row lie inside x */
    const ptrdiff_t first = within(-left, 0, a->ow), end = within(a->w - left, first, a->ow), columns = end - first;
    const ptrdiff_t before = mirror ? a->ow - end : first;
    if (columns < a->ow || top < 0 || top + a->oh > a->h) memset(y, 0, (size_t)(a->c * a->oh * a->ow * b));
    for (ptrdiff_t k = 0; k < a->c; k++, x += a->h * a->w * b) {
        for (ptrdiff_t r = 0; r < a->oh; r++, y += a->ow * b) {
            const ptrdiff_t row = top + (upend ? a->oh - 1 - r : r);
            if (row < 0 || row >= a->h || columns == 0) continue;
            const uint8_t *from = x + (row * a->w + left + first) * b;
            if (mirror)
                mirror_row(from, y + before * b, columns, b);
            else
                memcpy(y + before * b, from, (size_t)(columns * b));
        }
    }
}

KERNEL(cut_images) {
    const rn_cut_args *a = arguments;
    (void)scratch;
    const ptrdiff_t top = within((ptrdiff_t)a->top[tile], 0, a->h), left = within((ptrdiff_t)a->left[tile], 0, a->w);
    const ptrdiff_t below = within((ptrdiff_t)a->top[tile] + a->size, top, a->h);
    const ptrdiff_t right = within((ptrdiff_t)a->left[tile] + a->size, left, a->w);
    const ptrdiff_t all = a->c * a->h * a->w * a->bytes;
    uint8_t *y = a->y + tile * all;
    memcpy(y, a->x + tile * all, (size_t)all);
    for (ptrdiff_t k = 0; k < a->c; k++)
        for (ptrdiff_t r = top; r < below; r++)
            memset(y + ((k * a->h + r) * a->w + left) * a->bytes, 0, (size_t)((right - left) * a->bytes));
}

/* The nearest whole number, halves to the even one, of 0 <= v < 256: beside so large a number no fraction is left, and the last
 * eight bits are those of v. */
static inline uint8_t nearest(float v) {
    const float large = v + 0x1.8p23f;
    uint32_t bits;
    memcpy(&bits, &large, sizeof bits);
    return (uint8_t)bits;
}

/* n pixels from x as floats, and floats as n pixels of y. */
static void to_floats(const void *x, ptrdiff_t bytes, float *restrict y, ptrdiff_t n) {
    if (bytes == 4) {
        memcpy(y, x, (size_t)n * sizeof *y);
        return;
    }
    const uint8_t *from = x;
    for (ptrdiff_t i = 0; i < n; i++) y[i] = (float)from[i];
}

static void from_floats(const float *restrict x, void *y, ptrdiff_t bytes, ptrdiff_t n) {
    if (bytes == 4) {
        memcpy(y, x, (size_t)n * sizeof *x);
        return;
    }
    uint8_t *to = y;
    for (ptrdiff_t i = 0; i < n; i++) to[i] = nearest(x[i]);
}

/* Where the pixels of one row of y look: `at` the first float of the upper left pixel in the framed image, `right` and `below`
 * how far the place lies from it. What is outside is looked up in the frame. */
static void warp_places(const float *m, ptrdiff_t r, ptrdiff_t h, ptrdiff_t w, int32_t *restrict at, float *restrict right,
                        float *restrict below) {
    const float column0 = m[1] * (float)r + m[2], row0 = m[4] * (float)r + m[5];
    const float m0 = m[0], m3 = m[3], last_column = (float)w, last_row = (float)h;
    const int32_t width = (int32_t)w + 3;
    for (int32_t s = 0; s < (int32_t)w; s++) {
        float column = m0 * (float)s + column0, row = m3 * (float)s + row0;
        column = column > -1.0f ? column : -1.0f; /* also where the map has run over to NaN */
        row = row > -1.0f ? row : -1.0f;
        column = (column < last_column ? column : last_column) + 1.0f;
        row = (row < last_row ? row : last_row) + 1.0f;
        const int32_t i = (int32_t)row, j = (int32_t)column;
        at[s] = (i * width + j) * 4;
        below[s] = row - (float)i;
        right[s] = column - (float)j;
    }
}

/* n pixels of four planes of bytes side by side, one word each, plane k's byte in its bits 8 k and up: compilers turn shifts into
 * vectors more easily than bytes four apart. */
static void join_bytes(const uint8_t *restrict p0, const uint8_t *restrict p1, const uint8_t *restrict p2,
                       const uint8_t *restrict p3, ptrdiff_t n, uint32_t *restrict word) {
    for (ptrdiff_t s = 0; s < n; s++) {
        const uint32_t low = (uint32_t)p0[s] | (uint32_t)p1[s] << 8, high = (uint32_t)p2[s] | (uint32_t)p3[s] << 8;
        word[s] = low | high << 16;
    }
}

/* Up to four planes of x side by side into the framed image, and zeros into its frame; what stands in for planes that there are
 * not is never read. word: room for RN_WARP_ROWS rows. */
static void frame_planes(const rn_warp_args *a, ptrdiff_t plane, ptrdiff_t planes, uint32_t *restrict word,
                         float *restrict frame) {
    const ptrdiff_t size = a->h * a->w, width = a->w + 3;
    ptrdiff_t begin[4];
    for (ptrdiff_t k = 0; k < 4; k++) begin[k] = (plane + (k < planes ? k : 0)) * size;
    memset(frame, 0, (size_t)width * 4 * sizeof *frame);
    memset(frame + (a->h + 1) * width * 4, 0, (size_t)width * 8 * sizeof *frame);
    for (ptrdiff_t r = 0; r < a->h; r++) {
        float *restrict to = frame + ((r + 1) * width + 1) * 4;
        memset(to - 4, 0, 4 * sizeof *to);
        memset(to + 4 * a->w, 0, 8 * sizeof *to);
        if (a->bytes == 4) {
            const float *x = (const float *)a->x + r * a->w;
            const float *p0 = x + begin[0], *p1 = x + begin[1], *p2 = x + begin[2], *p3 = x + begin[3];
            for (ptrdiff_t s = 0; s < a->w; s++)
                to[4 * s] = p0[s], to[4 * s + 1] = p1[s], to[4 * s + 2] = p2[s], to[4 * s + 3] = p3[s];
        } else {
            const uint8_t *x = (const uint8_t *)a->x + r * a->w;
            if (r % RN_WARP_ROWS == 0)
                join_bytes(x + begin[0], x + begin[1], x + begin[2], x + begin[3], least(RN_WARP_ROWS, a->h - r) * a->w, word);
            const uint8_t *byte = (const void *)(word + r % RN_WARP_ROWS * a->w);
            for (ptrdiff_t i = 0; i < 4 * a->w; i++) to[i] = (float)byte[i];
        }
    }
}

/* One pixel between four: two of the upper row, side by side, and two of the lower, of four channels each; v down, u to the
 * right. The rows are mixed first, eight numbers at once, which compilers left to themselves take as twice four. blend_two: the
 * same of two pixels, from `first` and `second` on, whose columns are mixed at once, too. */
#if defined(__GNUC__)
typedef float eight __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16)));

static inline void blend_pixel(const float *upper, const float *lower, float u, float v, float *pixel) {
    eight a, b;
    memcpy(&a, upper, sizeof a);
    memcpy(&b, lower, sizeof b);
    const eight sides = a + (b - a) * v;
    const four left = {sides[0], sides[1], sides[2], sides[3]}, right = {sides[4], sides[5], sides[6], sides[7]};
    const four between = left + (right - left) * u;
    memcpy(pixel, &between, sizeof between);
}

static inline void blend_two(const float *first, const float *second, ptrdiff_t row, const float *u, const float *v,
                             float *pixel) {
    eight a, b, c, d;
    memcpy(&a, first, sizeof a);
    memcpy(&b, first + row, sizeof b);
    memcpy(&c, second, sizeof c);
    memcpy(&d, second + row, sizeof d);
    const eight s = a + (b - a) * v[0], t = c + (d - c) * v[1];
    const eight left = {s[0], s[1], s[2], s[3], t[0], t[1], t[2], t[3]};
    const eight right = {s[4], s[5], s[6], s[7], t[4], t[5], t[6], t[7]};
    const eight share = {u[0], u[0], u[0], u[0], u[1], u[1], u[1], u[1]};
    const eight between = left + (right - left) * share;
    memcpy(pixel, &between, sizeof between);
}
#else
static inline void blend_pixel(const float *upper, const float *lower, float u, float v, float *pixel) {
    for (int q = 0; q < 4; q++) {
        const float left = upper[q] + (lower[q] - upper[q]) * v, right = upper[q + 4] + (lower[q + 4] - upper[q + 4]) * v;
        pixel[q] = left + (right - left) * u;
    }
}

static inline void blend_two(const float *first, const float *second, ptrdiff_t row, const float *u, const float *v,
                             float *pixel) {
    blend_pixel(first, first + row, u[0], v[0], pixel);
    blend_pixel(second, second + row, u[1], v[1], pixel + 4);
}
#endif

/* n pixels, each where `at`, `right` and `below` say, of the framed image whose rows are `row` floats apart. Vectors of four hold
 * one pixel. */
static void blend_pixels(const float *restrict frame, ptrdiff_t row, ptrdiff_t n, const int32_t *restrict at,
                         const float *restrict right, const float *restrict below, float *restrict pixel) {
    ptrdiff_t s = 0;
    for (; VL > 4 && s + 2 <= n; s += 2) blend_two(frame + at[s], frame + at[s + 1], row, right + s, below + s, pixel + 4 * s);
    for (; s < n; s++) blend_pixel(frame + at[s], frame + at[s] + row, right[s], below[s], pixel + 4 * s);
}

/* n pixels of four channels side by side into the planes of y, which are `size` pixels apart; of bytes each pixel is first made
 * a word. */
static void unframe_pixels(const float *restrict pixel, uint32_t *restrict word, ptrdiff_t n, uint8_t *y, ptrdiff_t bytes,
                           ptrdiff_t size, ptrdiff_t planes) {
    uint8_t *byte = (void *)word;
    if (bytes == 1)
        for (ptrdiff_t i = 0; i < 4 * n; i++) byte[i] = nearest(pixel[i]);
    for (ptrdiff_t k = 0; k < planes; k++) {
        if (bytes == 1) {
            uint8_t *restrict to = y + k * size;
            for (ptrdiff_t s = 0; s < n; s++) to[s] = (uint8_t)(word[s] >> 8 * k);
        } else {
            float *restrict to = (float *)(void *)y + k * size;
            for (ptrdiff_t s = 0; s < n; s++) to[s] = pixel[4 * s + k];
        }
    }
}

KERNEL(warp_images) {
    const rn_warp_args *a = arguments;
    const ptrdiff_t width = a->w + 3, framed = (a->h + 3) * width * 4, size = a->h * a->w, room = RN_WARP_ROWS * a->w;
    float *frame = scratch, *pixel = frame + framed, *right = pixel + 4 * room, *below = right + room;
    int32_t *at = (int32_t *)(below + room);
    uint32_t *word = (uint32_t *)(at + room);
    for (ptrdiff_t k = 0; k < a->c; k += 4) {
        const ptrdiff_t plane = tile * a->c + k, planes = least(4, a->c - k);
        frame_planes(a, plane, planes, word, frame);
        for (ptrdiff_t r = 0; r < a->h; r += RN_WARP_ROWS) {
            const ptrdiff_t rows = least(RN_WARP_ROWS, a->h - r), n = rows * a->w;
            for (ptrdiff_t i = 0; i < rows; i++)
                warp_places(a->map + tile * 6, r + i, a->h, a->w, at + i * a->w, right + i * a->w, below + i * a->w);
            blend_pixels(frame, 4 * width, n, at, right, below, pixel);
            uint8_t *y = (uint8_t *)a->y + (plane * size + r * a->w) * a->bytes;
            unframe_pixels(pixel, word, n, y, a->bytes, size, planes);
        }
    }
}

/* NaN stays, so that who trains on it hears of it. */
static inline float clip_to(float v, float highest) {
    v = v <= 0.0f ? 0.0f : v;
    return v > highest ? highest : v;
}

static inline float grey(float red, float green, float blue) { return 0.299f * red + 0.587f * green + 0.114f * blue; }

/* The mean grey of an image, summed in sixteen columns. */
static float mean_grey(const float *p, ptrdiff_t c, ptrdiff_t size) {
    enum { COLUMNS = 16 };
    double column[COLUMNS] = {0};
    for (ptrdiff_t i = 0; i < size; i += COLUMNS) {
        const ptrdiff_t n = least(COLUMNS, size - i);
        const float *own = p + i;
        if (c == 3)
            for (ptrdiff_t j = 0; j < n; j++) column[j] += (double)grey(own[j], own[size + j], own[2 * size + j]);
        else
            for (ptrdiff_t j = 0; j < n; j++) column[j] += (double)own[j];
    }
    double total = 0.0;
    for (int j = 0; j < COLUMNS; j++) total += column[j];
    return (float)(total / (double)size);
}

KERNEL(jitter_images) {
    const rn_jitter_args *a = arguments;
    const ptrdiff_t all = a->c * a->size;
    const float brightness = a->factor[3 * tile], contrast = a->factor[3 * tile + 1], saturation = a->factor[3 * tile + 2];
    const float highest = a->highest;
    float *restrict p = scratch;
    to_floats((const char *)a->x + tile * all * a->bytes, a->bytes, p, all);
    if (brightness != 1.0f)
        for (ptrdiff_t i = 0; i < all; i++) p[i] = clip_to(p[i] * brightness, highest);
    if (contrast != 1.0f) {
        const float mean = mean_grey(p, a->c, a->size);
        for (ptrdiff_t i = 0; i < all; i++) p[i] = clip_to((p[i] - mean) * contrast + mean, highest);
    }
    if (saturation != 1.0f && a->c == 3) {
        float *restrict red = p, *restrict green = p + a->size, *restrict blue = p + 2 * a->size;
        for (ptrdiff_t i = 0; i < a->size; i++) {
            const float own = grey(red[i], green[i], blue[i]);
            red[i] = clip_to((red[i] - own) * saturation + own, highest);
            green[i] = clip_to((green[i] - own) * saturation + own, highest);
            blue[i] = clip_to((blue[i] - own) * saturation + own, highest);
        }
    }
    from_floats(p, (char *)a->y + tile * all * a->bytes, a->bytes, all);
}

KERNEL(scale_images) {
    const rn_scale_args *a = arguments;
    (void)scratch;
    for (ptrdiff_t k = 0; k < a->c; k++) {
        const ptrdiff_t begin = (tile * a->c + k) * a->size;
        const float scale = a->scale[k], shift = a->shift[k];
        float *restrict y = a->y + begin;
        if (a->bytes == 4) {
            const float *restrict x = (const float *)a->x + begin;
            for (ptrdiff_t i = 0; i < a->size; i++) y[i] = x[i] * scale + shift;
        } else {
            const uint8_t *restrict x = (const uint8_t *)a->x + begin;
            for (ptrdiff_t i = 0; i < a->size; i++) y[i] = (float)x[i] * scale + shift;
        }
    }
}

KERNEL(mix_rows) {
    const rn_mix_args *a = arguments;
    (void)scratch;
    const float share = a->share[tile], rest = 1.0f - share;
    const ptrdiff_t begin = tile * a->size;
    float *restrict y = a->y + begin;
    if (a->bytes == 4) {
        const float *restrict x = (const float *)a->x + begin, *restrict other = (const float *)a->other + begin;
        for (ptrdiff_t i = 0; i < a->size; i++) y[i] = share * x[i] + rest * other[i];
    } else {
        const uint8_t *restrict x = (const uint8_t *)a->x + begin, *restrict other = (const uint8_t *)a->other + begin;
        for (ptrdiff_t i = 0; i < a->size; i++) y[i] = share * (float)x[i] + rest * (float)other[i];
    }
}
