/* Calls by which a process ends or becomes another program.
 *
 * Nothing has to be saved here: records are already where they belong. The notes tell which
 * programs ought to have attached, so that one that did not is named, and when memory went away
 * without a free. */
#ifndef CODSPEED_MEMORY_PROCESS_H
#define CODSPEED_MEMORY_PROCESS_H

#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#include "attach.h"
#include "real.h"

static size_t text_length(const char *text) {
  size_t length = 0;
  while (text && text[length] && length < TEXT_LIMIT) length++;
  return length;
}

/* By the process itself, which may be a vfork child in its parent's memory. */
static void note_program(uint32_t kind, uint64_t pid, const char *program) {
  uint32_t window = recorder_window();
  if (window) record_alone(window, kind, pid, 0, program, text_length(program));
}

static void note_end(void) {
  uint32_t window = recorder_window();
  if (window && raw_pid() == process_id()) record(window, KIND_DETACH, 0, 0, 0);
}

#define EXEC(program, call)                              \
  do {                                                   \
    note_program(KIND_EXEC, raw_pid(), program);         \
    int result = (call);                                 \
    note_program(KIND_EXEC_FAILED, raw_pid(), program);  \
    return result;                                       \
  } while (0)

EXPORT int execve(const char *path, char *const argv[], char *const environment[]) {
  EXEC(path, real_execve(path, argv, environment));
}

EXPORT int execv(const char *path, char *const argv[]) { EXEC(path, real_execv(path, argv)); }

EXPORT int execvp(const char *file, char *const argv[]) { EXEC(file, real_execvp(file, argv)); }

EXPORT int execvpe(const char *file, char *const argv[], char *const environment[]) {
  EXEC(file, real_execvpe(file, argv, environment));
}

static const char *first_word(char *const argv[]) { return argv && argv[0] ? argv[0] : ""; }

EXPORT int fexecve(int fd, char *const argv[], char *const environment[]) {
  EXEC(first_word(argv), real_fexecve(fd, argv, environment));
}

EXPORT int execveat(int fd, const char *path, char *const argv[], char *const environment[],
                    int flags) {
  EXEC(*path ? path : first_word(argv), real_execveat(fd, path, argv, environment, flags));
}

/* The words of an `execl` call become an array on the stack: this may be a vfork child. */
#define COLLECT(first, words, arguments)                                  \
  va_list counting;                                                       \
  size_t count = 1;                                                       \
  va_copy(counting, arguments);                                           \
  while (va_arg(counting, char *)) count++;                               \
  va_end(counting);                                                       \
  char *words[count + 1];                                                 \
  words[0] = (char *)(uintptr_t)(first);                                  \
  for (size_t i = 1; i <= count; i++) words[i] = va_arg(arguments, char *)

EXPORT int execl(const char *path, const char *first, ...) {
  va_list arguments;
  va_start(arguments, first);
  COLLECT(first, words, arguments);
  va_end(arguments);
  EXEC(path, real_execv(path, words));
}

EXPORT int execlp(const char *file, const char *first, ...) {
  va_list arguments;
  va_start(arguments, first);
  COLLECT(first, words, arguments);
  va_end(arguments);
  EXEC(file, real_execvp(file, words));
}

EXPORT int execle(const char *path, const char *first, ...) {
  va_list arguments;
  va_start(arguments, first);
  COLLECT(first, words, arguments);
  char *const *environment = va_arg(arguments, char *const *);
  va_end(arguments);
  EXEC(path, real_execve(path, words, environment));
}

EXPORT int posix_spawn(pid_t *child, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[],
                       char *const environment[]) {
  pid_t pid = 0;
  int failure = real_posix_spawn(&pid, path, actions, attributes, argv, environment);
  if (!failure) note_program(KIND_SPAWN, (uint64_t)pid, path);
  if (!failure && child) *child = pid;
  return failure;
}

EXPORT int posix_spawnp(pid_t *child, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const argv[],
                        char *const environment[]) {
  pid_t pid = 0;
  int failure = real_posix_spawnp(&pid, file, actions, attributes, argv, environment);
  if (!failure) note_program(KIND_SPAWN, (uint64_t)pid, file);
  if (!failure && child) *child = pid;
  return failure;
}

EXPORT void _exit(int status) {
  note_end();
  for (;;) raw_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

EXPORT void _Exit(int status) { _exit(status); }

#endif
