/* One thread's way into the ring: 20 ns per event, no lock, no allocation, no errno.
 *
 * Three facts are checked per event, because each can change behind our back:
 *   window   the runner opened another one: a chunk holds events of one window only
 *   owner    the process forked, by whatever call: a page that fork wipes reads zero in the child
 *   busy     a signal handler interrupted us in the middle of a record: it gets a chunk of its own
 */
#ifndef CODSPEED_MEMORY_RECORDER_H
#define CODSPEED_MEMORY_RECORDER_H

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

#include "ring.h"
#include "syscalls.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/* In each function itself, where the kind is known: a call costs two nanoseconds. */
#define INLINE static inline __attribute__((always_inline))
#define BARRIER() __asm__ volatile("" ::: "memory") /* against our own signal handlers */

#define WAIT_MS 50
#define WAITS_UNTIL_LOST 200 /* 10 s without a free chunk */

struct thread {
  struct ring_record *next;
  struct ring_record *end;
  struct ring_chunk *chunk;
  uint32_t count;
  uint32_t window;
  uint32_t owner;
  uint32_t tid;
  volatile uint32_t busy;
  uint32_t quiet; /* inside a function that is itself recorded */
  int64_t bytes_left; /* until the next stack is taken */
  uint64_t interval;  /* what that was drawn for */
  uint64_t random;
  char *copies; /* room for the last stack, and for the next */
  uint64_t last; /* where the last begins in it */
  uint64_t last_pointer;
  uint64_t last_length; /* 0: there is none */
};

/* Initial-exec: at a fixed offset from the thread pointer, so it is there without a call. */
static __thread struct thread self __attribute__((tls_model("initial-exec")));

struct process {
  _Atomic uint32_t owner; /* our process id; 0 in a child that has not noticed yet */
  _Atomic uint64_t code;  /* what was mapped when our code was noted; see stack.h */
};
static struct process no_process;
static struct process *process = &no_process;

static struct ring_header no_ring; /* recording is off for ever in it */
static struct ring_header *ring = &no_ring;
static uint32_t chunk_flags;
static pthread_key_t exit_key;
static int has_exit_key;

static inline uint32_t recorder_window(void) {
  return atomic_load_explicit(&ring->enabled, memory_order_relaxed);
}

INLINE uint64_t recorder_stamp(void) {
  if (LIKELY(ring->flags & RING_COUNTER_CLOCK)) return ring_counter();
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now); /* the vDSO's; can't fail, so errno stays */
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void ring_the_bell(void) {
  atomic_fetch_add(&ring->bell, 1);
  raw_futex_wake(&ring->bell);
}

static void chunk_finished(struct ring_chunk *chunk) {
  atomic_store_explicit(&chunk->state, CHUNK_FULL, memory_order_release);
  uint32_t waiting = atomic_fetch_add(&ring->full, 1) + 1;
  if (waiting >= RING_BATCH && atomic_load(&ring->sleeping)) ring_the_bell();
}

static int chunk_claim(uint32_t from, uint32_t to, uint32_t *found) {
  for (uint32_t index = from; index < to; index++) {
    struct ring_chunk *chunk = ring_chunk_at(ring, index);
    uint32_t state = CHUNK_FREE;
    if (atomic_load_explicit(&chunk->state, memory_order_relaxed) != CHUNK_FREE) continue;
    if (!atomic_compare_exchange_strong(&chunk->state, &state, CHUNK_TAKEN)) continue;
    *found = index;
    return 1;
  }
  return 0;
}

/* Lowest first: chunks that were used are warm, and each new page costs microseconds. */
static int chunk_find(uint32_t *found) {
  uint32_t hint = atomic_load_explicit(&ring->hint, memory_order_relaxed);
  if (!chunk_claim(hint, ring->chunks, found) && !chunk_claim(0, hint, found)) return 0;
  atomic_store_explicit(&ring->hint, *found + 1, memory_order_relaxed);
  uint32_t highest = atomic_load_explicit(&ring->highest, memory_order_relaxed);
  while (highest <= *found &&
         !atomic_compare_exchange_weak(&ring->highest, &highest, *found + 1)) {
  }
  return 1;
}

static int chunk_await(uint32_t *found) {
  for (int tries = 0; !atomic_load(&ring->closed); tries++) {
    uint32_t seen = atomic_load(&ring->released);
    if (chunk_find(found)) return 1;
    if (tries == WAITS_UNTIL_LOST) {
      atomic_store(&ring->closed, 1);
      break;
    }
    atomic_fetch_add(&ring->waits, 1);
    atomic_fetch_add(&ring->waiters, 1);
    ring_the_bell();
    raw_futex_wait(&ring->released, seen, WAIT_MS);
    atomic_fetch_sub(&ring->waiters, 1);
  }
  return 0;
}

/* Take a chunk and describe it; NULL when nobody drains any more. */
static struct ring_chunk *chunk_take(uint32_t pid, uint32_t tid, uint32_t window,
                                     struct ring_record **records) {
  uint32_t index;
  if (atomic_load_explicit(&ring->closed, memory_order_relaxed)) return NULL;
  if (!chunk_find(&index) && !chunk_await(&index)) return NULL;
  struct ring_chunk *chunk = ring_chunk_at(ring, index);
  chunk->pid = pid;
  chunk->tid = tid;
  chunk->window = window;
  chunk->flags = chunk_flags;
  chunk->order = atomic_fetch_add(&ring->order, 1);
  atomic_store_explicit(&chunk->count, 0, memory_order_relaxed);
  atomic_store_explicit(&chunk->state, CHUNK_OWNED, memory_order_release);
  *records = ring_records_at(ring, index);
  return chunk;
}

static inline void fill(struct ring_record *record, uint32_t kind, uint64_t address, uint64_t size,
                        uint64_t aux) {
  record->stamp = recorder_stamp();
  record->address = address;
  record->kind_size = kind | size << 8;
  record->aux = aux;
}

static void drop(void) { atomic_fetch_add(&ring->dropped, 1); }

static void process_identify(void);
static void stack_restart(struct thread *thread, uint64_t seed);
static void stack_take(struct thread *thread, uint64_t address, uint64_t size);
static void stack_end(struct thread *thread);

static uint32_t process_id(void) {
  uint32_t owner = atomic_load_explicit(&process->owner, memory_order_relaxed);
  if (LIKELY(owner)) return owner;
  process_identify();
  return atomic_load_explicit(&process->owner, memory_order_relaxed);
}

/* A record in a chunk of its own: what interrupts another record, or carries text. */
static __attribute__((noinline, cold)) void record_alone(uint32_t window, uint32_t kind,
                                                         uint64_t address, uint64_t aux,
                                                         const char *text, uint64_t size) {
  struct ring_record *records;
  struct ring_chunk *chunk = chunk_take(process_id(), raw_tid(), window, &records);
  if (!chunk) {
    drop();
    return;
  }
  uint64_t room = ring->chunk_bytes - sizeof *records;
  uint64_t length = text && size > room ? room : size;
  fill(records, kind, address, length, aux);
  for (uint64_t i = 0; text && i < length; i++) ((char *)(records + 1))[i] = text[i];
  uint64_t more = text ? (length + sizeof *records - 1) / sizeof *records : 0;
  atomic_store_explicit(&chunk->count, (uint32_t)(1 + more), memory_order_release);
  chunk_finished(chunk);
}

/* Give `thread` a chunk for `window`; 0 when nobody drains any more. */
static __attribute__((noinline, cold)) int thread_renew(struct thread *thread, uint32_t window) {
  uint32_t owner = process_id();
  int is_ours = thread->chunk && thread->owner == owner; /* else it is the parent's */
  if (is_ours) chunk_finished(thread->chunk);
  if (thread->owner != owner || !thread->tid) thread->tid = raw_tid();
  int is_start = thread->owner != owner || thread->window != window;
  thread->owner = owner;
  thread->window = window;
  thread->count = 0;
  thread->next = thread->end = NULL;
  thread->chunk = chunk_take(owner, thread->tid, window, &thread->next);
  if (!thread->chunk) return 0;
  if (is_start) stack_restart(thread, thread->chunk->order);
  thread->end = thread->next + ring->chunk_bytes / sizeof *thread->next;
  /* Keys below 32 live in the thread's descriptor: setting ours allocates nothing. */
  if (has_exit_key) pthread_setspecific(exit_key, thread);
  return 1;
}

static inline int takes_memory(uint32_t kind) {
  return kind <= KIND_MMAP && kind != KIND_FREE;
}

INLINE void record(uint32_t window, uint32_t kind, uint64_t address, uint64_t size, uint64_t aux) {
  struct thread *thread = &self;
  uint32_t owner = atomic_load_explicit(&process->owner, memory_order_relaxed);
  if (UNLIKELY(thread->busy)) {
    record_alone(window, kind, address, aux, NULL, size);
    return;
  }
  thread->busy = 1;
  BARRIER();
  if (UNLIKELY(thread->window != window || thread->owner != owner ||
               thread->next == thread->end) &&
      !thread_renew(thread, window)) {
    drop();
  } else {
    /* Before the event itself: what is read in this order knows at once where the block is from. */
    if (UNLIKELY(ring->stack_interval) && takes_memory(kind) &&
        (thread->bytes_left -= (int64_t)size) <= 0)
      stack_take(thread, address, size);
    fill(thread->next++, kind, address, size, aux);
    atomic_store_explicit(&thread->chunk->count, ++thread->count, memory_order_release);
  }
  BARRIER();
  thread->busy = 0;
}

/* The thread ends; what its later destructors do gets a new chunk, reclaimed by the drainer. */
static void thread_ended(void *argument) {
  struct thread *thread = argument;
  if (thread->chunk && thread->owner == process_id()) chunk_finished(thread->chunk);
  thread->chunk = NULL;
  thread->next = thread->end = NULL;
  thread->owner = 0;
  stack_end(thread);
}

#endif
