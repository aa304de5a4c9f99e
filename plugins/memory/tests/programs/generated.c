/* Runs code of its own making from a file without a name, as compilers at run time do. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
  static const unsigned char code[] = {0xb8, 0x2a, 0x00, 0x00, 0x00, 0xc3}; /* return 42 */
  int fd = memfd_create("code", 0);
  if (fd < 0 || write(fd, code, sizeof code) != sizeof code) return 1;
  void *mapped = mmap(NULL, sizeof code, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return 2;
  int (*run)(void);
  memcpy(&run, &mapped, sizeof run);
  void *block = malloc(100);
  __asm__ volatile("" : "+r"(block) : : "memory");
  free(block);
  return run() != 42;
}
