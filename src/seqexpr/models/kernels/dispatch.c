/* Which instruction sets this processor has, of those that the library holds: the best first, apart by spaces. */

#include "kernels.h"

#if defined(__x86_64__)
const char *instruction_sets(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2")) return "";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return "avx512 avx2";
    return "avx2";
}
#elif defined(__aarch64__)
const char *instruction_sets(void) { return "neon"; }
#else
const char *instruction_sets(void) { return ""; }
#endif

/* Raised with every change of kernels.h: a library from another time is not called. */
int interface_version(void) { return 3; }
