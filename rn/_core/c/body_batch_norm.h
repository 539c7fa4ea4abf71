/* Normalisation of every channel over the batch (Ioffe and Szegedy 2015). Two ways through a channel: of images, vectors run
 * along its planes (*_channel); of vectors of features, s = 1, each lane is a channel of its own (*_columns). */

/* Some whole planes of a channel, or a part of one. */
typedef struct {
    ptrdiff_t image, at; /* where it begins */
    ptrdiff_t rows, length;
} channel_piece;

static inline channel_piece piece_from(ptrdiff_t n, ptrdiff_t s, ptrdiff_t image, ptrdiff_t at) {
    const ptrdiff_t rows = s < RN_BATCH_NORM_PIECE ? RN_BATCH_NORM_PIECE / s : 1;
    return (channel_piece){image, at, least(rows, n - image), least(RN_BATCH_NORM_PIECE, s - at)};
}
static inline channel_piece next_piece(ptrdiff_t n, ptrdiff_t s, channel_piece p) {
    return p.at + p.length < s ? piece_from(n, s, p.image, p.at + p.length) : piece_from(n, s, p.image + p.rows, 0);
}

/* Count, mean and sum of squared distances from it. */
typedef struct {
    double count, mean, squares;
} moments;

/* The moments with `count` more values, given the sums of their distances, and of these squared, from `pivot`. */
static inline moments with_piece(moments m, double count, double pivot, double sum, double squares) {
    const double from_pivot = sum / count, delta = pivot + from_pivot - m.mean, total = m.count + count;
    return (moments){total, m.mean + delta * (count / total),
                     m.squares + (squares - sum * from_pivot) + delta * delta * (m.count * count / total)};
}

/* The sums of d and d^2, d = x - pivot, over `rows` rows of `length` neighbours, in four chains. */
static inline void distance_sums(const float *x, ptrdiff_t rows, ptrdiff_t length, ptrdiff_t stride, float pivot, double *sum,
                                 double *squares) {
    vf sums[4], squared[4];
    for (int k = 0; k < 4; k++) sums[k] = squared[k] = vf_zero();
    for (ptrdiff_t i = 0; i < rows; i++, x += stride) {
        ptrdiff_t j = 0;
        for (; j + 4 * VL <= length; j += 4 * VL)
            for (int k = 0; k < 4; k++) {
                const vf d = vf_sub(vf_load(x + j + k * VL), vf_set(pivot));
                sums[k] = vf_add(sums[k], d);
                squared[k] = vf_fma(d, d, squared[k]);
            }
        for (; j < length; j += VL) {
            const vf d = vf_where(vm_first(length - j), vf_sub(vf_load_first(x + j, length - j), vf_set(pivot)));
            sums[0] = vf_add(sums[0], d);
            squared[0] = vf_fma(d, d, squared[0]);
        }
    }
    *sum = vf_sum_double(vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3])));
    *squares = vf_sum_double(vf_add(vf_add(squared[0], squared[1]), vf_add(squared[2], squared[3])));
}

/* The first piece is looked at twice: the first time for its mean alone. */
static moments channel_moments(const rn_batch_norm_args *a, const float *x) {
    moments m = {0.0, 0.0, 0.0};
    const ptrdiff_t stride = a->c * a->s;
    for (channel_piece p = piece_from(a->n, a->s, 0, 0); p.rows > 0; p = next_piece(a->n, a->s, p)) {
        const float *from = x + p.image * stride + p.at;
        const double count = (double)(p.rows * p.length);
        double sum, squares;
        if (m.count == 0.0) {
            distance_sums(from, p.rows, p.length, stride, *from, &sum, &squares);
            m.mean = (double)*from + sum / count;
        }
        const float pivot = (float)m.mean;
        distance_sums(from, p.rows, p.length, stride, pivot, &sum, &squares);
        m = with_piece(m, count, (double)pivot, sum, squares);
    }
    return m;
}

/* Move the running statistics of a channel by the batch's. */
static inline void follow(const rn_batch_norm_args *a, ptrdiff_t channel, moments m) {
    float *mean = a->running_mean + channel, *variance = a->running_var + channel;
    const double stays = 1.0 - a->momentum;
    *mean = (float)(stays * (double)*mean + a->momentum * m.mean);
    if (m.count > 1.0) *variance = (float)(stays * (double)*variance + a->momentum * (m.squares / (m.count - 1.0)));
}

/* Write what normalises a channel to `saved`; `m` are the moments of the batch, if those count. */
static inline void settle(const rn_batch_norm_args *a, ptrdiff_t channel, moments m) {
    double mean = (double)a->running_mean[channel], variance = (double)a->running_var[channel];
    if (a->by_batch && m.count > 0.0) {
        m.squares = m.squares < 0.0 ? 0.0 : m.squares;
        mean = m.mean;
        variance = m.squares / m.count;
        if (a->momentum != 0.0) follow(a, channel, m);
    }
    const double inverse = 1.0 / sqrt(variance + a->epsilon), rest = mean - (double)(float)mean;
    const double scale = a->weight == NULL ? inverse : (double)a->weight[channel] * inverse;
    const double bias = a->bias == NULL ? 0.0 : (double)a->bias[channel];
    float *saved = a->saved + channel;
    saved[RN_SAVED_MEAN * a->c] = (float)mean;
    saved[RN_SAVED_REST * a->c] = (float)rest;
    saved[RN_SAVED_INVERSE * a->c] = (float)inverse;
    saved[RN_SAVED_SCALE * a->c] = (float)scale;
    saved[RN_SAVED_SHIFT * a->c] = (float)(bias - rest * scale);
}

/* What normalises a channel, or VL of them. */
typedef struct {
    vf mean, scale, shift;
} norm_line;

static inline norm_line line_of_channel(const float *saved, ptrdiff_t c, ptrdiff_t channel) {
    saved += channel;
    return (norm_line){vf_set(saved[RN_SAVED_MEAN * c]), vf_set(saved[RN_SAVED_SCALE * c]), vf_set(saved[RN_SAVED_SHIFT * c])};
}
static inline norm_line line_of_columns(const float *saved, ptrdiff_t c, ptrdiff_t j) {
    saved += j;
    return (norm_line){vf_load_first(saved + RN_SAVED_MEAN * c, c - j), vf_load_first(saved + RN_SAVED_SCALE * c, c - j),
                       vf_load_first(saved + RN_SAVED_SHIFT * c, c - j)};
}

static RN_ALWAYS_INLINE vf normalized(int code, float alpha, vf x, norm_line line) {
    return v_activate(code, alpha, vf_fma(vf_sub(x, line.mean), line.scale, line.shift));
}

static RN_ALWAYS_INLINE void normalize_channel(int code, const rn_batch_norm_args *a, ptrdiff_t channel) {
    moments m = {0.0, 0.0, 0.0};
    if (a->by_batch) m = channel_moments(a, a->x + channel * a->s);
    settle(a, channel, m);
    const norm_line line = line_of_channel(a->saved, a->c, channel);
    for (ptrdiff_t i = 0; i < a->n; i++) {
        const float *x = a->x + (i * a->c + channel) * a->s;
        float *y = a->y + (i * a->c + channel) * a->s;
        for (ptrdiff_t j = 0; j < a->s; j += VL)
            vf_store_first(y + j, a->s - j, normalized(code, a->alpha, vf_load_first(x + j, a->s - j), line));
    }
}

/* Of VL columns from j on, in float64. */
typedef struct {
    vd mean, squares;
} column_moments;

static inline void column_distance_sums(const float *x, ptrdiff_t rows, ptrdiff_t c, ptrdiff_t left, vf pivot, vd *sum,
                                        vd *squares) {
    vf sums = vf_zero(), squared = vf_zero();
    for (ptrdiff_t i = 0; i < rows; i++, x += c) {
        const vf d = vf_sub(vf_load_first(x, left), pivot);
        sums = vf_add(sums, d);
        squared = vf_fma(d, d, squared);
    }
    *sum = vf_to_double(sums);
    *squares = vf_to_double(squared);
}

/* As channel_moments and with_piece, lane by lane. */
static column_moments moments_of_columns(const rn_batch_norm_args *a, ptrdiff_t j) {
    column_moments m = {vd_zero(), vd_zero()};
    const ptrdiff_t left = a->c - j;
    for (ptrdiff_t i = 0; i < a->n; i += RN_BATCH_NORM_ROWS) {
        const float *x = a->x + i * a->c + j;
        const ptrdiff_t rows = least(RN_BATCH_NORM_ROWS, a->n - i);
        const double before = (double)i, count = (double)rows, total = before + count;
        vd sum, squares;
        if (i == 0) {
            const vf first = vf_load_first(x, left);
            column_distance_sums(x, rows, a->c, left, first, &sum, &squares);
            m.mean = vd_fma(sum, vd_set(1.0 / count), vf_to_double(first));
        }
        const vf pivot = vd_to_float(m.mean);
        column_distance_sums(x, rows, a->c, left, pivot, &sum, &squares);
        const vd from_pivot = vd_mul(sum, vd_set(1.0 / count));
        const vd delta = vd_sub(vd_add(vf_to_double(pivot), from_pivot), m.mean);
        m.mean = vd_fma(delta, vd_set(count / total), m.mean);
        m.squares = vd_add(m.squares, vd_sub(squares, vd_mul(sum, from_pivot)));
        m.squares = vd_fma(vd_mul(delta, delta), vd_set(before * count / total), m.squares);
    }
    return m;
}

static RN_ALWAYS_INLINE void normalize_columns(int code, const rn_batch_norm_args *a, ptrdiff_t j) {
    double mean[VL] = {0.0}, squares[VL] = {0.0};
    if (a->by_batch) {
        const column_moments m = moments_of_columns(a, j);
        vd_store(mean, m.mean);
        vd_store(squares, m.squares);
    }
    const ptrdiff_t left = a->c - j;
    for (ptrdiff_t l = 0; l < VL && l < left; l++) settle(a, j + l, (moments){(double)a->n, mean[l], squares[l]});
    const norm_line line = line_of_columns(a->saved, a->c, j);
    for (ptrdiff_t at = j; at < a->n * a->c; at += a->c)
        vf_store_first(a->y + at, left, normalized(code, a->alpha, vf_load_first(a->x + at, left), line));
}

static RN_ALWAYS_INLINE void normalize_tile(int code, const rn_batch_norm_args *a, ptrdiff_t tile) {
    const ptrdiff_t end = least((tile + 1) * a->group, a->c);
    for (ptrdiff_t channel = tile * a->group; channel < end;) {
        if (a->s == 1) {
            normalize_columns(code, a, channel);
            channel += VL;
        } else {
            normalize_channel(code, a, channel++);
        }
    }
}

KERNEL(batch_norm) {
    const rn_batch_norm_args *a = arguments;
    (void)scratch;
    switch (a->activation) {
    case RN_RELU:
        normalize_tile(RN_RELU, a, tile);
        break;
    case RN_LEAKY_RELU:
        normalize_tile(RN_LEAKY_RELU, a, tile);
        break;
    default:
        normalize_tile(RN_LINEAR, a, tile);
    }
}

/* ---- the gradient */

/* dy as it was before the activation. */
static RN_ALWAYS_INLINE vf before_activation(int code, float alpha, vf distance, vf dy, norm_line line) {
    return activation_gradient(code, alpha, vf_fma(distance, line.scale, line.shift), dy);
}

/* The sums of g and of g d, d = x - mean, over a piece; lanes beyond it have dy = 0. */
static RN_ALWAYS_INLINE void gradient_sums(int code, float alpha, const float *x, const float *dy, channel_piece p,
                                           ptrdiff_t stride, norm_line line, double *sum, double *products) {
    vf sums[2] = {vf_zero(), vf_zero()}, multiplied[2] = {vf_zero(), vf_zero()};
    for (ptrdiff_t i = 0; i < p.rows; i++, x += stride, dy += stride) {
        ptrdiff_t j = 0;
        for (; j + 2 * VL <= p.length; j += 2 * VL)
            for (int k = 0; k < 2; k++) {
                const vf d = vf_sub(vf_load(x + j + k * VL), line.mean);
                const vf g = before_activation(code, alpha, d, vf_load(dy + j + k * VL), line);
                sums[k] = vf_add(sums[k], g);
                multiplied[k] = vf_fma(g, d, multiplied[k]);
            }
        for (; j < p.length; j += VL) {
            const vf d = vf_sub(vf_load_first(x + j, p.length - j), line.mean);
            const vf g = before_activation(code, alpha, d, vf_load_first(dy + j, p.length - j), line);
            sums[0] = vf_add(sums[0], g);
            multiplied[0] = vf_fma(g, d, multiplied[0]);
        }
    }
    *sum += vf_sum_double(vf_add(sums[0], sums[1]));
    *products += vf_sum_double(vf_add(multiplied[0], multiplied[1]));
}

/* What makes dx: scale g + slope d + constant. */
typedef struct {
    float slope, constant;
} gradient_line;

/* Write the channel's dbias and dweight, given the sums of g and g d; return what dx is made with. */
static inline gradient_line settle_gradient(const rn_batch_norm_gradient_args *a, ptrdiff_t channel, double sum,
                                            double products) {
    const float *saved = a->saved + channel;
    const double rest = (double)saved[RN_SAVED_REST * a->c], inverse = (double)saved[RN_SAVED_INVERSE * a->c];
    const double count = (double)(a->n * a->s), scale = (double)saved[RN_SAVED_SCALE * a->c];
    const double dweight = (products - rest * sum) * inverse;
    if (a->dbias != NULL) a->dbias[channel] = (float)sum;
    if (a->dweight != NULL) a->dweight[channel] = (float)dweight;
    if (!a->by_batch || count == 0.0) return (gradient_line){0.0f, 0.0f};
    const double slope = -scale * inverse * dweight / count;
    return (gradient_line){(float)slope, (float)(-scale * sum / count - slope * rest)};
}

static RN_ALWAYS_INLINE vf gradient_by_input(int code, float alpha, vf x, vf dy, norm_line line, vf slope, vf constant) {
    const vf d = vf_sub(x, line.mean), g = before_activation(code, alpha, d, dy, line);
    return vf_fma(line.scale, g, vf_fma(d, slope, constant));
}

static RN_ALWAYS_INLINE void gradient_channel(int code, const rn_batch_norm_gradient_args *a, ptrdiff_t channel) {
    const norm_line line = line_of_channel(a->saved, a->c, channel);
    const ptrdiff_t stride = a->c * a->s, begin = channel * a->s;
    double sum = 0.0, products = 0.0;
    if (a->by_batch || a->dweight != NULL || a->dbias != NULL)
        for (channel_piece p = piece_from(a->n, a->s, 0, 0); p.rows > 0; p = next_piece(a->n, a->s, p)) {
            const ptrdiff_t at = begin + p.image * stride + p.at;
            gradient_sums(code, a->alpha, a->x + at, a->dy + at, p, stride, line, &sum, &products);
        }
    const gradient_line with = settle_gradient(a, channel, sum, products);
    if (a->dx == NULL) return;
    const vf slope = vf_set(with.slope), constant = vf_set(with.constant);
    for (ptrdiff_t i = 0; i < a->n; i++) {
        const float *x = a->x + begin + i * stride, *dy = a->dy + begin + i * stride;
        float *dx = a->dx + begin + i * stride;
        for (ptrdiff_t j = 0; j < a->s; j += VL) {
            const ptrdiff_t left = a->s - j;
            vf_store_first(dx + j, left,
                           gradient_by_input(code, a->alpha, vf_load_first(x + j, left), vf_load_first(dy + j, left), line, slope,
                                             constant));
        }
    }
}

static RN_ALWAYS_INLINE void gradient_columns(int code, const rn_batch_norm_gradient_args *a, ptrdiff_t j) {
    const norm_line line = line_of_columns(a->saved, a->c, j);
    const ptrdiff_t left = a->c - j;
    vd sum = vd_zero(), products = vd_zero();
    for (ptrdiff_t i = 0; i < a->n; i += RN_BATCH_NORM_ROWS) {
        vf sums = vf_zero(), multiplied = vf_zero();
        for (ptrdiff_t row = i; row < least(a->n, i + RN_BATCH_NORM_ROWS); row++) {
            const vf d = vf_sub(vf_load_first(a->x + row * a->c + j, left), line.mean);
            const vf g = before_activation(code, a->alpha, d, vf_load_first(a->dy + row * a->c + j, left), line);
            sums = vf_add(sums, g);
            multiplied = vf_fma(g, d, multiplied);
        }
        sum = vd_add(sum, vf_to_double(sums));
        products = vd_add(products, vf_to_double(multiplied));
    }
    double each_sum[VL], each_product[VL];
    float slope[VL] = {0.0f}, constant[VL] = {0.0f};
    vd_store(each_sum, sum);
    vd_store(each_product, products);
    for (ptrdiff_t l = 0; l < VL && l < left; l++) {
        const gradient_line with = settle_gradient(a, j + l, each_sum[l], each_product[l]);
        slope[l] = with.slope;
        constant[l] = with.constant;
    }
    if (a->dx == NULL) return;
    for (ptrdiff_t at = j; at < a->n * a->c; at += a->c)
        vf_store_first(a->dx + at, left,
                       gradient_by_input(code, a->alpha, vf_load_first(a->x + at, left), vf_load_first(a->dy + at, left), line,
                                         vf_load(slope), vf_load(constant)));
}

static RN_ALWAYS_INLINE void gradient_tile(int code, const rn_batch_norm_gradient_args *a, ptrdiff_t tile) {
    const ptrdiff_t end = least((tile + 1) * a->group, a->c);
    for (ptrdiff_t channel = tile * a->group; channel < end;) {
        if (a->s == 1) {
            gradient_columns(code, a, channel);
            channel += VL;
        } else {
            gradient_channel(code, a, channel++);
        }
    }
}

KERNEL(batch_norm_gradient) {
    const rn_batch_norm_gradient_args *a = arguments;
    (void)scratch;
    switch (a->activation) {
    case RN_RELU:
        gradient_tile(RN_RELU, a, tile);
        break;
    case RN_LEAKY_RELU:
        gradient_tile(RN_LEAKY_RELU, a, tile);
        break;
    default:
        gradient_tile(RN_LINEAR, a, tile);
    }
}

/* ---- folding into the weights before */

KERNEL(batch_norm_fold) {
    const rn_batch_norm_fold_args *a = arguments;
    (void)scratch;
    const ptrdiff_t end = least((tile + 1) * a->group, a->c);
    for (ptrdiff_t k = tile * a->group; k < end; k++) {
        const double weight = a->weight == NULL ? 1.0 : (double)a->weight[k];
        const double scale = weight / sqrt((double)a->running_var[k] + a->epsilon);
        const double before = a->map_bias == NULL ? 0.0 : (double)a->map_bias[k];
        const double after = a->bias == NULL ? 0.0 : (double)a->bias[k];
        a->folded_bias[k] = (float)((before - (double)a->running_mean[k]) * scale + after);
        const float *map = a->map + k * a->columns;
        float *folded = a->folded + k * a->columns;
        for (ptrdiff_t j = 0; j < a->columns; j += VL) {
            const ptrdiff_t left = a->columns - j;
            vf_store_first(folded + j, left, vf_mul(vf_load_first(map + j, left), vf_set((float)scale)));
        }
    }
}
