/* What Python is too slow for or can't do: read both clocks at once, ring the drainer's bell, and
 * merge, encode and analyse events. Each has a plain twin in Python that the tests compare. */
#define _GNU_SOURCE
#include <time.h>

#include "encode.h"
#include "event.h"
#include "live.h"
#include "merge.h"
#include "probes.h"
#include "syscalls.h"

#define TRIES 5

static uint64_t monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks at one instant: the tightest of a few readings. */
void clock_read(struct clock_pair *pair) {
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < TRIES; i++) {
    uint64_t before = ring_counter();
    uint64_t ns = monotonic();
    uint64_t after = ring_counter();
    if (after - before >= best) continue;
    best = after - before;
    *pair = (struct clock_pair){before + best / 2, ns};
  }
}

/* Wake the drainer, so that it sees what was asked of it. */
void ring_bell(struct ring_header *ring) {
  atomic_fetch_add(&ring->bell, 1);
  raw_futex_wake(&ring->bell);
}
