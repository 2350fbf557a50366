// 80-bit floats: printing and parsing them, arithmetic at the edges of the format, conversions, the libm of long double.
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile long double zero = 0, one = 1;

static void bits(const char *what, long double v) {
  uint16_t top;
  uint64_t mantissa;
  memcpy(&mantissa, &v, 8);
  memcpy(&top, (char *)&v + 8, 2);
  printf("%s: %04x %016llx %La\n", what, top, (unsigned long long)mantissa, v);
}

static long double made(unsigned top, uint64_t mantissa) {
  long double v = 0;
  uint16_t t = top;
  memcpy(&v, &mantissa, 8);
  memcpy((char *)&v + 8, &t, 2);
  return v;
}

static void print(long double v) {
  printf("%Lf|%Le|%Lg|%La|%.0Lf|%.3Le|%+.25Lg|%30.10Lf|%-20Lg|%020.5Lf|%#Lg|% Lg\n", v, v, v, v, v, v, v, v, v, v, v, v);
}

static void parse(const char *text) {
  char *end;
  errno = 0;
  long double v = strtold(text, &end);
  int error = errno;
  bits(text, v);
  errno = 0;
  double d = strtod(text, NULL);
  int error2 = errno;
  errno = 0;
  float f = strtof(text, NULL);
  printf("  rest \"%s\" errno %d; double %a %d; float %a %d\n", end, error, d, error2, (double)f, errno);
}

static void convert(long double v) {
  printf("%Lg: %d %ld %u %lu %d %a %a\n", v, (int)v, (long)v, (unsigned)(long)v,
         v >= 0 ? (unsigned long)v : (unsigned long)(long)v, (short)(int)v, (double)v, (double)(float)v);
  printf("  %ld %ld %lld %La %La %La %La %La\n", lrintl(v), lroundl(v), llrintl(v), rintl(v), floorl(v), ceill(v), truncl(v),
         nearbyintl(v));
}

static void two(long double a, long double b) {
  printf("%Lg, %Lg: %La %La %La %La %La %La %La %d%d%d%d\n", a, b, a + b, a - b, a * b, a / b, fmodl(a, b), remainderl(a, b),
         nextafterl(a, b), a < b, a == b, a > b, isunordered(a, b));
  int q = 0;
  long double r = remquol(a, b, &q);
  printf("  %La %d %La %La %La %La\n", r, q & 7, fmaxl(a, b), fdiml(a, b), copysignl(a, b), hypotl(a, b));
}

int main(void) {
  const long double values[] = {0, -zero, 1, -1, 0.1L, 1.0L / 3, 123456789.987654321L, LDBL_MAX, LDBL_MIN, LDBL_TRUE_MIN,
                                LDBL_EPSILON, 1e-4940L, 1e100L, 1e19L, 18446744073709551615.0L, 9223372036854775807.0L, 0.5L, 1.5L,
                                2.5L, 99999.5L, 1e-5L, 1 / zero, -one / zero};
  const int count = sizeof values / sizeof *values;
  for (int i = 0; i < count; i++) print(values[i]);
  for (int i = 0; i < count; i++) {
    char name[20];
    sprintf(name, "value %d", i);
    bits(name, values[i]);
    bits("  root", sqrtl(fabsl(values[i])));
    int exponent;
    long double fraction = frexpl(values[i], &exponent);
    printf("  %La %d %La %d%d%d%d\n", fraction, isfinite(values[i]) ? exponent : 0, scalbnl(values[i], -3), !!isnan(values[i]),
           !!isinf(values[i]), !!isnormal(values[i]), !!signbit(values[i]));
  }
  const char *texts[] = {"0.1", "-1e4932", "1e4933", "3.6e-4951", "1.8e-4951", "1e-4952", "0x1.8p3xyz", "inf", "-nan(0x12)", "nan", "",
                         " +12.5e", "1.18973149535723176502126385303097020516906332229e4932", "1e-320", "1.7976931348623158e308",
                         "1.7976931348623159e308", "2.2250738585072011e-308", "9007199254740993", "0x1.00000000000000018p0",
                         "0x1.0000000000000001p-16445", "1.00000000000000000005421010862427522170037264004349708557128906250001",
                         "16777217.00000000000000001", "7.0064923216240853e-46", "7.0064923216240862e-46"};
  for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) parse(texts[i]);
  const long double numbers[] = {0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.7L, 2147483647.5L, 2147483648.0L, -2147483649.0L, 9.3e18L, 1e19L,
                                 3e38L, 1e-45L, 1e-310L, 65536.999L, 0.99999999999999999999L};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) convert(numbers[i]);
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
    for (unsigned j = 0; j < sizeof numbers / sizeof *numbers; j += 3) two(numbers[i], numbers[j]);
  two(1 / zero, 1);
  two(LDBL_MAX, LDBL_MAX);
  two(LDBL_TRUE_MIN, 3);
  // Encodings that no operation makes: a pseudo-denormal (valid), an unnormal (invalid), a signalling NaN.
  bits("pseudo-denormal + 0", made(0, 0x8000000000000001) + zero);
  bits("unnormal + 0", made(0x4000, 0x4000000000000000) + zero);
  bits("signalling + 0", made(0x7fff, 0x8000000000000123) + zero);
  bits("quiet + signalling", made(0xffff, 0xc000000000000777) + made(0x7fff, 0x8000000000000123));
  // Integers of all widths, there and back.
  const int64_t integers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1234567890123456789, INT32_MIN};
  for (unsigned i = 0; i < sizeof integers / sizeof *integers; i++) {
    bits("int64", (long double)integers[i]);
    bits("uint64", (long double)(uint64_t)integers[i]);
    bits("int128", (long double)((__int128)integers[i] * integers[i]));
    printf("  %016llx\n", (unsigned long long)((__int128)((long double)integers[i] * 4e9L) >> 20));
  }
  // The last digits of what processors compute with microcode may differ: so many are the same.
  for (int i = 1; i < 40; i++) {
    long double x = i / 7.0L;
    printf("%.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg\n", sinl(x), cosl(x), tanl(x), atanl(x), expl(x), logl(x), log2l(x),
           log10l(x));
    printf("  %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg\n", powl(x, x), sinhl(x), tanhl(x), cbrtl(x), expm1l(x),
           log1pl(x), exp2l(x), tgammal(x), erfl(x / 4));
    printf("  %.15Lg %.15Lg %.15Lg %.15Lg\n", asinl(x / 6), acosl(x / 6), atan2l(x, -2), j0l(x));
  }
  long double sum = 0;
  for (int i = 1; i <= 100000; i++) sum += 1.0L / i / i;
  bits("sum", sum);
  long double whole;
  long double part = modfl(-123.456L, &whole);
  printf("%La %La %La\n", part, whole, fmal(1e10L, 1e10L, -1e20L));
  char text[200];
  long double read;
  sprintf(text, "%.40Lg", 0.1L);
  printf("%d %s ", sscanf(text, "%Lf", &read), text);
  bits("read", read);
  return 0;
}
