// Asks for 100 MB, and says whether it got them.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void) {
  void *memory = mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  puts(memory == MAP_FAILED ? strerror(errno) : "have it");
  return 0;
}
