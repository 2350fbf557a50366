// The calling convention and what leans on it: arguments of every type, structures, alloca, tail calls, computed goto,
// trampolines (a nested function's address is code on the stack).
#include <alloca.h>
#include <complex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char c[3]; } three;
typedef struct { int a; float b; } mixed;
typedef struct { double a, b; } pair;
typedef struct { long a; double b; } split;
typedef struct { float a, b, c; } floats;
typedef struct { long a[5]; } large;
typedef struct { long double v; int n; } extended;
typedef float vector __attribute__((vector_size(16)));

__attribute__((noinline)) static void print_all(const char *kinds, ...) {
  va_list args, copy;
  va_start(args, kinds);
  va_copy(copy, args);
  for (int pass = 0; pass < 2; pass++) {
    va_list *list = pass ? &copy : &args;
    for (const char *k = kinds; *k; k++) {
      switch (*k) {
        case 'i': printf("%d ", va_arg(*list, int)); break;
        case 'l': printf("%ld ", va_arg(*list, long)); break;
        case 'd': printf("%.3f ", va_arg(*list, double)); break;
        case 'L': printf("%.3Lf ", va_arg(*list, long double)); break;
        case 's': printf("%s ", va_arg(*list, char *)); break;
        case '3': { three t = va_arg(*list, three); printf("%.3s ", t.c); break; }
        case 'm': { mixed m = va_arg(*list, mixed); printf("(%d %.1f) ", m.a, (double)m.b); break; }
        case 'p': { pair p = va_arg(*list, pair); printf("(%.1f %.1f) ", p.a, p.b); break; }
        case 'x': { split p = va_arg(*list, split); printf("(%ld %.1f) ", p.a, p.b); break; }
        case 'f': { floats p = va_arg(*list, floats); printf("(%.1f %.1f %.1f) ", (double)p.a, (double)p.b, (double)p.c); break; }
        case 'g': { large p = va_arg(*list, large); printf("(%ld %ld) ", p.a[0], p.a[4]); break; }
        case 'e': { extended p = va_arg(*list, extended); printf("(%.2Lf %d) ", p.v, p.n); break; }
        case 'c': { double complex z = va_arg(*list, double complex); printf("%.1f+%.1fi ", creal(z), cimag(z)); break; }
        case 'q': { __int128 q = va_arg(*list, __int128); printf("%llx:%llx ", (long long)(q >> 64), (long long)q); break; }
        case 'v': { vector v = va_arg(*list, vector); printf("<%.1f %.1f> ", (double)v[0], (double)v[3]); break; }
      }
    }
    printf("\n");
  }
  va_end(args);
  va_end(copy);
}

#define RETURNS(type, name, ...) __attribute__((noinline)) static type name(int n) { return (type)__VA_ARGS__; }
RETURNS(three, give_three, {{(char)('a' + n), (char)('b' + n), (char)('c' + n)}})
RETURNS(mixed, give_mixed, {n, (float)n / 2})
RETURNS(pair, give_pair, {n * 1.5, n * 2.5})
RETURNS(split, give_split, {n * 3L, n / 4.0})
RETURNS(floats, give_floats, {(float)n, (float)n + 1, (float)n + 2})
RETURNS(large, give_large, {{n, 1, 2, 3, n * 7}})
RETURNS(extended, give_extended, {n / 3.0L, n})
__attribute__((noinline)) static __int128 give_wide(int n) { return ((__int128)n << 70) - n; }
__attribute__((noinline)) static long double complex give_complex(int n) { return n + n * 2.0L * I; }
__attribute__((noinline)) static vector give_vector(int n) { return (vector){(float)n, 1, 2, (float)n * 3}; }

__attribute__((noinline)) static long many(char a, short b, int c, long d, unsigned char e, unsigned short f, char g, long h, float i,
                                           double j, float k, double l, double m, double n, double o, double p, float q, double r, char *s) {
  return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + (long)(i + j + k + l + m + n + o + p + q + r) + s[0];
}

__attribute__((noinline)) static long is_odd(long n);
__attribute__((noinline)) static long is_even(long n) { return n == 0 ? 1 : is_odd(n - 1); }
static long is_odd(long n) { return n == 0 ? 0 : is_even(n - 1); }

// A small virtual machine whose opcodes are labels.
__attribute__((noinline)) static long interpret(const unsigned char *code, long n) {
  static void *const labels[] = {&&add, &&mul, &&dec, &&branch, &&stop, &&xor};
  long acc = 1, steps = 0;
  const unsigned char *at = code;
#define NEXT goto *labels[*at++ % 6]
  NEXT;
add: acc += n, steps++; NEXT;
mul: acc = acc * 31 + 7, steps++; NEXT;
dec: n--, steps++; NEXT;
xor: acc ^= acc >> 7, steps++; NEXT;
branch: if (n > 0) at = code; NEXT;
stop: return acc ^ steps << 40;
}

__attribute__((noinline)) static long with_alloca(int n) {
  long sum = 0;
  for (int i = 1; i <= n; i++) {
    unsigned char *room = alloca(i * 37);
    memset(room, i, i * 37);
    int array[i];
    for (int j = 0; j < i; j++) array[j] = room[j] * j;
    for (int j = 0; j < i; j++) sum += array[j];
  }
  return sum;
}

__attribute__((noinline)) static long apply(long (*f)(long), long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += f(i);
  return sum;
}

static int by_last_digit(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return x % 10 != y % 10 ? x % 10 - y % 10 : x - y;
}

__attribute__((noinline)) static long ackermann(long m, long n) {
  return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

struct fields {
  unsigned a : 3;
  signed b : 5;
  unsigned long c : 40;
  signed long d : 13;
  _Bool e : 1;
  unsigned f : 31;
} __attribute__((packed));

int main(void) {
  print_all("ildLs3mpxfgecqv", 1, 2L, 3.5, 4.5L, "five", give_three(0), give_mixed(7), give_pair(8), give_split(9), give_floats(10),
            give_large(11), give_extended(12), (double complex)(13 + 14 * I), give_wide(15), give_vector(16));
  print_all("dddddddddLdLiiiiiiiiid", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10.L, 11., 12.L, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13.);
  print_all("xxxxxxxpppppp", give_split(1), give_split(2), give_split(3), give_split(4), give_split(5), give_split(6), give_split(7),
            give_pair(1), give_pair(2), give_pair(3), give_pair(4), give_pair(5), give_pair(6));
  print_all("qiqiqiqvv", give_wide(1), 1, give_wide(2), 2, give_wide(-3), 3, give_wide(4), give_vector(5), give_vector(6));
  for (int n = -2; n < 3; n++) {
    long double complex z = give_complex(n) * give_complex(n + 1);
    printf("%.3s %d %.2f %.2f %ld %.3Lf %.2Lf %.2Lf %lld\n", give_three(n + 2).c, give_mixed(n).a, give_pair(n).b, give_split(n).b,
           give_large(n).a[4], give_extended(n).v, creall(z), cimagl(z), (long long)(give_wide(n) >> 64));
  }
  printf("%ld\n", many(-1, -2, -3, -4, 255, 65535, 127, 1L << 40, 1.5f, 2.5, 3.5f, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5f, 10.5, "s"));
  printf("%ld %ld\n", is_even(10000), is_odd(9999));
  const unsigned char code[] = {0, 1, 5, 2, 3, 4};
  printf("%lx\n", interpret(code, 20000));
  printf("%ld\n", with_alloca(60));

  long base = 5;
  long nested(long n) { return n * base + (base ^= n); }
  printf("%ld %ld\n", apply(nested, 1000), base);

  int numbers[2000];
  for (int i = 0; i < 2000; i++) numbers[i] = (i * 7919) % 4001;
  qsort(numbers, 2000, sizeof(int), by_last_digit);
  unsigned hash = 0;
  for (int i = 0; i < 2000; i++) hash = hash * 31 + numbers[i];
  int key = 77;
  int *found = bsearch(&key, numbers, 2000, sizeof(int), by_last_digit);
  printf("%u %d\n", hash, found ? *found : -1);
  printf("%ld\n", ackermann(2, 300));

  struct fields f = {0};
  for (int i = 0; i < 100; i++) {
    f.a += 3, f.b -= 7, f.c = f.c * 1000003 + i, f.d += 999, f.e ^= i & 1, f.f = f.f * 5u + 1u;
    if (i % 20 == 0) printf("%u %d %llx %ld %d %u\n", f.a, f.b, (unsigned long long)f.c, (long)f.d, f.e, f.f);
  }
  unsigned char raw[sizeof f];
  memcpy(raw, &f, sizeof f);
  for (unsigned i = 0; i < sizeof f; i++) printf("%02x", raw[i]);
  printf("\n");
  return 0;
}
