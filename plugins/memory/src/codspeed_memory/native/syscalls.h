/* Raw system calls: unlike libc's they never touch errno, and no preload can be in their way. */
#ifndef CODSPEED_MEMORY_SYSCALLS_H
#define CODSPEED_MEMORY_SYSCALLS_H

#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
#endif
}

static inline uint32_t raw_pid(void) { return (uint32_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0); }

static inline uint32_t raw_tid(void) { return (uint32_t)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }

static inline void raw_futex_wake(_Atomic uint32_t *word) {
  raw_call(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

/* `milliseconds` 0: as long as it takes. */
static inline void raw_futex_wait(_Atomic uint32_t *word, uint32_t seen, long milliseconds) {
  struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  raw_call(SYS_futex, (long)word, FUTEX_WAIT, seen, milliseconds ? (long)&limit : 0, 0, 0);
}

static inline long raw_readlink(const char *path, char *text, long size) {
  return raw_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)text, size, 0, 0);
}

#endif
