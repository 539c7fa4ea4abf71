/* Every kernel for any machine, on the compiler's portable vectors. */
#define RN_ISA_NAME generic

#include "rn.h"
#include "vector_generic.h"

#include "isa_bodies.h"

#include "isa_table.h"
