/* Memory for the few calls that come before the real allocator is known: dlsym may allocate.
 * Never given back, never recorded; `free` and its like know these addresses. */
#ifndef CODSPEED_MEMORY_ARENA_H
#define CODSPEED_MEMORY_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGNMENT 16u

static char arena[65536] __attribute__((aligned(ARENA_ALIGNMENT)));
static _Atomic size_t arena_used;

static inline int arena_has(const void *block) {
  return (const char *)block >= arena && (const char *)block < arena + sizeof arena;
}

/* Zeroed, since it is handed out once; the size stands in front. */
static void *arena_take(size_t size, size_t alignment) {
  if (alignment < ARENA_ALIGNMENT) alignment = ARENA_ALIGNMENT;
  if (size > sizeof arena || alignment > sizeof arena) return NULL;
  size_t wanted = size + alignment + ARENA_ALIGNMENT;
  size_t at = atomic_fetch_add(&arena_used, (wanted + 15) & ~(size_t)15);
  if (at + wanted > sizeof arena) return NULL;
  uintptr_t block = ((uintptr_t)arena + at + ARENA_ALIGNMENT + alignment - 1) & ~(alignment - 1);
  ((size_t *)block)[-1] = size;
  return (void *)block;
}

static inline size_t arena_size(const void *block) { return ((const size_t *)block)[-1]; }

#endif
