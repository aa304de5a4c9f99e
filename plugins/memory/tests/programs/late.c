/* A library that allocates; see sites.c. */
#include <stdlib.h>

void late(void) {
  for (int i = 0; i < 20000; i++) {
    void *block = malloc(1000);
    __asm__ volatile("" : "+r"(block)::"memory");
    free(block);
  }
}
