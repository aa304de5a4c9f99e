/* Functions that allocate in known shares: `sites WHAT [ARGUMENT]`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20000
#define NOINLINE __attribute__((noinline))

/* The compiler must not remove what is allocated and freed, nor make a jump of the last call. */
static void *used(void *block) {
  __asm__ volatile("" : "+r"(block)::"memory");
  return block;
}

NOINLINE void *large(void) { return used(malloc(700)); }

NOINLINE void *small(void) { return used(malloc(300)); }

NOINLINE void split(void) {
  for (int i = 0; i < ROUNDS; i++) {
    free(large());
    free(small());
  }
}

/* Frames of 200 bytes and more, 40 KB in all: what is above the last does not change. */
NOINLINE void deep(int depth) {
  char room[200];
  used(memset(room, depth, sizeof room));
  if (depth) deep(depth - 1);
  else split();
  used(room);
}

NOINLINE void *holds(void) { return used(malloc(3000)); }

NOINLINE void *leaks(void) { return used(calloc(1, 1000)); }

NOINLINE void *moves(void *block) { return used(realloc(block, 2000)); }

/* All 4 MB are held at the peak, 1 MB is left; before and after, as much comes and goes. */
static int views(void) {
  static void *held[1000];
  for (int i = 0; i < 4000; i++) free(small());
  for (int i = 0; i < 1000; i++) {
    leaks();
    held[i] = holds();
  }
  for (int i = 0; i < 1000; i++) free(moves(held[i]));
  return 0;
}

static int in_child(void) {
  int status = 1;
  pid_t child = fork();
  if (!child) {
    split();
    _exit(0);
  }
  return waitpid(child, &status, 0) != child || status;
}

/* The library comes after the first stacks were taken. */
static int in_library(const char *path) {
  split();
  void *library = dlopen(path, RTLD_NOW);
  void (*late)(void) = library ? (void (*)(void))dlsym(library, "late") : NULL;
  if (!late) return 1;
  late();
  return 0;
}

/* Where the kernel may not copy for us, the list of mappings tells how far the stack goes. */
static int refused(void) {
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 1;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
  split();
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 2 && !strcmp(argv[1], "library")) return in_library(argv[2]);
  if (argc < 2) return 2;
  if (!strcmp(argv[1], "split")) split();
  else if (!strcmp(argv[1], "deep")) deep(199);
  else if (!strcmp(argv[1], "views")) return views();
  else if (!strcmp(argv[1], "child")) return in_child();
  else if (!strcmp(argv[1], "refused")) return refused();
  else return 2;
  return 0;
}
