/* Every kernel for x86-64 with AVX2 and FMA. The flags of a build are the same for all files, so this one asks for its own. */
#define RN_ISA_NAME avx2

#if defined(__x86_64__) || defined(_M_X64)

#include "rn.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "vector_avx2.h"

#include "isa_bodies.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#include "isa_table.h"

#else
typedef int rn_avx2_needs_x86; /* ISO C wants something in every file. */
#endif
