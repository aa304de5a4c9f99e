/* Waits for a byte on standard input, then makes PAIRS pairs of a size of their own. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char byte;
  if (argc < 2 || read(0, &byte, 1) != 1) return 2;
  for (long i = atol(argv[1]); i > 0; i--) {
    void *block = malloc(4242);
    __asm__ volatile("" : "+r"(block) : : "memory");
    free(block);
  }
  return 0;
}
