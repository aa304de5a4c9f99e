/* A hash table of non-zero 64-bit keys and 64-bit values: open addressing, no tombstones. */
#ifndef CODSPEED_MEMORY_TABLE_H
#define CODSPEED_MEMORY_TABLE_H

#include <stdint.h>
#include <stdlib.h>

struct table {
  uint64_t (*slots)[2]; /* key, value */
  size_t mask;
  size_t used;
};

static inline size_t table_home(const struct table *table, uint64_t key) {
  return (size_t)((key * 0x9e3779b97f4a7c15ull) >> 20) & table->mask;
}

static void table_free(struct table *table) {
  free(table->slots);
  *table = (struct table){0};
}

static inline size_t table_slot(const struct table *table, uint64_t key) {
  size_t at = table_home(table, key);
  while (table->slots[at][0] && table->slots[at][0] != key) at = (at + 1) & table->mask;
  return at;
}

static int table_get(const struct table *table, uint64_t key, uint64_t *value) {
  if (!table->slots) return 0;
  size_t at = table_slot(table, key);
  if (!table->slots[at][0]) return 0;
  *value = table->slots[at][1];
  return 1;
}

static int table_grow(struct table *table) {
  size_t room = table->slots ? 2 * (table->mask + 1) : 64;
  struct table grown = {calloc(room, sizeof *grown.slots), room - 1, table->used};
  if (!grown.slots) return 0;
  for (size_t i = 0; table->slots && i <= table->mask; i++) {
    if (!table->slots[i][0]) continue;
    size_t at = table_slot(&grown, table->slots[i][0]);
    grown.slots[at][0] = table->slots[i][0];
    grown.slots[at][1] = table->slots[i][1];
  }
  free(table->slots);
  *table = grown;
  return 1;
}

/* 0 when memory ran out. */
static int table_put(struct table *table, uint64_t key, uint64_t value) {
  if ((!table->slots || 2 * table->used > table->mask) && !table_grow(table)) return 0;
  size_t at = table_slot(table, key);
  table->used += !table->slots[at][0];
  table->slots[at][0] = key;
  table->slots[at][1] = value;
  return 1;
}

/* Remove `key`; those behind it move up, so that no search ends too early. */
static int table_take(struct table *table, uint64_t key, uint64_t *value) {
  if (!table->slots) return 0;
  size_t hole = table_slot(table, key);
  if (!table->slots[hole][0]) return 0;
  *value = table->slots[hole][1];
  for (size_t at = (hole + 1) & table->mask; table->slots[at][0]; at = (at + 1) & table->mask) {
    size_t home = table_home(table, table->slots[at][0]);
    if (((at - home) & table->mask) < ((at - hole) & table->mask)) continue;
    table->slots[hole][0] = table->slots[at][0];
    table->slots[hole][1] = table->slots[at][1];
    hole = at;
  }
  table->slots[hole][0] = 0;
  table->used--;
  return 1;
}

#endif
