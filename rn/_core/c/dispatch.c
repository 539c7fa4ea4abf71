/* Which instruction set's kernels run: asked once, at import. */
#include "rn.h"

#include <string.h>

extern const rn_kernel_table rn_kernels_generic;

#if defined(__x86_64__) || defined(_M_X64)
extern const rn_kernel_table rn_kernels_avx2, rn_kernels_avx512;

#if defined(_MSC_VER) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>

/* Bits of leaf 7's ebx; what the system must save: the registers of 256 bits, the mask registers and those of 512 bits. */
enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512BW = 1 << 30, SAVES_256 = 0x06, SAVES_512 = 0xE6 };
static const unsigned AVX512VL = 1u << 31;

static int supports(unsigned features, unsigned saved) {
    int leaf[4];
    __cpuid(leaf, 0);
    if (leaf[0] < 7) return 0;
    __cpuid(leaf, 1);
    const int fma = leaf[2] >> 12 & 1, osxsave = leaf[2] >> 27 & 1;
    if (!fma || !osxsave || (_xgetbv(0) & saved) != saved) return 0;
    __cpuidex(leaf, 7, 0);
    return ((unsigned)leaf[1] & features) == features;
}
static int runs_avx2(void) { return supports(AVX2, SAVES_256); }
static int runs_avx512(void) { return supports(AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL, SAVES_512); }
static void ask_processor(unsigned leaf, unsigned registers[4]) { __cpuid((int *)registers, (int)leaf); }
#else
#include <cpuid.h>

static int runs_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int runs_avx512(void) {
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static void ask_processor(unsigned leaf, unsigned registers[4]) {
    __cpuid(leaf, registers[0], registers[1], registers[2], registers[3]);
}
#endif

/* Whether a vector of 512 bits comes and goes in two halves: on AMD's family 19h, which is Zen 4. */
static int moves_halves(void) {
    unsigned names[4], version[4];
    ask_processor(0, names);
    ask_processor(1, version);
    const unsigned family = (version[0] >> 8 & 0xF) + (version[0] >> 20 & 0xFF);
    return names[1] == 0x68747541 /* Auth enti cAMD */ && family == 0x19;
}

/* The kernels of AVX-512, but for work that waits for memory, which AVX2's do sooner in lines that are moved by halves. */
static const rn_kernel_table *arithmetic_in_halves(void) {
    static rn_kernel_table table;
    if (table.isa == NULL) {
        table = rn_kernels_avx512;
#define X(name) table.name = rn_kernels_avx2.name;
        RN_ARITHMETIC_KERNELS(X)
#undef X
    }
    return &table;
}
#endif

const rn_kernel_table *rn_select(const char *isa) {
#if defined(__x86_64__) || defined(_M_X64)
    if ((isa == NULL || strcmp(isa, "avx512") == 0) && runs_avx512())
        return moves_halves() ? arithmetic_in_halves() : &rn_kernels_avx512;
    if ((isa == NULL || strcmp(isa, "avx2") == 0) && runs_avx2()) return &rn_kernels_avx2;
#endif
    if (isa == NULL || strcmp(isa, "generic") == 0) return &rn_kernels_generic;
    return NULL;
}

#define X(name) #name,
const char *const rn_kernel_names[RN_KERNEL_COUNT] = {RN_KERNELS(X)};
#undef X

int rn_kernel_number(const rn_kernel_table *table, rn_kernel kernel) {
    int number = 0;
#define X(name) \
    if (table->name == kernel) return number; \
    number++;
    RN_KERNELS(X)
#undef X
    return RN_KERNEL_COUNT - 1;
}
