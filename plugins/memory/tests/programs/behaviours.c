/* The ten behaviours that the reference's recorder is tested with (spec/executors.md 4.7). */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The compiler removes a pair of malloc and free that nobody looks at. */
static void *used(void *block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

static int malloc_free(void) {
  free(used(malloc(512)));
  return 0;
}

static int double_malloc(void) {
  void *first = used(malloc(1024)), *second = used(malloc(2048));
  free(first);
  free(second);
  return 0;
}

static int calloc_test(void) {
  free(used(calloc(10, 100)));
  return 0;
}

static int realloc_test(void) {
  free(used(realloc(used(malloc(100)), 200)));
  return 0;
}

static int aligned_alloc_test(void) {
  free(used(aligned_alloc(64, 512)));
  return 0;
}

static int posix_memalign_test(void) {
  void *block;
  if (posix_memalign(&block, 128, 768)) return 1;
  free(used(block));
  return 0;
}

static int posix_memalign_einval(void) {
  void *block = NULL;
  if (!posix_memalign(&block, 3, 768)) return 1;
  return malloc_free();
}

static int many_allocs(void) {
  void **blocks = used(malloc(800));
  for (int i = 0; i < 100; i++) blocks[i] = used(malloc(64));
  for (int i = 0; i < 100; i++) free(blocks[i]);
  free(blocks);
  return 0;
}

static int alloc_size(void) {
  static const size_t sizes[] = {1024, 2048, 512, 4096};
  void *blocks[4];
  for (int i = 0; i < 4; i++) blocks[i] = used(malloc(sizes[i]));
  for (int i = 0; i < 4; i++) free(blocks[i]);
  return 0;
}

static int fork_test(void) {
  void *block = used(malloc(256));
  pid_t child = fork();
  if (!child) {
    free(used(malloc(512)));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  free(block);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(void);
} behaviours[] = {
    {"malloc_free", malloc_free},
    {"double_malloc", double_malloc},
    {"calloc_test", calloc_test},
    {"realloc_test", realloc_test},
    {"aligned_alloc_test", aligned_alloc_test},
    {"posix_memalign_test", posix_memalign_test},
    {"posix_memalign_einval", posix_memalign_einval},
    {"many_allocs", many_allocs},
    {"alloc_size", alloc_size},
    {"fork_test", fork_test},
};

int main(int argc, char **argv) {
  for (size_t i = 0; argc > 1 && i < sizeof behaviours / sizeof *behaviours; i++)
    if (!strcmp(argv[1], behaviours[i].name)) return behaviours[i].run();
  return 2;
}
