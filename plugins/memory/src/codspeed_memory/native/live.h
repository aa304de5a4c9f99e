/* What is live, when: peak, leaks and a course over time of one window.
 *
 * The rules (live.py has them in Python, and tests hold the two together):
 *   - a block is known by process and address; an allocation on a live address replaces it
 *   - a free of an unknown address changes nothing: the block is from before the window
 *   - realloc is a free of the old block and an allocation of the new one
 *   - memory of a process that ended (DETACH) or became another program (ATTACH) is gone, and what
 *     it had not freed counts as leaked; frees that come later still lower that
 */
#ifndef CODSPEED_MEMORY_LIVE_H
#define CODSPEED_MEMORY_LIVE_H

#include "event.h"
#include "table.h"

#define BUCKETS 512
#define FIRST_WIDTH_NS 1024
#define SIZES 65

struct process_usage {
  uint64_t pid;
  uint64_t allocations;
  uint64_t frees;
  uint64_t total;
  uint64_t peak;
  uint64_t live; /* at its end or that of the window */
};

struct usage {
  uint64_t events;
  uint64_t allocations;
  uint64_t frees;
  uint64_t total;
  uint64_t peak;
  uint64_t live_at_end;
  uint64_t leaked;
  uint64_t leaked_blocks;
  uint64_t unknown_frees;
  uint64_t processes;
  uint64_t width_ns;           /* of a bucket */
  uint64_t histogram[SIZES];   /* allocations by bit length of their size */
  uint64_t timeline[BUCKETS];  /* highest live bytes in each bucket, plus one; 0: no event */
};

/* A block of which a stack was taken; times are numbers of events, 0: it never came. */
struct sampled {
  uint64_t order; /* which stack */
  uint64_t born;
  uint64_t died; /* freed, or its process has ended */
  uint64_t freed;
};

struct process_state {
  struct process_usage usage;
  struct table blocks;
  struct table marks; /* address -> place in `sampled` */
  uint64_t block_count;
  int has_ended;
};

struct live {
  struct usage usage;
  uint64_t start_ns;
  uint64_t now; /* live bytes of all processes that did not end */
  struct process_state *processes;
  size_t room;
  size_t last;        /* the process of the last event */
  struct table index; /* pid -> place in `processes` */
  uint64_t peak_at;   /* number of the event */
  struct sampled *sampled;
  size_t sampled_count;
  size_t sampled_room;
  int out_of_memory;
};

/* A realloc under way is kept among the blocks: no address has the highest bit. */
#define PENDING(tid) (1ull << 63 | (tid))

void live_free(struct live *live) {
  if (!live) return;
  for (size_t i = 0; i < live->usage.processes; i++) {
    table_free(&live->processes[i].blocks);
    table_free(&live->processes[i].marks);
  }
  free(live->processes);
  free(live->sampled);
  table_free(&live->index);
  free(live);
}

struct live *live_new(uint64_t start_ns) {
  struct live *live = calloc(1, sizeof *live);
  if (!live) return NULL;
  live->start_ns = start_ns;
  live->usage.width_ns = FIRST_WIDTH_NS;
  return live;
}

static struct process_state *process_of(struct live *live, uint32_t pid) {
  uint64_t place, known = live->usage.processes;
  if (known && live->processes[live->last].usage.pid == pid) return &live->processes[live->last];
  if (!table_get(&live->index, (uint64_t)pid + 1, &place)) {
    if (known == live->room) {
      size_t room = live->room ? 2 * live->room : 16;
      struct process_state *more = realloc(live->processes, room * sizeof *more);
      if (!more) return NULL;
      live->processes = more;
      live->room = room;
    }
    place = live->usage.processes++;
    live->processes[place] = (struct process_state){.usage = {.pid = pid}};
    if (!table_put(&live->index, (uint64_t)pid + 1, place)) return NULL;
  }
  live->last = place;
  return &live->processes[place];
}

/* --- Stacks --- */

static void block_went(struct live *live, struct process_state *process, uint64_t address) {
  uint64_t place;
  if (!table_get(&process->marks, address, &place) || !live->sampled[place].born) return;
  table_take(&process->marks, address, &place);
  if (!live->sampled[place].died) live->sampled[place].died = live->usage.events;
  live->sampled[place].freed = 1;
}

static void block_came(struct live *live, struct process_state *process, uint64_t address) {
  uint64_t place;
  if (!table_get(&process->marks, address, &place)) return;
  live->sampled[place].born = live->usage.events;
  if (process->has_ended) live->sampled[place].died = live->usage.events;
}

/* While a block is moved it is known by its thread. */
static void block_moves(struct live *live, struct process_state *process, uint64_t from,
                        uint64_t to) {
  uint64_t place;
  if (table_take(&process->marks, from, &place) && !table_put(&process->marks, to, place))
    live->out_of_memory = 1;
}

/* A stack was taken for the next allocation on its address. */
static void mark(struct live *live, struct process_state *process, const struct event *event) {
  if (live->sampled_count == live->sampled_room) {
    size_t room = live->sampled_room ? 2 * live->sampled_room : 64;
    struct sampled *more = realloc(live->sampled, room * sizeof *more);
    if (!more) {
      live->out_of_memory = 1;
      return;
    }
    live->sampled = more;
    live->sampled_room = room;
  }
  block_went(live, process, event->address);
  live->sampled[live->sampled_count] = (struct sampled){.order = event->aux};
  if (!table_put(&process->marks, event->address, live->sampled_count++)) live->out_of_memory = 1;
}

static void all_died(struct live *live, const struct process_state *process) {
  for (size_t i = 0; process->marks.slots && i <= process->marks.mask; i++) {
    if (!process->marks.slots[i][0]) continue;
    struct sampled *sampled = &live->sampled[process->marks.slots[i][1]];
    if (sampled->born && !sampled->died) sampled->died = live->usage.events;
  }
}

/* --- Blocks --- */

static void grow(struct live *live, struct process_state *process, uint64_t bytes) {
  process->usage.live += bytes;
  if (process->usage.live > process->usage.peak) process->usage.peak = process->usage.live;
  if (process->has_ended) return;
  live->now += bytes;
  if (live->now <= live->usage.peak) return;
  live->usage.peak = live->now;
  live->peak_at = live->usage.events;
}

static void shrink(struct live *live, struct process_state *process, uint64_t bytes) {
  process->usage.live -= bytes;
  if (!process->has_ended) live->now -= bytes;
}

static int take_block(struct live *live, struct process_state *process, uint64_t address,
                      uint64_t *size) {
  if (!table_take(&process->blocks, address, size)) return 0;
  process->block_count--;
  shrink(live, process, *size);
  block_went(live, process, address);
  return 1;
}

static void put_block(struct live *live, struct process_state *process, uint64_t address,
                      uint64_t size) {
  uint64_t replaced;
  take_block(live, process, address, &replaced);
  if (!table_put(&process->blocks, address, size)) live->out_of_memory = 1;
  process->block_count++;
  block_came(live, process, address);
  grow(live, process, size);
}

static void allocate(struct live *live, struct process_state *process, const struct event *event) {
  int bits = event->size ? 64 - __builtin_clzll(event->size) : 0;
  live->usage.allocations++;
  live->usage.total += event->size;
  live->usage.histogram[bits]++;
  process->usage.allocations++;
  process->usage.total += event->size;
  put_block(live, process, event->address, event->size);
}

static void count_free(struct live *live, struct process_state *process, int is_known) {
  live->usage.frees++;
  process->usage.frees++;
  live->usage.unknown_frees += !is_known;
}

static void unmap(struct live *live, struct process_state *process, const struct event *event) {
  uint64_t size;
  int is_known = take_block(live, process, event->address, &size);
  count_free(live, process, is_known);
  if (is_known && event->size < size)
    put_block(live, process, event->address + event->size, size - event->size);
}

static void reallocated(struct live *live, struct process_state *process,
                        const struct event *event) {
  uint64_t old;
  block_went(live, process, PENDING(event->tid));
  if (event->aux)
    count_free(live, process, table_take(&process->blocks, PENDING(event->tid), &old));
  allocate(live, process, event);
}

static void not_reallocated(struct live *live, struct process_state *process,
                            const struct event *event) {
  uint64_t old;
  int is_known = table_take(&process->blocks, PENDING(event->tid), &old);
  if (!event->size) {
    block_went(live, process, PENDING(event->tid));
    count_free(live, process, is_known);
  } else if (is_known) {
    put_block(live, process, event->address, old);
    block_moves(live, process, PENDING(event->tid), event->address);
  }
}

static void ended(struct live *live, struct process_state *process) {
  if (!process->has_ended) live->now -= process->usage.live;
  all_died(live, process);
  process->has_ended = 1;
}

static void replaced(struct live *live, struct process_state *process) {
  ended(live, process);
  live->usage.leaked += process->usage.live;
  live->usage.leaked_blocks += process->block_count;
  table_free(&process->blocks);
  table_free(&process->marks);
  process->usage.live = process->block_count = 0;
  process->has_ended = 0;
}

static void apply(struct live *live, struct process_state *process, const struct event *event) {
  uint64_t size;
  switch (event->kind) {
    case KIND_MALLOC:
    case KIND_CALLOC:
    case KIND_ALIGNED:
    case KIND_MMAP: allocate(live, process, event); break;
    case KIND_FREE:
      count_free(live, process, take_block(live, process, event->address, &size));
      break;
    case KIND_MUNMAP: unmap(live, process, event); break;
    case KIND_REALLOC_BEGIN:
      block_moves(live, process, event->address, PENDING(event->tid));
      if (take_block(live, process, event->address, &size) &&
          !table_put(&process->blocks, PENDING(event->tid), size))
        live->out_of_memory = 1;
      break;
    case KIND_REALLOC: reallocated(live, process, event); break;
    case KIND_REALLOC_FAILED: not_reallocated(live, process, event); break;
    case KIND_DETACH: ended(live, process); break;
    case KIND_ATTACH: replaced(live, process); break;
    default: break;
  }
}

/* Buckets double in width when time runs past the last; their highest values stay. */
static void note_time(struct live *live, uint64_t ns) {
  struct usage *usage = &live->usage;
  uint64_t offset = ns > live->start_ns ? ns - live->start_ns : 0;
  while (offset / usage->width_ns >= BUCKETS) {
    for (size_t i = 0; i < BUCKETS / 2; i++) {
      uint64_t a = usage->timeline[2 * i], b = usage->timeline[2 * i + 1];
      usage->timeline[i] = a > b ? a : b;
    }
    memset(usage->timeline + BUCKETS / 2, 0, sizeof usage->timeline / 2);
    usage->width_ns *= 2;
  }
  uint64_t *bucket = &usage->timeline[offset / usage->width_ns];
  if (live->now + 1 > *bucket) *bucket = live->now + 1;
}

/* Returns 0 when memory ran out. */
int live_feed(struct live *live, const struct event *events, size_t count) {
  for (size_t i = 0; i < count && !live->out_of_memory; i++) {
    if (events[i].kind >= KIND_EXEC && events[i].kind != KIND_STACK) continue;
    struct process_state *process = process_of(live, events[i].pid);
    if (!process) return 0;
    if (events[i].kind == KIND_STACK) {
      mark(live, process, &events[i]);
      continue;
    }
    live->usage.events++;
    apply(live, process, &events[i]);
    note_time(live, events[i].ns);
  }
  return !live->out_of_memory;
}

/* The window is closed: tell the sums; `processes` as many as `usage->processes` says. */
const struct process_usage *live_process(const struct live *live, size_t index) {
  return &live->processes[index].usage;
}

/* Blocks of which stacks were taken, `count` of them. */
const struct sampled *live_sampled(const struct live *live, size_t *count, uint64_t *peak_at) {
  *count = live->sampled_count;
  *peak_at = live->peak_at;
  return live->sampled;
}

void live_finish(struct live *live, struct usage *usage) {
  live->usage.live_at_end = live->now;
  for (size_t i = 0; i < live->usage.processes; i++) {
    live->usage.leaked += live->processes[i].usage.live;
    live->usage.leaked_blocks += live->processes[i].block_count;
  }
  *usage = live->usage;
}

#endif
