/* The functions behind ours, looked up once.
 *
 * Everything is looked up together and before `main`: a vfork child or a signal handler must not
 * be the first to ask. Weak references, and a link without libc: the same file also loads where
 * another libc, or an older one, lacks a name. */
#ifndef CODSPEED_MEMORY_REAL_H
#define CODSPEED_MEMORY_REAL_H

#include <dlfcn.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/types.h>

#include "arena.h"

#define EXPORT __attribute__((visibility("default")))

/* result, name, parameters */
#define REAL_FUNCTIONS(X)                                                                      \
  X(void *, malloc, (size_t))                                                                  \
  X(void, free, (void *))                                                                      \
  X(void *, calloc, (size_t, size_t))                                                          \
  X(void *, realloc, (void *, size_t))                                                         \
  X(void *, reallocarray, (void *, size_t, size_t))                                            \
  X(void *, memalign, (size_t, size_t))                                                        \
  X(void *, aligned_alloc, (size_t, size_t))                                                   \
  X(int, posix_memalign, (void **, size_t, size_t))                                            \
  X(void *, valloc, (size_t))                                                                  \
  X(void *, pvalloc, (size_t))                                                                 \
  X(size_t, malloc_usable_size, (void *))                                                      \
  X(void *, mmap, (void *, size_t, int, int, int, off_t))                                      \
  X(int, munmap, (void *, size_t))                                                             \
  X(int, execve, (const char *, char *const[], char *const[]))                                 \
  X(int, execv, (const char *, char *const[]))                                                 \
  X(int, execvp, (const char *, char *const[]))                                                \
  X(int, execvpe, (const char *, char *const[], char *const[]))                                \
  X(int, fexecve, (int, char *const[], char *const[]))                                         \
  X(int, execveat, (int, const char *, char *const[], char *const[], int))                     \
  X(int, posix_spawn,                                                                          \
    (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,     \
     char *const[], char *const[]))                                                            \
  X(int, posix_spawnp,                                                                         \
    (pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,     \
     char *const[], char *const[]))

#define DECLARE(result, name, parameters) static result(*real_##name) parameters;
REAL_FUNCTIONS(DECLARE)

static int is_resolved;
static int is_resolving;

/* The loader is alone when the first call comes, so a plain flag is enough. */
static int resolve(void) {
  if (is_resolved) return 1;
  if (is_resolving) return 0;
  is_resolving = 1;
#define LOOK_UP(result, name, parameters) \
  real_##name = (result(*) parameters)dlsym(RTLD_NEXT, #name);
  REAL_FUNCTIONS(LOOK_UP)
  is_resolved = real_malloc && real_free && real_calloc && real_realloc;
  is_resolving = 0;
  return is_resolved;
}

#define READY() (__builtin_expect(is_resolved, 1) || resolve())

#endif
