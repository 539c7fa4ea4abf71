/* Every kernel for x86-64 with AVX-512 (F, BW, DQ, VL). The flags of a build are the same for all files, so this one asks for its
 * own. */
#define RN_ISA_NAME avx512

#if defined(__x86_64__) || defined(_M_X64)

#include "rn.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "vector_avx512.h"

#include "isa_bodies.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#include "isa_table.h"

#else
typedef int rn_avx512_needs_x86; /* ISO C wants something in every file. */
#endif
