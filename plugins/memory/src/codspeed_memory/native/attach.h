/* How a process finds the ring, and tells that it did. */
#ifndef CODSPEED_MEMORY_ATTACH_H
#define CODSPEED_MEMORY_ATTACH_H

#include <stdlib.h>
#include <sys/stat.h>

#include "recorder.h"
#include "stack.h"

#define RING_VARIABLE "CODSPEED_MEMORY_RING="
#define TEXT_LIMIT 1024 /* of paths; what is longer is cut */

/* "4026531836" of "pid:[4026531836]"; 0 where /proc is not mounted. */
static uint64_t pid_namespace(void) {
  char text[64];
  long length = raw_readlink("/proc/self/ns/pid", text, sizeof text);
  uint64_t inode = 0;
  for (long i = 0; i < length; i++)
    if (text[i] >= '0' && text[i] <= '9') inode = inode * 10 + (uint64_t)(text[i] - '0');
  return inode;
}

/* Who are we? Asked at the start and in each child that forked. */
static void process_identify(void) {
  chunk_flags = pid_namespace() == ring->pid_namespace ? 0 : CHUNK_FOREIGN;
  atomic_store_explicit(&process->owner, raw_pid(), memory_order_release);
}

static void process_forked(void) {
  atomic_store(&process->owner, 0);
  atomic_store(&process->code, 0);
}

/* What glibc's pthread_atfork is made of: that one is no dynamic symbol everywhere. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *)
    __attribute__((weak));

/* A page that reads zero in every child with memory of its own, also after _Fork or a raw clone,
 * where no atfork handler runs. Kernels before 4.14 lack it and some emulators only say yes, so
 * there is a handler too. */
static int process_page(void) {
  long page = raw_call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
  if (page < 0 && page > -4096) return 0;
  int is_wiped = raw_call(SYS_madvise, page, 4096, MADV_WIPEONFORK, 0, 0, 0) == 0;
  int is_told = __register_atfork && !__register_atfork(NULL, NULL, process_forked, NULL);
  if (!is_wiped && !is_told) return 0; /* a child would write into its parent's chunks */
  process = (struct process *)page;
  return 1;
}

static const char *ring_path(char **environment) {
  const size_t length = sizeof RING_VARIABLE - 1;
  for (; environment && *environment; environment++) {
    size_t i = 0;
    while (i < length && (*environment)[i] == RING_VARIABLE[i]) i++;
    if (i == length) return *environment + length;
  }
  return NULL;
}

static struct ring_header *ring_map(const char *path) {
  long fd = raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0, 0, 0);
  if (fd < 0) return NULL;
  struct stat status;
  long address = -1;
  if (raw_call(SYS_fstat, fd, (long)&status, 0, 0, 0, 0) == 0 &&
      (size_t)status.st_size > sizeof(struct ring_header))
    address = raw_call(SYS_mmap, 0, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
  if (address < 0 && address > -4096) return NULL;
  struct ring_header *found = (struct ring_header *)address;
  if (found->magic == RING_MAGIC && found->version == RING_VERSION) return found;
  raw_call(SYS_munmap, address, status.st_size, 0, 0, 0, 0);
  return NULL;
}

/* Before an exec this process was another program, whose chunks nobody will fill any more. */
static void chunks_of_former_image(uint32_t pid) {
  uint32_t highest = atomic_load(&ring->highest);
  for (uint32_t index = 0; !chunk_flags && index < highest; index++) {
    struct ring_chunk *chunk = ring_chunk_at(ring, index);
    uint32_t state = CHUNK_OWNED;
    if (atomic_load(&chunk->state) != CHUNK_OWNED || chunk->pid != pid || chunk->flags) continue;
    if (atomic_compare_exchange_strong(&chunk->state, &state, CHUNK_FULL))
      atomic_fetch_add(&ring->full, 1);
  }
}

/* Of free-threaded CPython only: it has mimalloc inside, and refuses to start with another name in
 * PYTHONMALLOC. Weak: looking it up with dlsym would leave a message behind for a later free. */
extern char free_threaded __asm__("_Py_DecRefShared") __attribute__((weak));

static int records_mappings;

/* In place and before anyone reads it; an empty variable counts as none. */
static void hide_python_allocator(char **environment) {
  static const char name[] = "PYTHONMALLOC=";
  for (; environment && *environment; environment++) {
    size_t i = 0;
    while (name[i] && (*environment)[i] == name[i]) i++;
    if (!name[i]) (*environment)[i] = 0;
  }
}

static void attach(char **environment, int (*brings_own_malloc)(void)) {
  const char *path = ring_path(environment);
  struct ring_header *found = path ? ring_map(path) : NULL;
  if (!found || !process_page()) return;
  /* To ask makes an allocation, which probes would count. */
  int is_uncovered = !(found->flags & RING_PROBED) && brings_own_malloc();
  has_exit_key = pthread_key_create(&exit_key, thread_ended) == 0;
  ring = found;
  records_mappings = (ring->flags & RING_MAPPINGS) != 0;
  if (&free_threaded) {
    hide_python_allocator(environment);
    records_mappings = 1;
  }
  process_identify();
  uint32_t pid = process_id();
  chunks_of_former_image(pid);
  char text[TEXT_LIMIT];
  long length = raw_readlink("/proc/self/exe", text, sizeof text);
  uint64_t flags = (is_uncovered ? ATTACH_OWN_MALLOC : 0) |
                   (chunk_flags & CHUNK_FOREIGN ? ATTACH_FOREIGN : 0);
  record_alone(recorder_window(), KIND_ATTACH, pid, flags, text, length > 0 ? (size_t)length : 0);
}

#endif
