/* Client requests: how a program speaks to the Valgrind it runs under.
 *
 * A request is a sequence of instructions that does nothing on a real processor and that Valgrind
 * recognises, with the arguments in memory. The sequences and registers are those of Valgrind's
 * manual, "The Client Request mechanism", and of the interface of each architecture:
 *
 *   x86-64   rotate rdi left by 3, 13, 61 and 51 (128 bits in all: nothing changes), then exchange
 *            rbx with itself; rax points to the arguments, rdx is the default and the answer.
 *   aarch64  rotate x12 right by 3, 13, 51 and 61, then or x10 with itself; x4 points to the
 *            arguments, x3 is the default and the answer.
 */

#ifndef CODSPEED_REQUEST_H
#define CODSPEED_REQUEST_H

#include <stdint.h>

enum {
    /* Valgrind's core. */
    REQUEST_RUNNING_ON_VALGRIND = 0x1001,
    /* Callgrind's: 'C' and 'T' in the upper half. */
    REQUEST_ZERO_STATS = 0x43540001,
    REQUEST_DUMP_STATS_AT = 0x43540003,
    REQUEST_START_INSTRUMENTATION = 0x43540004,
    REQUEST_STOP_INSTRUMENTATION = 0x43540005,
};

/* Always inlined: switching the instrumentation on or off inside a call would confuse the stack. */
static inline __attribute__((always_inline)) uintptr_t
client_request(uintptr_t code, uintptr_t argument)
{
    volatile uintptr_t arguments[6] = {code, argument, 0, 0, 0, 0};
    uintptr_t answer = 0;
#if defined(__x86_64__)
    register volatile uintptr_t *place __asm__("rax") = arguments;
    register uintptr_t result __asm__("rdx") = answer;
    __asm__ volatile("rolq $3, %%rdi\n\t"
                     "rolq $13, %%rdi\n\t"
                     "rolq $61, %%rdi\n\t"
                     "rolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+r"(result)
                     : "r"(place)
                     : "cc", "memory");
    answer = result;
#elif defined(__aarch64__)
    register volatile uintptr_t *place __asm__("x4") = arguments;
    register uintptr_t result __asm__("x3") = answer;
    __asm__ volatile("ror x12, x12, #3\n\t"
                     "ror x12, x12, #13\n\t"
                     "ror x12, x12, #51\n\t"
                     "ror x12, x12, #61\n\t"
                     "orr x10, x10, x10"
                     : "+r"(result)
                     : "r"(place)
                     : "cc", "memory");
    answer = result;
#else
#error "Valgrind's client requests are only known here for x86-64 and aarch64"
#endif
    return answer;
}

#endif
