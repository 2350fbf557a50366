// A library of libraries.c: VARIANT tells its versions apart.
#include <stdio.h>
#include <stdlib.h>

#ifndef VARIANT
#define VARIANT 1
#endif
static int calls;
static __thread int in_thread = VARIANT * 1000;
int library_data[4] = {VARIANT, VARIANT * 2, VARIANT * 3, VARIANT * 4};
static int (*const table[])(int) = {abs};
__attribute__((constructor)) static void begin(void) { printf("begin %d; ", VARIANT); }
__attribute__((destructor)) static void end(void) { printf("end %d after %d; ", VARIANT, calls); }
int library_value(int n) {
  calls++;
  int sum = VARIANT;
  for (int i = 0; i < n; i++) sum = sum * (VARIANT + 2) + library_data[i & 3];
  return table[0](sum) ^ VARIANT << 4;
}
int library_thread(void) { return in_thread += VARIANT; }
extern int main_value(int);
int library_calls_back(int n) { return main_value(n + VARIANT) * 2; }
#if VARIANT == 2
// Of another size, so that what follows stands elsewhere.
int library_more(double d) { return (int)(d * 3.5); }
#endif
