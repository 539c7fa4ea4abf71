/* What all vector headers share: written over their primitives, never included alone. */

#if !defined(VF_ORDERED)
static inline vf vf_load_ordered(const float *p) { return vf_load(p); }
static inline vf vf_set_ordered(const float *p) { return vf_set(*p); }
static inline vf vf_fma_ordered(vf a, vf b, vf c) { return vf_fma(a, b, c); }
#endif
#undef VF_ORDERED

static inline ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline vi vi_select(vm mask, vi yes, vi no) { return vf_as_int(vf_select(mask, vi_as_float(yes), vi_as_float(no))); }
static inline vf vf_or(vf a, vf b) { return vi_as_float(vi_or(vf_as_int(a), vf_as_int(b))); }
static inline vf vf_load_first(const float *p, ptrdiff_t count) { return count >= VL ? vf_load(p) : vf_load_part(p, count); }
static inline void vf_store_first(float *p, ptrdiff_t count, vf a) {
    if (count >= VL)
        vf_store(p, a);
    else
        vf_store_part(p, count, a);
}
#ifndef RN_OWN_SCALE
/* a 2^n, rounded once, for whole n; held between -252 and 254, where a result of usual a is 0 or infinity. 2^n goes in two
 * factors, as it may be no normal number by itself. */
static inline vf vf_scale(vf a, vf n) {
    const vi whole = vf_to_int(vf_max(vf_set(-252.0f), vf_min(vf_set(254.0f), n))), bias = vi_set(127);
    const vi half = vi_sub(vi_shift_right(vi_add(whole, vi_set(256)), 1), vi_set(128));
    a = vf_mul(a, vi_as_float(vi_shift_left(vi_add(half, bias), 23)));
    return vf_mul(a, vi_as_float(vi_shift_left(vi_add(vi_sub(whole, half), bias), 23)));
}
#endif
