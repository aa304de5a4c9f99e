/* What the drainer wrote, chunk by chunk, as one stream in order of time.
 *
 * A chunk is in order by itself, so this is a merge of as many streams as have chunks open at one
 * time, which is the number of threads at work. Windows follow each other; an event belongs to the
 * window its chunk was taken for, however late its thread was. Equal stamps: by order of chunks.
 */
#ifndef CODSPEED_MEMORY_MERGE_H
#define CODSPEED_MEMORY_MERGE_H

#include "event.h"

struct source {
  const struct ring_record *records;
  uint64_t stamp; /* of the record at `at`, never less than of those before it */
  uint64_t order;
  uint32_t at;
  uint32_t count;
  uint32_t window;
  uint32_t pid;
  uint32_t tid;
};

struct merge {
  struct source *sources; /* by window, then first stamp */
  size_t count;
  size_t next; /* the first that is not open yet */
  size_t *heap;
  size_t open;
  const struct clock_pair *pairs; /* none: stamps are nanoseconds */
  size_t pair_count;
  size_t pair;
};

static int earlier(const struct source *a, const struct source *b) {
  return a->stamp != b->stamp ? a->stamp < b->stamp : a->order < b->order;
}

static int by_window_and_time(const void *left, const void *right) {
  const struct source *a = left, *b = right;
  if (a->window != b->window) return a->window < b->window ? -1 : 1;
  return earlier(a, b) ? -1 : earlier(b, a);
}

static size_t count_blocks(const char *data, size_t size) {
  size_t count = 0;
  for (size_t at = 0; at + sizeof(struct ring_block) <= size; count++)
    at += sizeof(struct ring_block) +
          ((const struct ring_block *)(data + at))->count * sizeof(struct ring_record);
  return count;
}

/* Text follows a note, and a stack likewise; it is no event. */
static uint32_t events_in(const struct ring_record *records, uint32_t count) {
  uint32_t kind = records->kind_size & 0xff;
  return kind == KIND_ATTACH || (kind >= KIND_EXEC && kind <= KIND_STACK) ? 1 : count;
}

static int read_blocks(struct merge *merge, const char *data, size_t size) {
  size_t at = 0;
  while (at + sizeof(struct ring_block) <= size) {
    const struct ring_block *block = (const struct ring_block *)(data + at);
    const struct ring_record *records = (const struct ring_record *)(block + 1);
    at += sizeof *block + block->count * sizeof *records;
    if (at > size) return 0; /* cut off */
    if (!block->window || !block->count) continue;
    merge->sources[merge->count++] = (struct source){
        .records = records,      .stamp = records->stamp, .order = block->order,
        .count = events_in(records, block->count), .window = block->window,
        .pid = block->pid,       .tid = block->tid};
  }
  return at == size;
}

void merge_free(struct merge *merge) {
  if (!merge) return;
  free(merge->sources);
  free(merge->heap);
  free(merge);
}

/* NULL if there is no memory or the data is cut off. `pairs` must outlive the merge. */
struct merge *merge_new(const char *data, size_t size, const struct clock_pair *pairs,
                        size_t pair_count) {
  struct merge *merge = calloc(1, sizeof *merge);
  size_t blocks = count_blocks(data, size);
  if (!merge) return NULL;
  merge->sources = calloc(blocks + 1, sizeof *merge->sources);
  merge->heap = calloc(blocks + 1, sizeof *merge->heap);
  if (!merge->sources || !merge->heap || !read_blocks(merge, data, size)) {
    merge_free(merge);
    return NULL;
  }
  qsort(merge->sources, merge->count, sizeof *merge->sources, by_window_and_time);
  merge->pairs = pairs;
  merge->pair_count = pair_count;
  return merge;
}

static int heap_earlier(const struct merge *merge, size_t a, size_t b) {
  return earlier(&merge->sources[merge->heap[a]], &merge->sources[merge->heap[b]]);
}

static void heap_swap(struct merge *merge, size_t a, size_t b) {
  size_t held = merge->heap[a];
  merge->heap[a] = merge->heap[b];
  merge->heap[b] = held;
}

static void heap_push(struct merge *merge, size_t source) {
  size_t at = merge->open++;
  merge->heap[at] = source;
  for (; at && heap_earlier(merge, at, (at - 1) / 2); at = (at - 1) / 2)
    heap_swap(merge, at, (at - 1) / 2);
}

static void heap_sink(struct merge *merge) {
  for (size_t at = 0, child; (child = 2 * at + 1) < merge->open; at = child) {
    if (child + 1 < merge->open && heap_earlier(merge, child + 1, child)) child++;
    if (!heap_earlier(merge, child, at)) return;
    heap_swap(merge, child, at);
  }
}

/* Between two readings of both clocks, by rule of three; integers, so that all readers agree. */
static uint64_t nanoseconds(struct merge *merge, uint64_t ticks) {
  if (!merge->pair_count) return ticks;
  const struct clock_pair *pairs = merge->pairs;
  if (ticks <= pairs[0].ticks || merge->pair_count < 2) return pairs[0].ns;
  while (merge->pair && ticks < pairs[merge->pair].ticks) merge->pair--;
  while (merge->pair + 2 < merge->pair_count && ticks >= pairs[merge->pair + 1].ticks)
    merge->pair++;
  const struct clock_pair *from = &pairs[merge->pair], *to = from + 1;
  uint64_t elapsed, span = to->ticks - from->ticks;
  if (!__builtin_mul_overflow(ticks - from->ticks, to->ns - from->ns, &elapsed))
    return from->ns + elapsed / span;
  return from->ns + (uint64_t)((unsigned __int128)(ticks - from->ticks) *
                               (to->ns - from->ns) / span);
}

/* The first of the others: up to it the source on top goes on alone. */
static const struct source *rival(const struct merge *merge) {
  const struct source *best = NULL;
  for (size_t child = 1; child < 3 && child < merge->open; child++) {
    const struct source *other = &merge->sources[merge->heap[child]];
    if (!best || earlier(other, best)) best = other;
  }
  const struct source *unopened = &merge->sources[merge->next];
  int same = merge->next < merge->count &&
             unopened->window == merge->sources[merge->heap[0]].window;
  return same && (!best || earlier(unopened, best)) ? unopened : best;
}

static size_t run(struct merge *merge, struct source *source, struct event *events, size_t room) {
  const struct source *limit = rival(merge);
  size_t taken = 0;
  while (taken < room && source->at < source->count && (!limit || earlier(source, limit))) {
    const struct ring_record *record = &source->records[source->at++];
    events[taken++] = (struct event){.ns = nanoseconds(merge, source->stamp),
                                     .address = record->address,
                                     .size = record->kind_size >> 8,
                                     .aux = record->aux,
                                     .pid = source->pid,
                                     .tid = source->tid,
                                     .kind = record->kind_size & 0xff,
                                     .window = source->window};
    if (source->at < source->count && record[1].stamp > source->stamp)
      source->stamp = record[1].stamp;
  }
  return taken;
}

static int opens_next(const struct merge *merge) {
  if (merge->next == merge->count) return 0;
  const struct source *next = &merge->sources[merge->next];
  const struct source *top = &merge->sources[merge->heap[0]];
  return next->window == top->window && earlier(next, top);
}

/* Up to `room` events, all of one window; 0 at the end. */
size_t merge_next(struct merge *merge, struct event *events, size_t room) {
  size_t taken = 0;
  while (taken < room) {
    if (!merge->open) {
      if (merge->next == merge->count) break;
      if (taken && merge->sources[merge->next].window != events[taken - 1].window) break;
      heap_push(merge, merge->next++);
    }
    while (opens_next(merge)) heap_push(merge, merge->next++);
    struct source *top = &merge->sources[merge->heap[0]];
    taken += run(merge, top, events + taken, room - taken);
    if (top->at == top->count) merge->heap[0] = merge->heap[--merge->open];
    heap_sink(merge);
  }
  return taken;
}

#endif
