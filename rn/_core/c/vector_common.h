/* What all vector headers share: written over their primitives, never included alone. */

/* A mask of the first count lanes, 0 <= count; all lanes from VL up. */
static inline vi vi_first(ptrdiff_t count) { return vi_gt(vi_set(count > VL ? VL : (int32_t)count), vi_lanes()); }
static inline vf vf_or(vf a, vf b) { return vi_as_float(vi_or(vf_as_int(a), vf_as_int(b))); }
static inline vf vf_load_first(const float *p, ptrdiff_t count) { return count >= VL ? vf_load(p) : vf_load_part(p, count); }
static inline void vf_store_first(float *p, ptrdiff_t count, vf a) {
    if (count >= VL)
        vf_store(p, a);
    else
        vf_store_part(p, count, a);
}
static inline float vf_largest(vf a) {
    float lane[VL];
    vf_store(lane, a);
    float largest = lane[0];
    for (int i = 1; i < VL; i++) largest = lane[i] > largest ? lane[i] : largest;
    return largest;
}
