// dlopen(3) and dlclose(3): libraries that come and go, so that one's code stands where another's stood.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main_value(int n) { return n * 11; }

static char folder[4000];
static void *opened(const char *name, int flags) {
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  void *library = dlopen(path, flags);
  if (library == NULL) {
    printf("dlopen failed\n");
    exit(1);
  }
  return library;
}

static void *thread_values(void *library) {
  int (*thread)(void) = (int (*)(void))dlsym(library, "library_thread");
  return (void *)(long)(thread() + thread());
}

int main(int argc, char **argv) {
  (void)argc;
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
  strncpy(folder, dirname(strdup(argv[0])), sizeof folder - 1);
  uintptr_t places[40];
  int reused = 0;
  unsigned hash = 0;
  for (int i = 0; i < 40; i++) {
    void *library = opened(i % 2 ? "library-b.so" : "library-a.so", i % 3 ? RTLD_NOW : RTLD_LAZY);
    int (*value)(int) = (int (*)(int))dlsym(library, "library_value");
    int (*back)(int) = (int (*)(int))dlsym(library, "library_calls_back");
    int (*thread)(void) = (int (*)(void))dlsym(library, "library_thread");
    int *data = dlsym(library, "library_data");
    for (int j = 0; j < 50; j++) hash = hash * 31 + (unsigned)value(j);
    pthread_t other;
    void *result;
    pthread_create(&other, NULL, thread_values, library);
    pthread_join(other, &result);
    printf("%d %d %d %ld %d %d\n", value(i), back(i), thread(), (long)result, data[2], dlsym(library, "library_more") != NULL);
    data[2] += i;
    Dl_info info;
    dladdr((void *)value, &info);
    if (strcmp(info.dli_sname, "library_value")) printf("dladdr: %s\n", info.dli_sname);
    places[i] = (uintptr_t)value;
    for (int j = 0; j < i; j++) reused += places[j] == places[i];
    dlclose(library);
  }
  printf("hash %u, addresses reused %d\n", hash, reused > 0);
  printf("missing: %d %d\n", dlopen("/no/such/library.so", RTLD_NOW) == NULL, dlerror() != NULL);
  void *one = opened("library-a.so", RTLD_NOW | RTLD_GLOBAL), *again = opened("library-a.so", RTLD_NOW), *two = opened("library-b.so", RTLD_NOW);
  printf("the same %d, another %d, default %d, next %d\n", one == again, one != two, dlsym(RTLD_DEFAULT, "library_value") == dlsym(one, "library_value"),
         dlsym(RTLD_NEXT, "library_value") == dlsym(one, "library_value"));
  void *math = dlopen("libm.so.6", RTLD_LAZY);
  double (*cosine)(double) = (double (*)(double))dlsym(math, "cos");
  printf("%.10f\n", cosine(1));
  // One that wants an executable stack.
  void *trampolines = opened("library-stack.so", RTLD_NOW);
  int (*value)(int) = (int (*)(int))dlsym(trampolines, "stack_value");
  printf("%d\n", value(20));
  dlclose(two);
  dlclose(again);
  printf("main ends\n");
  return 0;
}
