/* Allocators with names of their own: C++ operators, jemalloc, mimalloc, tcmalloc.
 *
 * Part of the second shim only, which is preloaded when the program links such a library: to
 * interpose `operator new` is no harmless thing. libstdc++ may come in by a local dlopen, where
 * RTLD_NEXT finds nothing; then malloc serves, as libstdc++ itself would have it. What these call
 * inside (new calls malloc) is not counted twice: the thread is `quiet` meanwhile.
 */
#ifndef CODSPEED_MEMORY_FAMILIES_H
#define CODSPEED_MEMORY_FAMILIES_H

#define LOOK_UP_ONCE(type, name)                            \
  static __typeof__(type) real;                             \
  static int looked_up;                                     \
  if (!looked_up) {                                         \
    real = (__typeof__(type))dlsym(RTLD_NEXT, name);        \
    looked_up = 1;                                          \
  }

static inline void *taken(uint32_t kind, uint32_t window, void *block, size_t size) {
  if (window && block) record(window, kind, (uintptr_t)block, size, 0);
  return block;
}

#define TAKES(kind, name, parameters, arguments, size, otherwise) \
  EXPORT void *name parameters {                                  \
    LOOK_UP_ONCE(void *(*)parameters, #name)                      \
    uint32_t window = enter();                                  \
    void *block = real ? real arguments : (otherwise);            \
    leave();                                                     \
    return taken(kind, window, block, size);                      \
  }

#define GIVES(name, parameters, arguments)                                      \
  EXPORT void name parameters {                                                 \
    if (!block || arena_has(block)) return;                                     \
    LOOK_UP_ONCE(void(*) parameters, #name)                                     \
    uint32_t window = enter();                                                \
    if (window) record(window, KIND_FREE, (uintptr_t)block, 0, 0);              \
    if (real) real arguments; else real_free(block);                            \
    leave();                                                                   \
  }

#define RESIZES(name, parameters, arguments)                                              \
  EXPORT void *name parameters {                                                          \
    LOOK_UP_ONCE(void *(*)parameters, #name)                                              \
    uint32_t window = enter();                                                          \
    if (window && block) record(window, KIND_REALLOC_BEGIN, (uintptr_t)block, 0, 0);      \
    void *grown = real ? real arguments : real_realloc(block, size);                      \
    if (window && grown)                                                                  \
      record(window, KIND_REALLOC, (uintptr_t)grown, size, (uintptr_t)block);             \
    else if (window && block)                                                             \
      record(window, KIND_REALLOC_FAILED, (uintptr_t)block, size, 0);                     \
    leave();                                                                             \
    return grown;                                                                         \
  }

/* operator new and delete; `m` is size_t, the aligned forms carry align_val_t */
TAKES(KIND_MALLOC, _Znwm, (size_t size), (size), size, real_malloc(size))
TAKES(KIND_MALLOC, _Znam, (size_t size), (size), size, real_malloc(size))
TAKES(KIND_MALLOC, _ZnwmRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), size,
      real_malloc(size))
TAKES(KIND_MALLOC, _ZnamRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), size,
      real_malloc(size))
TAKES(KIND_MALLOC, _ZnwmSt11align_val_t, (size_t size, size_t alignment), (size, alignment), size,
      real_aligned_alloc(alignment, size))
TAKES(KIND_MALLOC, _ZnamSt11align_val_t, (size_t size, size_t alignment), (size, alignment), size,
      real_aligned_alloc(alignment, size))
GIVES(_ZdlPv, (void *block), (block))
GIVES(_ZdaPv, (void *block), (block))
GIVES(_ZdlPvm, (void *block, size_t size), (block, size))
GIVES(_ZdaPvm, (void *block, size_t size), (block, size))
GIVES(_ZdlPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
GIVES(_ZdaPvSt11align_val_t, (void *block, size_t alignment), (block, alignment))
GIVES(_ZdlPvmSt11align_val_t, (void *block, size_t size, size_t alignment),
      (block, size, alignment))
GIVES(_ZdaPvmSt11align_val_t, (void *block, size_t size, size_t alignment),
      (block, size, alignment))

/* Each family's own standard set. */
#define FAMILY(prefix)                                                                          \
  TAKES(KIND_MALLOC, prefix##malloc, (size_t size), (size), size, real_malloc(size))            \
  TAKES(KIND_CALLOC, prefix##calloc, (size_t count, size_t size), (count, size), count *size,   \
        real_calloc(count, size))                                                               \
  TAKES(KIND_ALIGNED, prefix##memalign, (size_t alignment, size_t size), (alignment, size),     \
        size, real_memalign(alignment, size))                                                   \
  TAKES(KIND_ALIGNED, prefix##aligned_alloc, (size_t alignment, size_t size),                   \
        (alignment, size), size, real_aligned_alloc(alignment, size))                           \
  RESIZES(prefix##realloc, (void *block, size_t size), (block, size))                           \
  GIVES(prefix##free, (void *block), (block))                                                   \
  EXPORT int prefix##posix_memalign(void **block, size_t alignment, size_t size) {              \
    LOOK_UP_ONCE(int (*)(void **, size_t, size_t), #prefix "posix_memalign")                    \
    uint32_t window = enter();                                                                \
    int failure = real ? real(block, alignment, size)                                           \
                       : real_posix_memalign(block, alignment, size);                           \
    leave();                                                                                   \
    if (!failure) taken(KIND_ALIGNED, window, *block, size);                                    \
    return failure;                                                                             \
  }

FAMILY(je_)
FAMILY(mi_)
FAMILY(tc_)

/* What only one of them has. */
TAKES(KIND_MALLOC, mallocx, (size_t size, int flags), (size, flags), size, real_malloc(size))
RESIZES(rallocx, (void *block, size_t size, int flags), (block, size, flags))
GIVES(dallocx, (void *block, int flags), (block, flags))
GIVES(sdallocx, (void *block, size_t size, int flags), (block, size, flags))
TAKES(KIND_CALLOC, mi_zalloc, (size_t size), (size), size, real_calloc(1, size))
TAKES(KIND_MALLOC, mi_malloc_aligned, (size_t size, size_t alignment), (size, alignment), size,
      real_aligned_alloc(alignment, size))
TAKES(KIND_CALLOC, mi_zalloc_aligned, (size_t size, size_t alignment), (size, alignment), size,
      real_aligned_alloc(alignment, size))
RESIZES(mi_realloc_aligned, (void *block, size_t size, size_t alignment),
        (block, size, alignment))

#endif
