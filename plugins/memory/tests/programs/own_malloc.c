/* A program with an allocator of its own: it never frees. Becomes another program if told so. */
#include <stddef.h>
#include <unistd.h>

static char memory[1 << 20];
static size_t used;

void *malloc(size_t size) {
  size_t at = used;
  used += (size + 15) & ~(size_t)15;
  return used <= sizeof memory ? memory + at : NULL;
}

void free(void *block) { (void)block; }

void *calloc(size_t count, size_t size) { return malloc(count * size); }

void *realloc(void *block, size_t size) {
  (void)block;
  return malloc(size);
}

int main(int argc, char **argv) {
  char *volatile block = malloc(100);
  if (argc > 1) execv(argv[1], argv + 1);
  return block == NULL || argc > 1;
}
