/* What is mapped in this process, for who reads stacks later: notes about code, and where a mapping
 * ends. By raw system calls on procfs; where that is not mounted, nobody tells. */
#ifndef CODSPEED_MEMORY_MAPPINGS_H
#define CODSPEED_MEMORY_MAPPINGS_H

#include "recorder.h"

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
  while (used < room) {
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
    break; /* no room for one line */
  }
  *is_more = used != 0;
  return used;
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

/* --- Ends --- */

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

#endif
