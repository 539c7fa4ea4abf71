/* How the processor rounds, and what it makes of denormals: numbers below 2^-126, which some processors hand to microcode. */
#ifndef RN_FLOAT_CONTROL_H
#define RN_FLOAT_CONTROL_H

#if defined(__SSE__) || defined(_M_X64)
#include <xmmintrin.h>
enum { RN_NO_DENORMALS = 0x8040 }; /* results are flushed to zero; operands count as zero */
static inline unsigned rn_float_control(void) { return _mm_getcsr(); }
static inline void rn_set_float_control(unsigned control) { _mm_setcsr(control); }
#else /* left as it is: others take denormals at full speed */
enum { RN_NO_DENORMALS = 0 };
static inline unsigned rn_float_control(void) { return 0; }
static inline void rn_set_float_control(unsigned control) { (void)control; }
#endif

#endif
