/* Takes an arena from mmap, as interpreters do, and gives back half of it, then the rest.
 * With -DFREE_THREADED and -rdynamic it has what only a free-threaded CPython exports. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA (256 * 1024)

#ifdef FREE_THREADED
char _Py_DecRefShared;
#endif

int main(void) {
  const char *allocator = getenv("PYTHONMALLOC");
  char *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (arena == MAP_FAILED) return 1;
  if (munmap(arena, ARENA / 2) || munmap(arena + ARENA / 2, ARENA / 2)) return 1;
#ifdef FREE_THREADED
  return allocator && *allocator;
#else
  return !allocator || strcmp(allocator, "malloc");
#endif
}
