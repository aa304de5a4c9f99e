/* Events as the programs in the kernel record them, sorted into blocks of one thread and window.
 *
 * A note (kind from ATTACH on) gets a block of its own: text would follow it. Stamps are nanoseconds;
 * where others in the recording are counter ticks, these become ticks too, by the rule of three
 * between two readings of both clocks. `blocks.py` has the same in Python.
 */
#ifndef CODSPEED_MEMORY_PROBES_H
#define CODSPEED_MEMORY_PROBES_H

#include "event.h"

struct probe_event {
  uint64_t header; /* of the kernel's ring */
  struct ring_record record;
  uint32_t pid;
  uint32_t tid;
  uint32_t window;
  uint32_t unused;
};
_Static_assert(sizeof(struct probe_event) == 56, "probe_event");

static uint64_t ticks_of(uint64_t ns, const struct clock_pair *pairs, size_t count) {
  if (!count) return ns;
  if (ns <= pairs[0].ns || count < 2) return pairs[0].ticks;
  size_t low = 0, high = count - 2; /* the last segment that begins at or before it */
  while (low < high) {
    size_t middle = (low + high + 1) / 2;
    if (pairs[middle].ns <= ns) low = middle;
    else high = middle - 1;
  }
  const struct clock_pair *from = &pairs[low], *to = from + 1;
  if (to->ns == from->ns) return from->ticks;
  return from->ticks + (uint64_t)((unsigned __int128)(ns - from->ns) *
                                  (to->ticks - from->ticks) / (to->ns - from->ns));
}

static int is_note(const struct probe_event *event) {
  return (event->record.kind_size & 0xff) >= KIND_FIRST_TEXT;
}

static int same_block(const struct ring_block *block, const struct probe_event *event) {
  return !block->flags && block->pid == event->pid && block->tid == event->tid &&
         block->window == event->window;
}

/* Which block each event goes to; `places` has room for twice as many slots, all zero. */
static uint32_t assign(const struct probe_event *events, size_t count, struct ring_block *blocks,
                       uint32_t *owner, uint32_t *slots, size_t mask) {
  uint32_t used = 0, last = 0;
  for (size_t i = 0; i < count; i++) {
    const struct probe_event *event = &events[i];
    if (used && same_block(&blocks[last], event) && !is_note(event)) {
      blocks[owner[i] = last].count++;
      continue;
    }
    size_t at = (event->tid * 2654435761u ^ event->pid * 40503u ^ event->window * 97u) & mask;
    while (!is_note(event) && slots[at] && !same_block(&blocks[slots[at] - 1], event))
      at = (at + 1) & mask;
    if (is_note(event) || !slots[at]) {
      blocks[used] = (struct ring_block){.pid = event->pid, .tid = event->tid,
                                         .window = event->window, .flags = is_note(event)};
      if (!is_note(event)) slots[at] = used + 1;
      last = used++;
    } else {
      last = slots[at] - 1;
    }
    blocks[owner[i] = last].count++;
  }
  return used;
}

/* Write the blocks of `count` events to `out`, which has room for a block of each; return their
 * size in bytes, or 0 if there is no memory. `order` counts blocks through the recording. */
size_t probe_blocks(const struct probe_event *events, size_t count, uint64_t *order,
                    const struct clock_pair *pairs, size_t pair_count, char *out) {
  size_t room = 1;
  while (room < 2 * count + 1) room *= 2;
  struct ring_block *blocks = calloc(count + 1, sizeof *blocks);
  uint32_t *owner = calloc(count + 1, sizeof *owner), *slots = calloc(room, sizeof *slots);
  char **next = calloc(count + 1, sizeof *next), *end = out;
  uint32_t used = blocks && owner && slots && next
                      ? assign(events, count, blocks, owner, slots, room - 1)
                      : 0;
  for (uint32_t i = 0; i < used; i++) {
    blocks[i].order = (*order)++;
    blocks[i].flags = 0;
    memcpy(end, &blocks[i], sizeof *blocks);
    next[i] = end + sizeof *blocks;
    end = next[i] + blocks[i].count * sizeof(struct ring_record);
  }
  for (size_t i = 0; used && i < count; i++) {
    struct ring_record record = events[i].record;
    record.stamp = ticks_of(record.stamp, pairs, pair_count);
    memcpy(next[owner[i]], &record, sizeof record);
    next[owner[i]] += sizeof record;
  }
  free(blocks);
  free(owner);
  free(slots);
  free(next);
  return (size_t)(end - out);
}

#endif
