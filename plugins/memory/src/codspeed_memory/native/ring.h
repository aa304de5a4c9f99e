/* The shared ring: one writer per chunk, any number of processes, one drainer.
 *
 * A record exists as soon as its chunk's `count` covers it. Nothing is buffered in the target, so
 * whatever ends a process (_exit, exec, abort, SIGKILL) loses nothing. `ring.py` has the same
 * offsets; a test compares the two.
 */
#ifndef CODSPEED_MEMORY_RING_H
#define CODSPEED_MEMORY_RING_H

#include <stdatomic.h>
#include <stdint.h>

#define RING_MAGIC 0x474e524du /* "MRNG" */
#define RING_VERSION 2u        /* 1: first; 2: stacks */

/* header.flags */
#define RING_COUNTER_CLOCK 1u /* stamps are counter ticks; else CLOCK_MONOTONIC nanoseconds */
#define RING_MAPPINGS 2u      /* record anonymous mmap and munmap too: arenas of interpreters */
#define RING_PROBED 4u        /* programs with a malloc of their own have probes on it */

/* chunk.state; FREE -> TAKEN -> OWNED -> FULL -> FREE. Only a chunk that is FULL is drained, and
 * TAKEN hides a half-filled descriptor from whoever looks for chunks of dead threads. */
enum chunk_state { CHUNK_FREE = 0, CHUNK_TAKEN = 1, CHUNK_OWNED = 2, CHUNK_FULL = 3 };

/* chunk.flags */
#define CHUNK_FOREIGN 1u /* written in another pid namespace: its ids mean nothing to the drainer */

enum record_kind {
  KIND_MALLOC = 1,
  KIND_FREE = 2,
  KIND_REALLOC = 3, /* address: new, aux: old */
  KIND_CALLOC = 4,
  KIND_ALIGNED = 5,
  KIND_MMAP = 6,
  KIND_MUNMAP = 7,
  /* Not heap events. `address` is a process id where text follows; the text fills the next
   * records, `size` is its length in bytes. */
  KIND_REALLOC_BEGIN = 16, /* address: the old block, about to go */
  KIND_REALLOC_FAILED = 17,
  KIND_ATTACH = 18, /* text: the executable; aux: ATTACH_* */
  KIND_DETACH = 19,
  KIND_EXEC = 20, /* text: the program */
  KIND_EXEC_FAILED = 21,
  KIND_SPAWN = 22, /* text: the program; address: the child */
  KIND_CODE = 23,  /* text: lines of /proc/PID/maps, of what can be executed */
  /* `address` is about to be given out; aux: the chunk's order. What follows, `size` bytes, is a
   * ring_stack, registers and a copy of the stack. */
  KIND_STACK = 24,
};
#define KIND_FIRST_TEXT KIND_ATTACH

#define ATTACH_OWN_MALLOC 1u /* the executable brings its own malloc: we see nothing of it */
#define ATTACH_FOREIGN 2u    /* another pid namespace */

struct ring_record {
  uint64_t stamp;
  uint64_t address;
  uint64_t kind_size; /* kind in the low byte, size above it */
  uint64_t aux;
};

struct ring_stack {
  uint64_t size;     /* of the block */
  uint64_t interval; /* bytes from sample to sample, in the mean */
  uint64_t same;     /* bytes above the copy that are what the thread's last stack had there */
  uint64_t mask;     /* which registers: sample_regs_user of perf_event_open(2) */
  uint64_t registers[];
};

struct ring_chunk { /* a cache line of its own */
  _Atomic uint32_t state;
  uint32_t pid;
  uint32_t tid;
  _Atomic uint32_t count; /* records that are whole */
  uint64_t order;         /* of taking; tells two chunks of one thread apart */
  uint32_t window;
  uint32_t flags;
  uint64_t unused[4];
};

struct ring_header {
  /* Written by the runner before anyone maps it, but for `enabled`. */
  uint32_t magic;
  uint32_t version;
  _Atomic uint32_t enabled; /* 0: off; else the id of the window that is open */
  uint32_t flags;
  uint32_t chunk_bytes;
  uint32_t chunks;
  uint32_t table_offset;
  uint32_t data_offset;
  uint64_t pid_namespace;  /* inode of the runner's */
  uint64_t stack_interval; /* bytes from stack to stack, in the mean; 0: no stacks */
  /* Stacks taken in this window, by all; here, since this line is seldom written then. */
  _Atomic uint64_t stacks;
  uint64_t unused0;
  /* Written by targets and the drainer; on other cache lines than what every event reads. */
  _Atomic uint64_t order;
  _Atomic uint64_t dropped;
  _Atomic uint64_t waits;
  _Atomic uint32_t hint;    /* the lowest chunk that may be free */
  _Atomic uint32_t highest; /* chunks at and above it were never used */
  _Atomic uint32_t waiters;
  _Atomic uint32_t released; /* futex: chunks became free */
  _Atomic uint32_t full;     /* chunks that wait for the drainer */
  _Atomic uint32_t bell;     /* futex: the drainer has work */
  _Atomic uint32_t sleeping; /* the drainer waits for the bell */
  _Atomic uint32_t stop;     /* the runner asks the drainer to finish */
  _Atomic uint32_t closed;   /* nobody drains any more */
  _Atomic uint32_t error;    /* errno of the drainer */
};

/* What the drainer writes for each chunk: this, then `count` records. */
struct ring_block {
  uint32_t pid;
  uint32_t tid;
  uint32_t count;
  uint32_t window;
  uint64_t order;
  uint32_t flags;
  uint32_t unused;
};

/* The drainer is woken for this many full chunks at once: a wake-up costs more than a chunk. */
#define RING_BATCH 8u

_Static_assert(sizeof(struct ring_record) == 32, "record");
_Static_assert(sizeof(struct ring_chunk) == 64, "chunk");
_Static_assert(sizeof(struct ring_block) == 32, "block");
_Static_assert(sizeof(struct ring_header) == 128, "header");

static inline struct ring_chunk *ring_chunk_at(struct ring_header *ring, uint32_t index) {
  return (struct ring_chunk *)((char *)ring + ring->table_offset) + index;
}

static inline struct ring_record *ring_records_at(struct ring_header *ring, uint32_t index) {
  return (struct ring_record *)((char *)ring + ring->data_offset +
                                (uint64_t)index * ring->chunk_bytes);
}

/* The counter that stamps are made of: constant rate, equal on all cores, no system call. */
static inline uint64_t ring_counter(void) {
#if defined(__x86_64__)
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
#error "no counter is known for this architecture"
#endif
}

#endif
