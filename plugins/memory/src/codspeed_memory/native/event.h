/* One event after merging: what is encoded and analysed. `native.py` mirrors it. */
#ifndef CODSPEED_MEMORY_EVENT_H
#define CODSPEED_MEMORY_EVENT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"

struct event {
  uint64_t ns; /* CLOCK_MONOTONIC */
  uint64_t address;
  uint64_t size;
  uint64_t aux;
  uint32_t pid;
  uint32_t tid;
  uint32_t kind;
  uint32_t window;
};
_Static_assert(sizeof(struct event) == 48, "event");

struct clock_pair {
  uint64_t ticks;
  uint64_t ns;
};

#endif
