/* Who asks for memory: every so many bytes the caller's registers and a copy of its stack.
 *
 * The distance from one to the next is drawn anew each time, from an exponential distribution: each
 * byte has the same chance, whatever its neighbours are, so a block of `size` bytes is taken with
 * the probability 1 - exp(-size / interval), and counts for size divided by that. The more a window
 * allocates, the larger is the interval: after FIRST_STACKS it doubles, after twice as many more
 * again, and so on. So stacks become more with the square root of the bytes. Numbers come from a
 * generator that begins anew in each window: a program that runs alike is sampled alike.
 *
 * Nothing here is followed or named: whoever reads the recording does. For him /proc/self/maps is
 * noted, whenever what can be executed has changed. Of a stack only that part is recorded that is
 * not as it was in the last one of the thread: far from the leaf, little changes.
 */
#ifndef CODSPEED_MEMORY_STACK_H
#define CODSPEED_MEMORY_STACK_H

#include <sys/uio.h>

#include "recorder.h"

#define FIRST_STACKS 512
#define MOST_DOUBLINGS 24
#define STREAM 0x6d656d6f7279ull /* any number: which of the generator's streams are ours */
#define PIECE 4096 /* the smallest page: memory ends between two of them */
#define MOST_PIECES 17
#define STACK_ROOM 65536u

/* --- When --- */

static uint64_t stack_random(struct thread *thread) { /* splitmix64 */
  uint64_t mixed = thread->random += 0x9e3779b97f4a7c15ull;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9ull;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
  return mixed ^ mixed >> 31;
}

/* -ln(number / 2^53), of 1 to 2^53; no libm is linked. The error is below 1e-6. */
static double minus_log(uint64_t number) {
  int bits = 63 - __builtin_clzll(number);
  double mantissa = (double)number / (double)(1ull << bits); /* 1 to 2 */
  double t = (mantissa - 1) / (mantissa + 1), square = t * t, sum = 0;
  for (int n = 11; n > 0; n -= 2) sum = sum * square + 1.0 / n;
  return (53 - bits) * 0.6931471805599453 - 2 * t * sum;
}

static void stack_draw(struct thread *thread) {
  uint64_t taken = atomic_load_explicit(&ring->stacks, memory_order_relaxed);
  int doublings = 63 - __builtin_clzll(taken / FIRST_STACKS + 1);
  if (doublings > MOST_DOUBLINGS) doublings = MOST_DOUBLINGS;
  thread->interval = ring->stack_interval << doublings;
  uint64_t number = (stack_random(thread) >> 11) + 1;
  thread->bytes_left = 1 + (int64_t)(minus_log(number) * (double)thread->interval);
}

static void stack_restart(struct thread *thread, uint64_t seed) {
  if (!ring->stack_interval) return;
  thread->last_length = 0;
  thread->random = seed ^ STREAM;
  stack_draw(thread);
}

/* --- The code that is there --- */

static long open_to_read(const char *path) {
  return raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
}

/* Changes whenever code comes or goes, and seldom else: the pages of all mappings less those of
 * data and stacks. Much quicker than to read the mappings. 0 where nobody tells. */
static uint64_t code_state(void) {
  char text[128];
  long fd = open_to_read("/proc/self/statm");
  if (fd < 0) return 0;
  long length = raw_call(SYS_read, fd, (long)text, sizeof text, 0, 0, 0);
  raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
  uint64_t fields[7] = {0}; /* size resident shared text lib data dt */
  for (long i = 0, field = 0; i < length && field < 7; i++) {
    if (text[i] >= '0' && text[i] <= '9')
      fields[field] = fields[field] * 10 + (uint64_t)(text[i] - '0');
    else
      field++;
  }
  return fields[0] - fields[5] + 1;
}

/* Of "START-END PERMISSIONS ...": whether the third permission is to execute. */
static int is_code(const char *line, const char *end) {
  while (line < end && *line != ' ') line++;
  return line + 3 < end && line[3] == 'x';
}

/* Fill `text` with whole lines about code, and leave `fd` behind the last that was read; returns
 * their length, and in `is_more` whether others are left. */
static uint64_t code_lines(long fd, char *text, uint64_t room, int *is_more) {
  uint64_t used = 0;
  *is_more = 0;
  for (;;) {
    long got = raw_call(SYS_read, fd, (long)(text + used), (long)(room - used), 0, 0, 0);
    if (got <= 0) return used;
    char *line = text + used, *end = line + got;
    for (char *at = line; at < end; at++) {
      if (*at != '\n') continue;
      for (int is_kept = is_code(line, at); is_kept && line <= at;) text[used++] = *line++;
      line = at + 1;
    }
    if (line == end) continue;
    raw_call(SYS_lseek, fd, line - end, SEEK_CUR, 0, 0, 0); /* a part of a line: once more */
    if (end - line < got) continue;
    *is_more = used != 0; /* no room for one line */
    return used;
  }
}

static void note_code(uint32_t window) {
  long fd = open_to_read("/proc/self/maps");
  if (fd < 0) return;
  for (int is_more = 1; is_more;) {
    struct ring_record *records;
    struct ring_chunk *chunk = chunk_take(process_id(), raw_tid(), window, &records);
    if (!chunk) break;
    uint64_t room = ring->chunk_bytes - sizeof *records;
    uint64_t length = code_lines(fd, (char *)(records + 1), room, &is_more);
    fill(records, KIND_CODE, process_id(), length, 0);
    uint64_t more = (length + sizeof *records - 1) / sizeof *records;
    atomic_store_explicit(&chunk->count, (uint32_t)(1 + more), memory_order_release);
    chunk_finished(chunk);
  }
  raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* The state is kept after the note: another thread notes it twice rather than too late. */
static void note_changed_code(uint32_t window) {
  uint64_t state = code_state();
  if (state == atomic_load_explicit(&process->code, memory_order_acquire)) return;
  note_code(window);
  atomic_store_explicit(&process->code, state, memory_order_release);
}

/* --- The stack --- */

#if defined(__x86_64__)
#define STACK_MASK 0xf001c2u /* bx bp sp ip r12 to r15 */
#define STACK_REGISTERS 8
#define STACK_POINTER 2
#define CAPTURE(to)                     \
  __asm__ volatile(                     \
      "movq %%rbx, 0(%0)\n\t"           \
      "movq %%rbp, 8(%0)\n\t"           \
      "movq %%rsp, 16(%0)\n\t"          \
      "leaq 1f(%%rip), %%rax\n\t"       \
      "1: movq %%rax, 24(%0)\n\t"       \
      "movq %%r12, 32(%0)\n\t"          \
      "movq %%r13, 40(%0)\n\t"          \
      "movq %%r14, 48(%0)\n\t"          \
      "movq %%r15, 56(%0)"              \
      :                                 \
      : "r"(to)                         \
      : "rax", "memory")
#elif defined(__aarch64__)
#define STACK_MASK 0x1fff80000ull /* x19 to x29, lr, sp, pc */
#define STACK_REGISTERS 14
#define STACK_POINTER 12
#define CAPTURE(to)                     \
  __asm__ volatile(                     \
      "stp x19, x20, [%0, 0]\n\t"       \
      "stp x21, x22, [%0, 16]\n\t"      \
      "stp x23, x24, [%0, 32]\n\t"      \
      "stp x25, x26, [%0, 48]\n\t"      \
      "stp x27, x28, [%0, 64]\n\t"      \
      "stp x29, x30, [%0, 80]\n\t"      \
      "mov x9, sp\n\t"                  \
      "adr x10, 1f\n\t"                 \
      "1: stp x9, x10, [%0, 96]"        \
      :                                 \
      : "r"(to)                         \
      : "x9", "x10", "memory")
#endif

/* Of "START-END ...", piece by piece: the two bounds of a line. */
struct bounds {
  uint64_t values[2];
  int side; /* of the value that is read; 2: the rest of the line */
};

/* Take one more letter; 1 when both bounds of a line are known. */
static int bounds_read(struct bounds *bounds, char letter) {
  if (letter == '\n') {
    *bounds = (struct bounds){{0, 0}, 0};
  } else if (bounds->side < 2) {
    if (letter == '-' || letter == ' ') return ++bounds->side == 2;
    uint64_t digit = (uint64_t)(letter <= '9' ? letter - '0' : letter - 'a' + 10);
    bounds->values[bounds->side] = bounds->values[bounds->side] << 4 | digit;
  }
  return 0;
}

/* Where the mapping ends that `address` is in; `address` itself if nobody tells. */
static uint64_t mapping_end(uint64_t address) {
  char text[256];
  struct bounds bounds = {{0, 0}, 0};
  uint64_t found = address;
  long fd = open_to_read("/proc/self/maps"), got = 1;
  if (fd < 0) return address;
  while (found == address && got > 0) {
    got = raw_call(SYS_read, fd, (long)text, sizeof text, 0, 0, 0);
    for (long i = 0; i < got; i++)
      if (bounds_read(&bounds, text[i]) && bounds.values[0] <= address &&
          address < bounds.values[1])
        found = bounds.values[1];
  }
  raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
  return found;
}

/* Copy from `from` on what is there, `room` bytes at most; returns how many. The kernel does it: it
 * stops where memory ends. Where it may not (seccomp, emulators), the list of mappings tells. */
static uint64_t stack_copy(char *to, uint64_t from, uint64_t room) {
  struct iovec whole = {to, room}, pieces[MOST_PIECES];
  uint64_t end = from + room;
  long count = 0;
  for (uint64_t at = from; at < end && count < MOST_PIECES; count++) {
    uint64_t next = (at | (PIECE - 1)) + 1;
    if (next > end) next = end;
    pieces[count] = (struct iovec){(void *)at, next - at};
    at = next;
  }
  long done = raw_call(SYS_process_vm_readv, raw_pid(), (long)&whole, 1, (long)pieces, count, 0);
  if (done > 0) return (uint64_t)done;
  uint64_t limit = mapping_end(from);
  if (limit < end) end = limit;
  for (uint64_t i = 0; i < end - from; i++) to[i] = ((const char *)from)[i];
  return end - from;
}

/* How many bytes at the upper end of a stack are what the last one had there. */
static uint64_t stack_same(const struct thread *thread, const char *copy, uint64_t pointer,
                           uint64_t length) {
  uint64_t end = pointer + length, last_end = thread->last_pointer + thread->last_length;
  uint64_t low = pointer > thread->last_pointer ? pointer : thread->last_pointer;
  if (!thread->last_length || end > last_end || end <= low) return 0;
  const char *mine = copy + length;
  const char *other = thread->copies + thread->last + (end - thread->last_pointer);
  uint64_t same = 0;
  while (low + same + 8 <= end &&
         *(const uint64_t *)(mine - same - 8) == *(const uint64_t *)(other - same - 8))
    same += 8;
  return same;
}

/* Copy the stack to where the next one will be compared with it, and what is new of it to `to`;
 * returns how many bytes that are. */
static uint64_t stack_record(struct thread *thread, char *to, uint64_t room, uint64_t pointer,
                             uint64_t *same) {
  *same = 0;
  if (!thread->copies) {
    long address = raw_call(SYS_mmap, 0, 2 * STACK_ROOM, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address > -4096) return stack_copy(to, pointer, room);
    thread->copies = (char *)address;
  }
  uint64_t next = thread->last ^ STACK_ROOM;
  char *copy = thread->copies + next;
  uint64_t length = stack_copy(copy, pointer, room < STACK_ROOM ? room : STACK_ROOM);
  *same = stack_same(thread, copy, pointer, length);
  for (uint64_t i = 0; i < length - *same; i++) to[i] = copy[i];
  thread->last = next;
  thread->last_pointer = pointer;
  thread->last_length = length;
  return length - *same;
}

static void stack_end(struct thread *thread) {
  if (thread->copies)
    raw_call(SYS_munmap, (long)thread->copies, 2 * STACK_ROOM, 0, 0, 0, 0);
  thread->copies = NULL;
  thread->last_length = 0;
}

/* By the thread itself, which is about to record the block. */
static __attribute__((noinline, cold)) void stack_take(struct thread *thread, uint64_t address,
                                                       uint64_t size) {
  uint64_t interval = thread->interval;
  struct ring_record *records;
  note_changed_code(thread->window);
  struct ring_chunk *chunk = chunk_take(thread->owner, thread->tid, thread->window, &records);
  if (!chunk) {
    drop();
    return;
  }
  struct ring_stack *stack = (struct ring_stack *)(records + 1);
  *stack = (struct ring_stack){size, interval, 0, STACK_MASK};
  CAPTURE(stack->registers);
  char *copy = (char *)(stack->registers + STACK_REGISTERS);
  uint64_t room = (uint64_t)((char *)records + ring->chunk_bytes - copy);
  uint64_t length = (uint64_t)(copy - (char *)stack);
  length += stack_record(thread, copy, room, stack->registers[STACK_POINTER], &stack->same);
  fill(records, KIND_STACK, address, length, chunk->order);
  uint64_t more = (length + sizeof *records - 1) / sizeof *records;
  atomic_store_explicit(&chunk->count, (uint32_t)(1 + more), memory_order_release);
  chunk_finished(chunk);
  atomic_fetch_add_explicit(&ring->stacks, 1, memory_order_relaxed);
  stack_draw(thread);
}

#endif
