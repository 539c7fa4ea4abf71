/* Which instruction set's kernels run: asked once, at import. */
#include "rn.h"

#include <string.h>

extern const rn_kernel_table rn_kernels_generic;

#if defined(__x86_64__) || defined(_M_X64)
extern const rn_kernel_table rn_kernels_avx2;

#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>

static int runs_avx2(void) {
    int leaf[4];
    __cpuid(leaf, 0);
    if (leaf[0] < 7) return 0;
    __cpuid(leaf, 1);
    const int fma = leaf[2] >> 12 & 1, osxsave = leaf[2] >> 27 & 1;
    if (!fma || !osxsave || (_xgetbv(0) & 6) != 6) return 0; /* the system saves the wide registers */
    __cpuidex(leaf, 7, 0);
    return leaf[1] >> 5 & 1;
}
#else
static int runs_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif
#endif

const rn_kernel_table *rn_select(const char *isa) {
#if defined(__x86_64__) || defined(_M_X64)
    if ((isa == NULL || strcmp(isa, "avx2") == 0) && runs_avx2()) return &rn_kernels_avx2;
#endif
    if (isa == NULL || strcmp(isa, "generic") == 0) return &rn_kernels_generic;
    return NULL;
}
