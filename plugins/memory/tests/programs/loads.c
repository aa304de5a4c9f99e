/* Two threads load a library each at the same time, and use it at once: `loads MI_LIB JE_LIB`. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

struct use {
  const char *path;
  const char *take;
  const char *give;
  size_t size;
};

static pthread_barrier_t together;

static void *load(void *argument) {
  struct use *use = argument;
  pthread_barrier_wait(&together);
  void *library = dlopen(use->path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return use;
  void *(*take)(size_t) = (void *(*)(size_t))dlsym(library, use->take);
  void (*give)(void *) = (void (*)(void *))dlsym(library, use->give);
  if (!take || !give) return use;
  for (int i = 0; i < 100; i++) give(take(use->size));
  return NULL;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct use uses[] = {{argv[1], "mi_malloc", "mi_free", 4242},
                       {argv[2], "je_malloc", "je_free", 4243}};
  pthread_t threads[2];
  int failures = 0;
  pthread_barrier_init(&together, NULL, 2);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, load, &uses[i]);
  for (int i = 0; i < 2; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    failures += failed != NULL;
  }
  return failures;
}
