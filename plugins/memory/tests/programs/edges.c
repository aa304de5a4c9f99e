/* How processes and threads begin and end, each with allocations of a size of its own (4242). */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 4242

extern char **environ;
static char **arguments;

static void *used(void *block) {
  __asm__ volatile("" : "+r"(block) : : "memory");
  return block;
}

static void pair(void) { free(used(malloc(SIZE))); }

static int wait_for(pid_t child) {
  int status = -1;
  return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int leaf(void) {
  pair();
  return 0;
}

static int vforks(void) {
  char *argv[] = {arguments[0], "leaf", NULL};
  pid_t child = vfork();
  if (!child) {
    execv(argv[0], argv);
    _exit(9);
  }
  pair();
  return wait_for(child);
}

static int spawns(void) {
  char *argv[] = {arguments[0], "leaf", NULL};
  pid_t child;
  if (posix_spawn(&child, argv[0], NULL, NULL, argv, environ)) return 1;
  pair();
  return wait_for(child);
}

/* Without libc's fork: no atfork handler runs. */
static int raw_clone(void) {
  pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  pair();
  if (!child) _exit(0);
  return wait_for(child);
}

static int bare_fork(void) {
  pid_t child = _Fork();
  pair();
  if (!child) _exit(0);
  return wait_for(child);
}

/* Becomes itself again 30 times. */
static int self_exec(void) {
  int left = arguments[1] && arguments[2] ? atoi(arguments[2]) : 30;
  char text[16];
  pair();
  if (!left) return 0;
  snprintf(text, sizeof text, "%d", left - 1);
  execl(arguments[0], arguments[0], "self_exec", text, (char *)NULL);
  return 9;
}

static int aborts(void) {
  pair();
  abort();
}

static int killed(void) {
  pair();
  raise(SIGKILL);
  return 9;
}

static int leaves(void) {
  pair();
  _exit(0);
}

static pthread_key_t key;

static void late(void *block) {
  free(block);
  pair();
}

static void *short_thread(void *nothing) {
  pthread_setspecific(key, used(malloc(SIZE)));
  return nothing;
}

/* Their destructors run after those of libraries that came first. */
static int short_threads(void) {
  pthread_key_create(&key, late);
  for (int i = 0; i < 3000; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, short_thread, NULL)) return 1;
    pthread_join(thread, NULL);
  }
  return 0;
}

static void *busy_thread(void *nothing) {
  for (int i = 0; i < 1000; i++) pair();
  return nothing;
}

static int many_threads(void) {
  pthread_t threads[50];
  for (int i = 0; i < 50; i++)
    if (pthread_create(&threads[i], NULL, busy_thread, NULL)) return 1;
  for (int i = 0; i < 50; i++) pthread_join(threads[i], NULL);
  return 0;
}

static void *becomes_leaf(void *nothing) {
  pair();
  execl(arguments[0], arguments[0], "leaf", (char *)NULL);
  return nothing;
}

/* The thread that execs takes over the id of the process. */
static int thread_exec(void) {
  pthread_t thread;
  pair();
  if (pthread_create(&thread, NULL, becomes_leaf, NULL)) return 1;
  pthread_join(thread, NULL);
  return 9;
}

static void *late_thread(void *nothing) {
  while (usleep(50000)) continue;
  pair();
  return nothing;
}

/* The process outlives its first thread. */
static int first_thread_leaves(void) {
  pthread_t thread;
  pair();
  if (pthread_create(&thread, NULL, late_thread, NULL)) return 1;
  pthread_exit(NULL);
}

static int keeps_errno(void) {
  errno = 77;
  for (int i = 0; i < 5000; i++) pair(); /* several chunks */
  return errno != 77;
}

static int reallocs(void) {
  void *block = used(realloc(used(NULL), SIZE)); /* a plain NULL becomes malloc */
  if (realloc(block, (size_t)-1 / 2)) return 1; /* fails: the block stays */
  free(used(realloc(used(malloc(SIZE)), SIZE)));
  return realloc(block, 0) != NULL; /* frees it */
}

static int many_forks(void) {
  for (int i = 0; i < 200; i++) {
    pid_t child = fork();
    if (!child) {
      for (int j = 0; j < 100; j++) pair();
      if (i % 3 == 0) _exit(0);
      if (i % 3 == 1) exit(0);
      execl(arguments[0], arguments[0], "leaf", (char *)NULL);
    }
    if (wait_for(child)) return 1;
  }
  return 0;
}

static void on_signal(int number) {
  (void)number;
  pair();
}

/* A handler may interrupt us in the middle of a record. */
static int signals(void) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGALRM, &action, NULL);
  ualarm(200, 200);
  /* What a thread frees it gets again without a lock, so the handler can't meet one. */
  for (int i = 0; i < 50000; i++) pair();
  ualarm(0, 0);
  return 0;
}

static void __attribute__((constructor)) first(void) {
  if (getenv("EARLY")) pair();
}

static void __attribute__((destructor)) last(void) {
  if (getenv("EARLY")) pair();
}

static int nothing(void) { return 0; }

static int leak(void) {
  used(malloc(SIZE));
  return 0;
}

static const struct {
  const char *name;
  int (*run)(void);
} edges[] = {
    {"leaf", leaf},
    {"vfork", vforks},
    {"spawn", spawns},
    {"raw_clone", raw_clone},
    {"bare_fork", bare_fork},
    {"self_exec", self_exec},
    {"abort", aborts},
    {"kill", killed},
    {"_exit", leaves},
    {"short_threads", short_threads},
    {"many_threads", many_threads},
    {"thread_exec", thread_exec},
    {"first_thread_leaves", first_thread_leaves},
    {"errno", keeps_errno},
    {"realloc", reallocs},
    {"many_forks", many_forks},
    {"signals", signals},
    {"nothing", nothing},
    {"leak", leak},
};

int main(int argc, char **argv) {
  arguments = argv;
  for (size_t i = 0; argc > 1 && i < sizeof edges / sizeof *edges; i++)
    if (!strcmp(argv[1], edges[i].name)) return edges[i].run();
  return 2;
}
