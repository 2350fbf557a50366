// Dies of SIGSEGV after having said something.
#include <stdio.h>

int main(void) {
  puts("before");
  fflush(stdout);
  *(volatile int *)16 = 1;
  return 0;
}
