/* Move full chunks from the ring to a file, until the runner asks to stop.
 *
 *     drain RING_FD FILE_FD RUNNER_PID
 *
 * A process of its own: the runner forks without being allowed threads, and its one loop must
 * answer the benchmark at once. It sleeps on a futex; there is no timer. When the runner dies so
 * does this, and targets stop recording.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ring.h"
#include "syscalls.h"

#define PASS_CHUNKS 64

static struct ring_header *ring;

static void close_ring(int error) {
  atomic_store(&ring->error, (uint32_t)error);
  atomic_store(&ring->closed, 1);
  atomic_fetch_add(&ring->released, 1);
  raw_futex_wake(&ring->released);
}

static void on_end(int number) {
  (void)number;
  close_ring(0);
  _exit(0);
}

static void write_all(int file, struct iovec *parts, int count) {
  while (count > 0) {
    ssize_t done = writev(file, parts, count);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      close_ring(errno);
      exit(1);
    }
    while (count > 0 && (size_t)done >= parts->iov_len) {
      done -= (ssize_t)parts->iov_len;
      parts++, count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + done;
      parts->iov_len -= (size_t)done;
    }
  }
}

static void write_chunks(int file, const uint32_t *indexes, int count) {
  struct ring_block blocks[PASS_CHUNKS];
  struct iovec parts[2 * PASS_CHUNKS];
  int used = 0;
  for (int i = 0; i < count; i++) {
    struct ring_chunk *chunk = ring_chunk_at(ring, indexes[i]);
    uint32_t records = atomic_load_explicit(&chunk->count, memory_order_acquire);
    if (!records) continue;
    blocks[i] = (struct ring_block){chunk->pid,   chunk->tid,   records, chunk->window,
                                    chunk->order, chunk->flags, 0};
    parts[used++] = (struct iovec){&blocks[i], sizeof blocks[i]};
    parts[used++] = (struct iovec){ring_records_at(ring, indexes[i]),
                                   records * sizeof(struct ring_record)};
  }
  write_all(file, parts, used);
}

static void release(const uint32_t *indexes, int count) {
  uint32_t lowest = indexes[0]; /* they are in ascending order */
  for (int i = 0; i < count; i++)
    atomic_store_explicit(&ring_chunk_at(ring, indexes[i])->state, CHUNK_FREE,
                          memory_order_release);
  atomic_fetch_sub(&ring->full, (uint32_t)count);
  uint32_t hint = atomic_load(&ring->hint);
  while (hint > lowest && !atomic_compare_exchange_weak(&ring->hint, &hint, lowest)) {
  }
  atomic_fetch_add(&ring->released, 1);
  if (atomic_load(&ring->waiters)) raw_futex_wake(&ring->released);
}

/* Write out and free what is full; return how many chunks that were. */
static int drain_full(int file) {
  uint32_t found[PASS_CHUNKS];
  uint32_t highest = atomic_load(&ring->highest);
  int count = 0, total = 0;
  for (uint32_t index = 0; index < highest; index++) {
    if (atomic_load_explicit(&ring_chunk_at(ring, index)->state, memory_order_acquire) !=
        CHUNK_FULL)
      continue;
    found[count++] = index;
    if (count < PASS_CHUNKS && index + 1 < highest) continue;
    write_chunks(file, found, count);
    release(found, count);
    total += count;
    count = 0;
  }
  if (count) {
    write_chunks(file, found, count);
    release(found, count);
  }
  return total + count;
}

/* Chunks of threads that are gone (_exit, SIGKILL) would be lost to all others. Only when chunks
 * run short, and never where the ids are of another namespace: a wrong guess corrupts. */
static void reclaim(void) {
  uint32_t highest = atomic_load(&ring->highest);
  for (uint32_t index = 0; index < highest; index++) {
    struct ring_chunk *chunk = ring_chunk_at(ring, index);
    uint32_t state = CHUNK_OWNED;
    if (atomic_load_explicit(&chunk->state, memory_order_acquire) != CHUNK_OWNED) continue;
    if (chunk->flags & CHUNK_FOREIGN) continue;
    if (raw_call(SYS_tgkill, chunk->pid, chunk->tid, 0, 0, 0, 0) != -ESRCH) continue;
    if (atomic_compare_exchange_strong(&chunk->state, &state, CHUNK_FULL))
      atomic_fetch_add(&ring->full, 1);
  }
}

static void sleep_until_needed(void) {
  uint32_t heard = atomic_load(&ring->bell);
  atomic_store(&ring->sleeping, 1);
  long limit_ms = atomic_load(&ring->waiters) ? 1 : 0; /* all chunks are in use: look again soon */
  if (atomic_load(&ring->full) < RING_BATCH && !atomic_load(&ring->stop))
    raw_futex_wait(&ring->bell, heard, limit_ms);
  atomic_store(&ring->sleeping, 0);
}

/* The run is over: take what is there, also from threads that never end. */
static void drain_rest(int file) {
  drain_full(file);
  uint32_t highest = atomic_load(&ring->highest);
  for (uint32_t index = 0; index < highest; index++)
    if (atomic_load(&ring_chunk_at(ring, index)->state) != CHUNK_FREE)
      write_chunks(file, &index, 1);
  close_ring(0);
}

int main(int argc, char **argv) {
  struct stat status;
  if (argc != 4 || fstat(atoi(argv[1]), &status) != 0) return 2;
  void *mapped = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                      atoi(argv[1]), 0);
  if (mapped == MAP_FAILED) return 2;
  ring = mapped;
  signal(SIGTERM, on_end);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != (pid_t)atol(argv[3])) on_end(0); /* it died before we asked to be told */
  int file = atoi(argv[2]);
  puts("ready");
  fflush(stdout);
  while (!atomic_load(&ring->stop)) {
    int done = drain_full(file);
    if (!done && atomic_load(&ring->waiters)) reclaim();
    if (!done && !atomic_load(&ring->full)) sleep_until_needed();
    else if (!done) sched_yield();
  }
  drain_rest(file);
  return 0;
}
