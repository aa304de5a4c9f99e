/* Who asks for memory: every so many bytes the caller's registers and a copy of its stack.
 *
 * The distance from one to the next is drawn anew each time, from an exponential distribution: each
 * byte has the same chance, whatever its neighbours are, so a block of `size` bytes is taken with
 * the probability 1 - exp(-size / interval), and counts for size divided by that. The more a window
 * allocates, the larger is the interval: after FIRST_STACKS it doubles, after twice as many more
 * again, and so on. So stacks become more with the square root of the bytes. Numbers come from a
 * generator that begins anew in each window, by the number of its chunk: a program that runs alike
 * is sampled alike.
 *
 * Nothing here is followed or named: whoever reads the recording does. For him /proc/self/maps is
 * noted (mappings.h). Of a stack only that part is recorded that is not as it was in the last one
 * of the thread: far from the leaf, little changes.
 */
#ifndef CODSPEED_MEMORY_STACK_H
#define CODSPEED_MEMORY_STACK_H

#include <sys/uio.h>

#include "mappings.h"

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
