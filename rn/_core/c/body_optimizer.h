KERNEL(sum_squares) {
    const rn_sum_squares_args *a = arguments;
    (void)scratch;
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE;
    const ptrdiff_t end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    vd sum = vd_zero();
    for (ptrdiff_t i = begin; i < end; i += VL) {
        const vd x = vf_to_double(vf_load_first(a->x + i, end - i));
        sum = vd_fma(x, x, sum);
    }
    a->partial[a->first + tile] = vd_sum(sum);
}

/* b^t by squaring. */
static inline double whole_power(double b, uint64_t t) {
    double power = 1.0;
    for (; t; t >>= 1, b *= b)
        if (t & 1) power *= b;
    return power;
}

static inline double nadam_momentum(double beta_1, double base, uint64_t t) {
    return beta_1 * (1.0 - 0.5 * whole_power(base, t));
}

KERNEL(nadam_product) {
    const rn_nadam_product_args *a = arguments;
    (void)tile, (void)scratch;
    const uint64_t t = a->step->update;
    uint64_t known = a->state->updates;
    double product = a->state->product;
    if (known == 0 || known > t) known = 0, product = 1.0;
    while (known < t && product > 0x1p-60) product *= nadam_momentum(a->beta_1, a->base, ++known);
    a->state->updates = t;
    a->state->product = product;
}

/* Each kernel copies its arguments: stores through vector types could else change them, for all the compiler knows, and it would
 * load them anew after each.
 *
 * What all rules do before their own: the tile's range, and how a gradient and a parameter are prepared. */
typedef struct {
    ptrdiff_t begin, end;
    double rate;
    int plain; /* nothing is clipped or decays */
    vf scale, lowest, highest, decay, shrink;
} update_terms;

static inline update_terms update_begin(const rn_update_args *a, ptrdiff_t tile) {
    const ptrdiff_t begin = tile * RN_ELEMENT_TILE, end = begin + RN_ELEMENT_TILE < a->n ? begin + RN_ELEMENT_TILE : a->n;
    const double rate = a->step->learning_rate;
    double scale = 1.0;
    if (a->squares) {
        const double wanted = a->clip_norm / (sqrt(*a->squares) + 1e-6);
        scale = wanted >= 1.0 ? 1.0 : wanted; /* NaN stays */
    }
    return (update_terms){begin,
                          end,
                          rate,
                          !a->squares && !(a->clip_value < INFINITY) && a->weight_decay == 0.0,
                          vf_set((float)scale),
                          vf_set(-a->clip_value),
                          vf_set(a->clip_value),
                          vf_set(a->decoupled ? 0.0f : (float)a->weight_decay),
                          vf_set(a->decoupled ? (float)(rate * a->weight_decay) : 0.0f)};
}

/* Element i's gradient as the rule takes it, and in *p its parameter, decayed where decoupled. */
static inline vf prepare(const rn_update_args *a, const update_terms *u, ptrdiff_t i, vf *p) {
    const ptrdiff_t count = u->end - i;
    stream_ahead(a->gradients + i, VL);
    stream_ahead_to_write(a->parameters + i);
    const vf old = vf_load_first(a->parameters + i, count);
    vf g = vf_load_first(a->gradients + i, count);
    *p = old;
    if (u->plain) return g;
    g = vf_mul(u->scale, g);
    *p = vf_fnma(u->shrink, old, old);
    return vf_fma(u->decay, old, vf_max(u->lowest, vf_min(u->highest, g)));
}

static inline void step_by(const rn_update_args *a, const update_terms *u, ptrdiff_t i, vf p, vf rate, vf change) {
    vf_store_first(a->parameters + i, u->end - i, vf_fnma(rate, change, p));
}

/* A running mean takes in one more number: state = kept state + taken x. */
typedef struct {
    vf kept, taken;
} running;

static inline running running_mean(double kept) { return (running){vf_set((float)kept), vf_set((float)(1.0 - kept))}; }

static inline vf take_in(float *state, ptrdiff_t i, ptrdiff_t end, running r, vf x) {
    stream_ahead_to_write(state + i);
    const vf mean = vf_fma(r.kept, vf_load_first(state + i, end - i), vf_mul(r.taken, x));
    vf_store_first(state + i, end - i, mean);
    return mean;
}

KERNEL(sgd) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const vf rate = vf_set((float)u.rate);
    const running velocity = {vf_set((float)a->momentum), vf_set(1.0f)};
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        if (a->velocity) {
            const vf v = take_in(a->velocity, i, u.end, velocity, g);
            g = a->nesterov ? vf_fma(velocity.kept, v, g) : v;
        }
        step_by(a, &u, i, p, rate, g);
    }
}

KERNEL(adagrad) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const vf rate = vf_set((float)u.rate), epsilon = vf_set(a->epsilon);
    const running sum = {vf_set(1.0f), vf_set(1.0f)};
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        const vf s = take_in(a->variance, i, u.end, sum, vf_mul(g, g));
        step_by(a, &u, i, p, rate, vf_div(g, vf_add(vf_sqrt(s), epsilon)));
    }
}

KERNEL(rmsprop) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const vf rate = vf_set((float)u.rate), epsilon = vf_set(a->epsilon);
    const running mean = running_mean(a->rho), velocity = {vf_set((float)a->momentum), vf_set(1.0f)};
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        vf s = take_in(a->variance, i, u.end, mean, vf_mul(g, g));
        if (a->mean) {
            const vf m = take_in(a->mean, i, u.end, mean, g);
            s = vf_max(vf_zero(), vf_fnma(m, m, s)); /* rounding may leave a variance of 0 a little below; NaN stays */
        }
        vf change = vf_div(g, vf_add(vf_sqrt(s), epsilon));
        if (a->velocity) change = take_in(a->velocity, i, u.end, velocity, change);
        step_by(a, &u, i, p, rate, change);
    }
}

KERNEL(adadelta) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const vf rate = vf_set((float)u.rate), epsilon = vf_set(a->epsilon);
    const running mean = running_mean(a->rho);
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        const vf s = take_in(a->variance, i, u.end, mean, vf_mul(g, g));
        const vf c = vf_load_first(a->changes + i, u.end - i);
        const vf change = vf_mul(g, vf_div(vf_sqrt(vf_add(c, epsilon)), vf_sqrt(vf_add(s, epsilon))));
        take_in(a->changes, i, u.end, mean, vf_mul(change, change));
        step_by(a, &u, i, p, rate, change);
    }
}

KERNEL(adam) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const uint64_t t = a->step->update ? a->step->update : 1;
    const vf rate = vf_set((float)(u.rate / (1.0 - whole_power(a->beta_1, t))));
    const vf correction = vf_set((float)(1.0 / sqrt(1.0 - whole_power(a->beta_2, t))));
    const vf epsilon = vf_set(a->epsilon);
    const running mean = running_mean(a->beta_1), variance = running_mean(a->beta_2);
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        const vf m = take_in(a->mean, i, u.end, mean, g);
        vf s = take_in(a->variance, i, u.end, variance, vf_mul(g, g));
        if (a->largest) {
            s = vf_max(vf_load_first(a->largest + i, u.end - i), s); /* NaN stays */
            vf_store_first(a->largest + i, u.end - i, s);
        }
        step_by(a, &u, i, p, rate, vf_div(m, vf_fma(vf_sqrt(s), correction, epsilon)));
    }
}

KERNEL(nadam) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const uint64_t t = a->step->update ? a->step->update : 1;
    const double now = nadam_momentum(a->beta_1, a->base, t), next = nadam_momentum(a->beta_1, a->base, t + 1);
    const double product = a->product->product;
    const vf of_gradient = vf_set((float)(u.rate * (1.0 - now) / (1.0 - product)));
    const vf of_mean = vf_set((float)(u.rate * next / (1.0 - product * next)));
    const vf correction = vf_set((float)(1.0 / sqrt(1.0 - whole_power(a->beta_2, t))));
    const vf epsilon = vf_set(a->epsilon), one = vf_set(1.0f);
    const running mean = running_mean(a->beta_1), variance = running_mean(a->beta_2);
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        const vf m = take_in(a->mean, i, u.end, mean, g);
        const vf s = take_in(a->variance, i, u.end, variance, vf_mul(g, g));
        const vf change = vf_fma(of_mean, m, vf_mul(of_gradient, g));
        step_by(a, &u, i, p, one, vf_div(change, vf_fma(vf_sqrt(s), correction, epsilon)));
    }
}

KERNEL(lion) {
    const rn_update_args own = *(const rn_update_args *)arguments, *const a = &own;
    (void)scratch;
    const update_terms u = update_begin(a, tile);
    const vf rate = vf_set((float)u.rate);
    const running ahead = running_mean(a->beta_1), mean = running_mean(a->beta_2);
    for (ptrdiff_t i = u.begin; i < u.end; i += VL) {
        vf p, g = prepare(a, &u, i, &p);
        const vf direction = vf_fma(ahead.kept, vf_load_first(a->mean + i, u.end - i), vf_mul(ahead.taken, g));
        take_in(a->mean, i, u.end, mean, g);
        step_by(a, &u, i, p, rate, sign_or_itself(direction));
    }
}
