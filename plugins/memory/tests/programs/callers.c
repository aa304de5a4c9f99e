/* Calls functions of an allocator by name: `callers ROLE:NAME...`, once it wrote a byte and got one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 300

typedef void *(*function)(uintptr_t, uintptr_t, uintptr_t);

/* Small, past the size classes, and mapped on its own: every branch there may be. */
static const size_t sizes[] = {100, 9000, 3000000};

static void call(const char *role, function called, size_t size) {
  void *block = NULL, *again = NULL;
  if (!strcmp(role, "free")) {
    block = memalign(64, size);
    called((uintptr_t)block, size, 64);
    return;
  }
  if (!strcmp(role, "calloc")) block = called(4, size / 4, 0);
  else if (!strcmp(role, "aligned")) block = called(64, size, 0);
  else if (!strcmp(role, "posix_memalign")) called((uintptr_t)&block, 64, size);
  else if (!strcmp(role, "realloc")) again = called((uintptr_t)malloc(size), size * 2, 64);
  else block = called(size, 64, 0);
  free(block);
  free(again);
}

int main(int argc, char **argv) {
  char byte;
  if (write(1, "", 1) < 0 || read(0, &byte, 1) < 0) return 1;
  for (int i = 1; i < argc; i++) {
    char *name = strchr(argv[i], ':');
    *name++ = 0;
    function called = (function)dlsym(RTLD_DEFAULT, name);
    if (!called) return 2;
    for (int round = 0; round < ROUNDS; round++) call(argv[i], called, sizes[round % 3]);
    if (!strcmp(name, "free")) called(0, 0, 0);
  }
  return 0;
}
