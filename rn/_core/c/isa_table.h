/* The last lines of each instruction set's file: its table. RN_ISA_NAME is the set's name. */
#define RN_TEXT_(x) #x
#define RN_TEXT(x) RN_TEXT_(x)

#define X(name) .name = RN_CONCATENATE(rn_, name, RN_ISA_NAME),
const rn_kernel_table RN_CONCATENATE(rn_, kernels, RN_ISA_NAME) = {.isa = RN_TEXT(RN_ISA_NAME), .lanes = VL, RN_KERNELS(X)};
#undef X
