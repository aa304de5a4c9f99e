// The C++ workload of spec/executors.md 4.7, between two marks of a size that nobody else uses.
#include <cstdint>
#include <cstdlib>
#include <vector>

template <typename T> static T *used(T *block) {
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}

static void mark() { free(used(malloc(0xC0D59EED))); }

int main() {
  mark();
  delete[] used(new uint32_t[11111]);
  delete used(new uint64_t);
  auto *kept = used(static_cast<uint32_t *>(::operator new(22222 * sizeof(uint32_t))));
  free(used(aligned_alloc(64, 32768)));
  void *block;
  if (posix_memalign(&block, 128, 16384)) return 1;
  free(used(block));
  mark();
  ::operator delete(kept);
  return 0;
}
