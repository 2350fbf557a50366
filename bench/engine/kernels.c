/*
 * Hot loops, one at a time: `kernels NAME ROUNDS` prints the milliseconds of each round and a checksum of all.
 * They are those that the engine's design was measured with.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <math.h>

static uint64_t rng = 88172645463325252ull;
static uint64_t next(void) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return rng;
}

/* Byte stores. */
static uint8_t flags[2000000];
static uint64_t sieve(void) {
  uint64_t count = 0;
  memset(flags, 1, sizeof flags);
  for (uint32_t i = 2; i < sizeof flags; i++) {
    if (!flags[i]) continue;
    count++;
    for (uint64_t j = (uint64_t)i * i; j < sizeof flags; j += i) flags[j] = 0;
  }
  return count;
}

/* 64-bit multiplication and rotation. */
static uint8_t text[1 << 20];
static uint64_t rotl(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }
static uint64_t xxh(void) {
  const uint64_t p1 = 11400714785074694791ull, p2 = 14029467366897019727ull;
  uint64_t acc[4] = {p1 + p2, p2, 0, -p1};
  for (int round = 0; round < 40; round++) {
    for (size_t i = 0; i + 32 <= sizeof text; i += 32) {
      for (int lane = 0; lane < 4; lane++) {
        uint64_t word;
        memcpy(&word, text + i + 8 * lane, 8);
        acc[lane] = rotl(acc[lane] + word * p2, 31) * p1;
      }
    }
  }
  return rotl(acc[0], 1) + rotl(acc[1], 7) + rotl(acc[2], 12) + rotl(acc[3], 18);
}

/* Byte loads and a chain of multiplications. */
static uint64_t fnv(void) {
  uint64_t hash = 14695981039346656037ull;
  for (int round = 0; round < 60; round++)
    for (size_t i = 0; i < sizeof text; i++) hash = (hash ^ text[i]) * 1099511628211ull;
  return hash;
}

/* A hash table and its chains: pointers. */
struct node {
  struct node *next;
  uint64_t key, value;
};
static struct node nodes[65536], *heads[16384];
static uint64_t probe(void) {
  uint64_t sum = 0;
  memset(heads, 0, sizeof heads);
  for (int i = 0; i < 65536; i++) {
    struct node *n = &nodes[i];
    n->key = (uint64_t)i * 2654435761u;
    n->value = i;
    struct node **head = &heads[n->key >> 8 & 16383];
    n->next = *head;
    *head = n;
  }
  for (int i = 0; i < 3000000; i++) {
    uint64_t key = (next() & 65535) * 2654435761u;
    for (struct node *n = heads[key >> 8 & 16383]; n != NULL; n = n->next) {
      if (n->key == key) {
        sum += n->value;
        break;
      }
    }
  }
  return sum;
}

/* Scalar doubles in memory. */
static double bodies[5][7] = {
  {0, 0, 0, 0, 0, 0, 39.47},
  {4.84, -1.16, -0.10, 0.60, 2.81, -0.02, 0.037},
  {8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.011},
  {12.89, -15.11, -0.22, 1.08, 0.86, -0.01, 0.0017},
  {15.37, -25.91, 0.17, 0.97, 0.59, -0.03, 0.002},
};
static uint64_t nbody(void) {
  for (int step = 0; step < 400000; step++) {
    for (int i = 0; i < 5; i++) {
      double *a = bodies[i];
      for (int j = i + 1; j < 5; j++) {
        double *b = bodies[j];
        double dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
        double d2 = dx * dx + dy * dy + dz * dz;
        double mag = 0.001 / (d2 * sqrt(d2));
        a[3] -= dx * b[6] * mag, a[4] -= dy * b[6] * mag, a[5] -= dz * b[6] * mag;
        b[3] += dx * a[6] * mag, b[4] += dy * a[6] * mag, b[5] += dz * a[6] * mag;
      }
    }
    for (int i = 0; i < 5; i++)
      for (int k = 0; k < 3; k++) bodies[i][k] += 0.001 * bodies[i][k + 3];
  }
  uint64_t bits;
  memcpy(&bits, &bodies[0][0], 8);
  return bits;
}

/* A chain of dependent doubles. */
static uint64_t poly(void) {
  double x = 0.5, y = 0;
  for (int i = 0; i < 12000000; i++) {
    y = ((0.25 * x + 0.5) * x - 0.125) * x + 0.0625;
    x = y * 0.5 + 0.25;
  }
  uint64_t bits;
  memcpy(&bits, &y, 8);
  return bits;
}

/* Calls and returns. */
__attribute__((noinline)) static uint64_t fibonacci(unsigned n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
static uint64_t fib(void) {
  volatile unsigned n = 33;
  return fibonacci(n);
}

/* Branches that nobody can foresee. */
static uint32_t values[600000];
static uint64_t sort(void) {
  const size_t n = sizeof values / sizeof values[0];
  for (size_t i = 0; i < n; i++) values[i] = (uint32_t)next();
  for (size_t gap = n / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
    for (size_t i = gap; i < n; i++) {
      uint32_t v = values[i];
      size_t j = i;
      for (; j >= gap && values[j - gap] > v; j -= gap) values[j] = values[j - gap];
      values[j] = v;
    }
  }
  return values[0] + values[n / 2] + values[n - 1];
}

static const struct {
  const char *name;
  uint64_t (*run)(void);
} KERNELS[] = {
  {"sieve", sieve}, {"xxh", xxh},   {"fnv", fnv}, {"probe", probe},
  {"nbody", nbody}, {"poly", poly}, {"fib", fib}, {"sort", sort},
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)next();
  for (size_t k = 0; k < sizeof KERNELS / sizeof KERNELS[0]; k++) {
    if (strcmp(argv[1], KERNELS[k].name) != 0) continue;
    uint64_t sum = 0;
    for (int round = atoi(argv[2]); round > 0; round--) {
      double start = now();
      sum = sum * 31 + KERNELS[k].run();
      printf("%.2f\n", now() - start);
    }
    printf("= %016llx\n", (unsigned long long)sum);
    return 0;
  }
  return 2;
}
