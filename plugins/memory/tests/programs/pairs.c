/* Mixed allocations with 1024 blocks live: `pairs PAIRS [THREADS]`; prints what it did.
 *
 * The numbers come from a generator with a fixed seed, so that every run is the same run. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LIVE 1024

struct worker {
  long pairs;
  uint64_t seed;
  uint64_t total;
};

static uint64_t next(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static void *work(void *argument) {
  struct worker *worker = argument;
  void **blocks = calloc(LIVE, sizeof *blocks);
  for (long i = 0; i < worker->pairs; i++) {
    uint64_t number = next(&worker->seed);
    size_t place = number % LIVE;
    size_t size = number & 0x10000 ? 16 + (number >> 20) % 240 : 16 + (number >> 20) % 20464;
    free(blocks[place]);
    blocks[place] = malloc(size);
    worker->total += size;
  }
  for (size_t i = 0; i < LIVE; i++) free(blocks[i]);
  free(blocks);
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  long pairs = argc > 1 ? atol(argv[1]) : 100000;
  int threads = argc > 2 ? atoi(argv[2]) : 1;
  struct worker workers[64];
  pthread_t handles[64];
  uint64_t total = 0;
  double start = now();
  for (int i = 0; i < threads; i++) {
    workers[i] = (struct worker){pairs / threads, 88172645463325252ull + (uint64_t)i, 0};
    if (threads > 1) pthread_create(&handles[i], NULL, work, &workers[i]);
    else work(&workers[i]);
  }
  for (int i = 0; threads > 1 && i < threads; i++) pthread_join(handles[i], NULL);
  double seconds = now() - start;
  for (int i = 0; i < threads; i++) total += workers[i].total;
  /* Unlike printf this takes no buffer from malloc. */
  char text[128];
  int length = snprintf(text, sizeof text, "%ld %llu %.9f\n", pairs / threads * threads,
                        (unsigned long long)total, seconds);
  return write(1, text, (size_t)length) != length;
}
