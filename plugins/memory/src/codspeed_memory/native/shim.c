/* What LD_PRELOAD brings into the benchmark: malloc and its family, each call recorded.
 *
 * A free is recorded before the real call and an allocation after it, so no address ever looks
 * live twice; realloc needs a record on both sides for the same reason. Recording is off unless
 * the runner opened a window: then a call costs one load more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "process.h"

/* The window to record for, or 0. In the second shim a call may come from inside of another that is
 * recorded itself (an allocator's aligned_alloc calls its own function by name): count one. */
#ifdef SHIM_FAMILIES
static inline uint32_t enter(void) {
  uint32_t window = self.quiet ? 0 : recorder_window();
  self.quiet++;
  return window;
}

static inline void leave(void) { self.quiet--; }
#else
static inline uint32_t enter(void) { return recorder_window(); }

static inline void leave(void) {}
#endif

INLINE void *allocated(uint32_t window, uint32_t kind, void *block, size_t size) {
  leave();
  if (UNLIKELY(window) && block) record(window, kind, (uintptr_t)block, size, 0);
  return block;
}

EXPORT void *malloc(size_t size) {
  if (UNLIKELY(!READY())) return arena_take(size, 0);
  uint32_t window = enter();
  return allocated(window, KIND_MALLOC, real_malloc(size), size);
}

EXPORT void *calloc(size_t count, size_t size) {
  if (UNLIKELY(!READY())) return arena_take(count * size, 0);
  uint32_t window = enter();
  return allocated(window, KIND_CALLOC, real_calloc(count, size), count * size);
}

EXPORT void free(void *block) {
  if (!block || UNLIKELY(arena_has(block)) || UNLIKELY(!READY())) return;
  uint32_t window = enter();
  if (UNLIKELY(window)) record(window, KIND_FREE, (uintptr_t)block, 0, 0);
  real_free(block);
  leave();
}

EXPORT void cfree(void *block) { free(block); }

static void *moved_from_arena(void *block, size_t size) {
  void *copy = malloc(size);
  size_t old = arena_size(block);
  if (copy) memcpy(copy, block, old < size ? old : size);
  return copy;
}

EXPORT void *realloc(void *block, size_t size) {
  if (!block && UNLIKELY(!READY())) return arena_take(size, 0);
  if (UNLIKELY(arena_has(block))) return moved_from_arena(block, size);
  if (UNLIKELY(!READY())) return NULL;
  uint32_t window = enter();
  if (UNLIKELY(window) && block) record(window, KIND_REALLOC_BEGIN, (uintptr_t)block, 0, 0);
  void *grown = real_realloc(block, size);
  leave();
  if (LIKELY(!window)) return grown;
  /* To zero bytes is a free where it returns NULL; else NULL means that the block stayed. */
  if (grown)
    record(window, KIND_REALLOC, (uintptr_t)grown, size, (uintptr_t)block);
  else if (block)
    record(window, KIND_REALLOC_FAILED, (uintptr_t)block, size, 0);
  return grown;
}

EXPORT void *reallocarray(void *block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(block, bytes);
}

EXPORT void *memalign(size_t alignment, size_t size) {
  if (UNLIKELY(!READY())) return arena_take(size, alignment);
  uint32_t window = enter();
  return allocated(window, KIND_ALIGNED, real_memalign(alignment, size), size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size) {
  if (UNLIKELY(!READY())) return arena_take(size, alignment);
  uint32_t window = enter();
  return allocated(window, KIND_ALIGNED, real_aligned_alloc(alignment, size), size);
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size) {
  if (UNLIKELY(!READY())) return (*block = arena_take(size, alignment)) ? 0 : ENOMEM;
  uint32_t window = enter();
  int failure = real_posix_memalign(block, alignment, size);
  allocated(window, KIND_ALIGNED, failure ? NULL : *block, size);
  return failure;
}

EXPORT void *valloc(size_t size) {
  if (UNLIKELY(!READY())) return arena_take(size, 4096);
  uint32_t window = enter();
  return allocated(window, KIND_MALLOC, real_valloc(size), size);
}

EXPORT void *pvalloc(size_t size) {
  if (UNLIKELY(!READY())) return arena_take(size, 4096);
  uint32_t window = enter();
  return allocated(window, KIND_MALLOC, real_pvalloc(size), size);
}

EXPORT size_t malloc_usable_size(void *block) {
  if (!block) return 0;
  if (UNLIKELY(arena_has(block))) return arena_size(block);
  return READY() && real_malloc_usable_size ? real_malloc_usable_size(block) : 0;
}

/* --- Arenas of interpreters: anonymous mappings, where the runner asked for them --- */

static inline uint32_t mapping_window(void) {
  return records_mappings ? recorder_window() : 0;
}

EXPORT void *mmap(void *wanted, size_t size, int protection, int flags, int fd, off_t offset) {
  if (UNLIKELY(!READY()) || !real_mmap) {
    long result = raw_call(SYS_mmap, (long)wanted, (long)size, protection, flags, fd, offset);
    if (result >= 0 || result <= -4096) return (void *)result;
    errno = (int)-result;
    return MAP_FAILED;
  }
  void *block = real_mmap(wanted, size, protection, flags, fd, offset);
  uint32_t window = mapping_window();
  if (UNLIKELY(window) && flags & MAP_ANONYMOUS && block != MAP_FAILED)
    record(window, KIND_MMAP, (uintptr_t)block, size, 0);
  return block;
}

EXPORT void *mmap64(void *wanted, size_t size, int protection, int flags, int fd, off_t offset) {
  return mmap(wanted, size, protection, flags, fd, offset);
}

EXPORT int munmap(void *block, size_t size) {
  uint32_t window = mapping_window();
  if (UNLIKELY(window)) record(window, KIND_MUNMAP, (uintptr_t)block, size, 0);
  if (READY() && real_munmap) return real_munmap(block, size);
  long result = raw_call(SYS_munmap, (long)block, (long)size, 0, 0, 0, 0);
  if (result == 0) return 0;
  errno = (int)-result;
  return -1;
}

#ifdef SHIM_FAMILIES
#include "families.h"
#endif

/* --- Start and end --- */

/* Whose malloc does the rest of the process call? An executable that defines its own wins over a
 * preload. Asked by calling, since a symbol's address may be that of an executable's stub: while we
 * pretend not to be ready, our own malloc answers from the arena. */
static int brings_own_malloc(void) {
  is_resolved = 0;
  is_resolving = 1;
  void *block = malloc(1);
  is_resolving = 0;
  is_resolved = 1;
  if (arena_has(block)) return 0;
  free(block);
  return 1;
}

/* glibc gives constructors what main gets, before `environ` is set; musl sets that first, and gives
 * them nothing. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

static __attribute__((constructor)) void begin(int argc, char **argv, char **arguments) {
  (void)argc, (void)argv;
  char **variables = gnu_get_libc_version ? arguments : environ;
  if (resolve()) attach(variables, brings_own_malloc);
}

static __attribute__((destructor)) void end(void) { note_end(); }
