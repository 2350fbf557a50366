// Arithmetic that the compiler spreads over several instructions or calls: 128-bit integers, complex numbers, builtins,
// atomics, saturating and checked operations, conversions at the edges, vectors of the compiler.
#include <complex.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef unsigned __int128 u128;
typedef __int128 i128;

static uint64_t state = 88172645463325252;
static uint64_t next(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

static uint64_t hash = 14695981039346656037u;
static void mix(const void *data, size_t size) {
  for (size_t i = 0; i < size; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}
#define MIX(...) ({ __typeof__(__VA_ARGS__) v_ = (__VA_ARGS__); mix(&v_, sizeof v_); })
#define SAY(what) (printf("%s %016llx\n", what, (unsigned long long)hash))

static void wide(void) {
  for (int i = 0; i < 2000; i++) {
    u128 a = (u128)next() << 64 | next(), b = ((u128)next() << 64 | next()) >> (i % 120);
    i128 c = (i128)a, d = (i128)(b | 1);
    MIX(a * b), MIX(a + b), MIX(a - b), MIX(a / (b | 1)), MIX(a % (b | 1)), MIX(c / d), MIX(c % d), MIX(a << (i % 128)), MIX(c >> (i % 128));
    MIX((int)(a < b) | (c < d) << 1), MIX((double)a), MIX((float)c), MIX((i128)(double)(c >> 3)), MIX((u128)fabs((double)(c >> 3)));
  }
  SAY("__int128");
}

static void builtins(void) {
  for (int i = 0; i < 3000; i++) {
    uint64_t a = next() >> (i % 63), b = next();
    MIX(__builtin_popcountll(a)), MIX(a ? __builtin_clzll(a) : 64), MIX(a ? __builtin_ctzll(a) : 64), MIX(__builtin_bswap64(a)),
        MIX(__builtin_bswap32((uint32_t)a)), MIX(__builtin_bswap16((uint16_t)a)), MIX(__builtin_parityll(a)), MIX(__builtin_ffsll((long long)a));
    int64_t s;
    int32_t t;
    uint64_t u;
    uint8_t v;
    MIX(__builtin_add_overflow((int64_t)a, (int64_t)b, &s)), MIX(s), MIX(__builtin_mul_overflow((int64_t)a, (int64_t)b, &s)), MIX(s);
    MIX(__builtin_sub_overflow((int32_t)a, (int32_t)b, &t)), MIX(t), MIX(__builtin_mul_overflow((int32_t)a, (int32_t)b, &t)), MIX(t);
    MIX(__builtin_add_overflow(a, b, &u)), MIX(u), MIX(__builtin_mul_overflow(a, b, &u)), MIX(u), MIX(__builtin_sub_overflow((uint8_t)a, (uint8_t)b, &v)), MIX(v);
    int n = i % 64;
    MIX(a << n | b >> ((64 - n) & 63)), MIX((uint8_t)(a << (n & 7))), MIX((int16_t)b >> (n & 15)), MIX((uint32_t)a / ((uint32_t)b | 1)), MIX((int32_t)a % ((int32_t)b | 1));
    MIX((int8_t)a * (int8_t)b), MIX((a & 0xff) / ((b & 0xff) | 1)), MIX((uint16_t)a % ((uint16_t)b | 1)), MIX((int64_t)a / ((int64_t)(b >> 20) | 1));
    MIX(a > b ? a : b), MIX((int)a < (int)b ? (int)a : (int)b), MIX((a >> 3) % 10), MIX((int32_t)a / 7), MIX((int64_t)b / -1000000007), MIX((uint64_t)b % 1000000007);
  }
  SAY("builtins");
}

static void conversions(void) {
  for (int i = 0; i < 3000; i++) {
    uint64_t a = next() >> (i % 64);
    double d;
    float f;
    uint64_t raw = next();
    memcpy(&d, &raw, 8);
    memcpy(&f, &raw, 4);
    MIX((double)a), MIX((float)a), MIX((double)(int64_t)a), MIX((float)(int32_t)a), MIX((double)(uint32_t)a), MIX((float)(uint16_t)a);
    if (d == d) MIX((float)d);
    if (f == f) MIX((double)f);
    double in = (double)(int64_t)next() / (double)(1 + (a & 0xffff));
    MIX((int64_t)in), MIX((int32_t)(in / 1e10)), MIX((uint64_t)fabs(in)), MIX((uint32_t)fabs(in / 1e10)), MIX((int8_t)(in / 1e18)), MIX(floor(in / 1e15)), MIX(rint(in / 1e15)), MIX(lrint(in)), MIX(trunc(in / 1e15)), MIX(round(in / 1e15));
    MIX((float)in + 1.5f), MIX(fmod(in, 7.25)), MIX(sqrt(fabs(in))), MIX(fma(in, 3, d == d && fabs(d) < 1e300 ? d : 1)), MIX(ldexp(in, (int)(a % 50) - 25)), MIX(copysign(in, -1));
    int e;
    MIX(frexp(in, &e)), MIX(e), MIX(nextafter(in, 0)), MIX((int)(isless(in, d) | isgreater(in, d) << 1 | islessgreater(in, d) << 2 | isunordered(in, d) << 3)), MIX(fmin(in, d)), MIX(logb(in));
  }
  // Subnormals.
  for (double d = 1e-300; d > 0; d /= 3.7) MIX(d), MIX((float)d), MIX(d * 0.3);
  for (float f = 1e-30f; f > 0; f /= 2.7f) MIX(f), MIX((double)f), MIX(f * 0.3f);
  SAY("conversions");
  const double odd[] = {1e300, -1e300, 2147483648.0, -2147483649.0, 9.3e18, -9.3e18, 0.0 / 1, NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 10; i++) {
    volatile double v = odd[i];
    int r32;
    long r64, t64;
    __asm__("cvttsd2si %1, %0" : "=r"(r32) : "x"(v));
    __asm__("cvttsd2si %1, %0" : "=r"(t64) : "x"(v));
    __asm__("cvtsd2si %1, %0" : "=r"(r64) : "x"(v));
    printf("%g %d %ld %ld\n", v, r32, t64, r64);
  }
}

static void complexes(void) {
  volatile double zero = 0;
  double complex z = 1 + 0.5 * I, w = 0.25 - 2 * I;
  for (int i = 0; i < 200; i++) {
    z = z * w + 1.0 / (z + 3), w = w / (z + 0.1 * I) + conj(w) * 0.5;
    MIX(creal(z)), MIX(cimag(z)), MIX(creal(w));
    float complex f = (float complex)z * (float complex)w;
    MIX(crealf(f)), MIX(cimagf(f));
    long double complex l = (long double complex)z * w / (1 + I);
    printf(i % 40 ? "" : "%.17g %.17g %.20Lg %.20Lg\n", creal(z), cimag(z), creall(l), cimagl(l));
    if (!(cabs(z) < 1e3)) z = 1 + I;
    if (!(cabs(w) < 1e3)) w = 0.5 * I;
  }
  SAY("complex");
  double complex inf = (INFINITY + zero * I) * (1 + I), by_zero = (1 + I) / zero;
  printf("%d %d %g\n", isinf(creal(inf)) != 0, isinf(creal(by_zero)) != 0, cabs(3 + 4 * I));
  printf("%.12g %.12g %.12g %.12g\n", creal(cexp(1 + I)), cimag(csqrt(-2 + I)), creal(cpow(2 + I, 1.5)), carg(-1 - I));
}

typedef int32_t ints __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(16)));
typedef int16_t shorts __attribute__((vector_size(16)));
typedef double doubles __attribute__((vector_size(16)));
typedef int64_t longs __attribute__((vector_size(16)));
static void vectors(void) {
  ints a = {1, -2, 3, INT_MIN}, b = {7, 5, -3, 2};
  bytes c = {0}, d = {1, 200, 3, 4, 250, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};
  shorts e = {1, 2, 3, 4, 5, 6, 7, 8};
  doubles f = {1.5, -2.5}, g = {0.1, 3};
  longs h = {1, -1};
  for (int i = 0; i < 2000; i++) {
    a = a * b + (a >> 3) - (a > b), b = (b ^ a) | (b << 1), c = c + d, d = d ^ (c >> 1) ^ (bytes)a, e = e * (shorts)a + e / (((shorts)b & 7) + 1);
    f = f * g + 0.5, g = g - f / 3, h = h * 31 + (longs)a + (longs)(f > g);
    d = __builtin_shuffle(d, c & 15);
    if (!(f[0] * f[0] < 1e6)) f[0] = 1;
    if (!(f[1] * f[1] < 1e6)) f[1] = -1;
    if (!(g[0] * g[0] < 1e6)) g[0] = 2;
    if (!(g[1] * g[1] < 1e6)) g[1] = 3;
    MIX(a), MIX(b), MIX(c), MIX(d), MIX(e), MIX(f), MIX(g), MIX(h);
  }
  SAY("vectors");
}

static void atomics(void) {
  static _Atomic uint8_t a8;
  static _Atomic int16_t a16;
  static _Atomic uint32_t a32;
  static _Atomic int64_t a64;
  static volatile u128 a128 __attribute__((aligned(16)));
  for (int i = 0; i < 1000; i++) {
    uint64_t n = next();
    MIX(atomic_fetch_add(&a8, (uint8_t)n)), MIX(atomic_fetch_sub(&a16, (int16_t)n)), MIX(atomic_fetch_xor(&a32, (uint32_t)n)),
        MIX(atomic_fetch_or(&a64, (int64_t)n)), MIX(atomic_fetch_and(&a64, (int64_t)~next())), MIX(atomic_exchange(&a32, (uint32_t)n));
    uint32_t expected = i & 1 ? (uint32_t)n : 5;
    MIX(atomic_compare_exchange_strong(&a32, &expected, 77)), MIX(expected);
    MIX(__sync_fetch_and_nand(&a64, (int64_t)n)), MIX(__atomic_add_fetch(&a16, 3, __ATOMIC_RELAXED));
    // Bit operations with a lock.
    _Bool was;
    __asm__ volatile("lock btsq %2, %0; setc %1" : "+m"(a64), "=q"(was) : "r"(n & 63) : "cc");
    MIX((int)was);
    // Sixteen bytes.
    u128 old = i % 3 ? a128 : 1;
    uint64_t low = (uint64_t)old, high = (uint64_t)(old >> 64);
    unsigned char done;
    __asm__ volatile("lock cmpxchg16b %1; setz %0" : "=q"(done), "+m"(a128), "+a"(low), "+d"(high) : "b"(n), "c"(n * 3) : "cc");
    MIX((int)done), MIX(low), MIX(high), MIX((uint64_t)a128);
  }
  SAY("atomics");
}

int main(void) {
  wide();
  builtins();
  conversions();
  complexes();
  vectors();
  atomics();
  return 0;
}
