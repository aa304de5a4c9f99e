/* The reference's event stream (spec/executors.md 4.5): one MessagePack map per event. */
#ifndef CODSPEED_MEMORY_ENCODE_H
#define CODSPEED_MEMORY_ENCODE_H

#include "event.h"

/* Longest event: 7 keys of 3 to 9 letters, 5 integers of at most 9 bytes, a type of 12. */
#define ENCODED_LIMIT 128

static uint8_t *put_text(uint8_t *out, const char *text, size_t length) {
  *out++ = (uint8_t)(0xa0 | length);
  memcpy(out, text, length);
  return out + length;
}
#define PUT_TEXT(out, text) put_text(out, text, sizeof text - 1)

static uint8_t *put_bytes(uint8_t *out, uint8_t tag, uint64_t value, int bytes) {
  *out++ = tag;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) *out++ = (uint8_t)(value >> shift);
  return out;
}

static uint8_t *put_int(uint8_t *out, uint64_t value) {
  if (value < 0x80) {
    *out++ = (uint8_t)value;
    return out;
  }
  if (value <= UINT8_MAX) return put_bytes(out, 0xcc, value, 1);
  if (value <= UINT16_MAX) return put_bytes(out, 0xcd, value, 2);
  if (value <= UINT32_MAX) return put_bytes(out, 0xce, value, 4);
  return put_bytes(out, 0xcf, value, 8);
}

static uint8_t *put_head(uint8_t *out, const struct event *event, uint8_t map) {
  *out++ = map;
  out = put_int(PUT_TEXT(out, "pid"), event->pid);
  out = put_int(PUT_TEXT(out, "tid"), event->tid);
  out = put_int(PUT_TEXT(out, "timestamp"), event->ns);
  out = put_int(PUT_TEXT(out, "addr"), event->address);
  return PUT_TEXT(out, "type");
}

static uint8_t *put_size(uint8_t *out, const struct event *event) {
  return put_int(PUT_TEXT(out, "size"), event->size);
}

#define SIZED(name) return put_size(PUT_TEXT(put_head(out, event, 0x86), name), event)

static uint8_t *put_event(uint8_t *out, const struct event *event) {
  switch (event->kind) {
    case KIND_MALLOC: SIZED("Malloc");
    case KIND_CALLOC: SIZED("Calloc");
    case KIND_ALIGNED: SIZED("AlignedAlloc");
    case KIND_MMAP: SIZED("Mmap");
    case KIND_MUNMAP: SIZED("Munmap");
    case KIND_REALLOC:
      out = PUT_TEXT(put_head(out, event, 0x87), "Realloc");
      return put_size(put_int(PUT_TEXT(out, "old_addr"), event->aux), event);
    case KIND_REALLOC_FAILED:
      if (event->size) return out; /* the block stayed */
      return PUT_TEXT(put_head(out, event, 0x85), "Free");
    case KIND_FREE: return PUT_TEXT(put_head(out, event, 0x85), "Free");
    default: return out; /* not a heap event */
  }
}

/* Encode until `limit` events are written; `out` has room for ENCODED_LIMIT bytes each.
 * Returns the bytes; `taken` are the events read, `written` those that are in the stream. */
size_t encode(const struct event *events, size_t count, size_t limit, uint8_t *out, size_t *taken,
              size_t *written) {
  uint8_t *at = out;
  *taken = *written = 0;
  while (*taken < count && *written < limit) {
    uint8_t *end = put_event(at, &events[(*taken)++]);
    *written += end != at;
    at = end;
  }
  return (size_t)(at - out);
}

#endif
