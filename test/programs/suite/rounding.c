// <fenv.h>: rounding modes and exception flags of both floating-point units, precision control, flush to zero.
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#pragma STDC FENV_ACCESS ON

static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
static volatile double d1 = 1, d3 = 3, dten = 0.1, dbig = DBL_MAX, dtiny = DBL_MIN, dzero = 0, dnan = NAN;
static volatile float f1 = 1, f3 = 3, fbig = FLT_MAX, ftiny = FLT_MIN;
static volatile long double l1 = 1, l3 = 3, lten = 0.1L, lbig = LDBL_MAX, ltiny = LDBL_MIN, lzero = 0;
static volatile double ds;
static volatile float fs;
static volatile long double ls;
static volatile int is;

static void raised(const char *what) {
  int f = fetestexcept(FE_ALL_EXCEPT);
  printf("%s:%s%s%s%s%s\n", what, f & FE_INEXACT ? " inexact" : "", f & FE_UNDERFLOW ? " underflow" : "", f & FE_OVERFLOW ? " overflow" : "",
         f & FE_DIVBYZERO ? " divbyzero" : "", f & FE_INVALID ? " invalid" : "");
  feclearexcept(FE_ALL_EXCEPT);
}
#define FLAGS(...) do { feclearexcept(FE_ALL_EXCEPT); __VA_ARGS__; raised(#__VA_ARGS__); } while (0)

static void arithmetic(void) {
  printf("%a %a %a %a %a %a %a\n", d1 / d3, -d1 / d3, d1 + 1e-30, d1 - 1e-30, dten * d3, sqrt(d3), dbig * 2);
  printf("%a %a %a %a %a\n", (double)(f1 / f3), (double)(-f1 / f3), (double)(fbig * 2), (double)(ftiny / 3), (double)sqrtf(f3));
  printf("%La %La %La %La %La %La\n", l1 / l3, -l1 / l3, l1 + 1e-30L, lten * l3, sqrtl(l3), lbig * 2);
  printf("%a %a %a %a\n", (double)(float)dten, (double)(float)-dten, (double)lten, (double)(float)l3 / 7);
  printf("%g %g %g %g %ld %ld %ld %ld\n", rint(2.5), rint(-2.5), nearbyint(0.4), nearbyint(-0.6), lrint(1.5), lrint(-1.5), lrintl(2.5L), llrintf(-0.5f));
  printf("%a %a %a\n", (double)(volatile int64_t){INT64_MAX}, (double)(float)(volatile int32_t){INT32_MAX}, (double)(volatile uint64_t){UINT64_MAX});
  printf("%a %a %La\n", strtod("0.1", NULL), (double)strtof("0.1", NULL), strtold("0.1", NULL));
  printf("%.3f %.0f %.1e %.2Lf %.0Lf\n", 0.0005, 2.5, 1.25, -0.125L, 0.5L);
  printf("%a %a %a %a\n", floor(-0.5), ceil(0.2), trunc(-1.7), round(2.5));
}

static void flags_x87(void) {
  FLAGS(ls = l1 / l3);
  FLAGS(ls = l1 / lzero);
  FLAGS(ls = lzero / lzero);
  FLAGS(ls = lbig * lbig);
  FLAGS(ls = ltiny / 3);
  FLAGS(is = (int)lbig);
  FLAGS(is = (int)lten);
  FLAGS(ds = (double)lten);
  FLAGS(ds = (double)lbig);
}

// Long enough to be hot: one odd value somewhere in the last round.
static volatile double values[1000];
static volatile float floats[1000];
static void flags_in_loops(void) {
  static const double odd[] = {1, 0, DBL_MAX, 0x1p-1060, 0x1p-600, NAN, INFINITY, -1e10};
  for (int which = 0; which < 8; which++) {
    for (int kept = 0; kept < 2; kept++) {
      for (int i = 0; i < 1000; i++) floats[i] = values[i] = 1 + i / 8.0;
      double sum = 0, product = 0, roots = 0;
      float single = 0;
      long integers = 0, less = 0;
      for (int round = 0; round < 300; round++) {
        if (round == 299) floats[700] = values[700] = odd[which];
        if (round == 298) feclearexcept(kept ? FE_ALL_EXCEPT & ~FE_INEXACT : FE_ALL_EXCEPT);
        for (int i = 0; i < 1000; i++) {
          double x = values[i];
          sum += 1 / x;
          if (which < 6) product += x * x;
          roots += sqrt(x);
          single += floats[i] * 0.25f;
          integers += (int)x;
          less += x < 50;
        }
        if (round == 150) raised("before");
      }
      printf("%d %d: %a %a %a %a %ld %ld ", which, kept, sum, product, roots, single, integers, less);
      raised("loop");
    }
  }
  // Exact all the time.
  double exact = 0;
  feclearexcept(FE_ALL_EXCEPT);
  for (int i = 0; i < 30000; i++) exact += (i & 15) * 0.5;
  printf("%a ", exact);
  raised("exact");
}

static void flags_sse(void) {
  FLAGS(ds = d1 / d3);
  FLAGS(ds = d1 / 2);
  FLAGS(ds = d1 / dzero);
  FLAGS(ds = dzero / dzero);
  FLAGS(ds = dbig * 2);
  FLAGS(ds = dtiny / 3);
  FLAGS(ds = dtiny / 4);
  FLAGS(ds = sqrt(-d1));
  FLAGS(ds = dnan + 1);
  FLAGS(is = d1 < dnan);
  FLAGS(is = d1 == dnan);
  FLAGS(is = (int)dbig);
  FLAGS(is = (int)dten);
  FLAGS(is = (int)d3);
  FLAGS(fs = (float)dten);
  FLAGS(fs = (float)dbig);
  FLAGS(fs = (float)d3);
  FLAGS(fs = fbig * fbig);
  FLAGS(fs = ftiny * ftiny);
  FLAGS(ds = (double)(volatile int64_t){INT64_MAX});
  FLAGS(ds = rint(dten));
  FLAGS(ds = nearbyint(dten));
  FLAGS(ds = floor(dten));
  FLAGS(ds = exp(1000 * d1));
  FLAGS(ds = log(dzero));
  FLAGS(ds = log(-d1));
  FLAGS(ds = pow(10, -400 * d1));
  FLAGS(ds = fmod(d1, dzero));
}

int main(void) {
  for (int m = 0; m < 4; m++) {
    fesetround(modes[m]);
    printf("mode %d: is %d\n", m, fegetround() == modes[m]);
    arithmetic();
  }
  fesetround(FE_TONEAREST);
  for (int m = 0; m < 4; m++) {
    fesetround(modes[m]);
    printf("x87 flags in mode %d\n", m);
    flags_x87();
    if (modes[m] == FE_TONEAREST) continue;
    printf("SSE flags in mode %d\n", m);
    flags_sse();
  }
  fesetround(FE_TONEAREST);

  fenv_t saved;
  feraiseexcept(FE_OVERFLOW | FE_UNDERFLOW);
  feholdexcept(&saved);
  raised("held");
  ls = l1 / l3;
  feupdateenv(&saved);
  raised("updated");
  fesetround(FE_UPWARD);
  fegetenv(&saved);
  fesetenv(FE_DFL_ENV);
  printf("default %d\n", fegetround() == FE_TONEAREST);
  fesetenv(&saved);
  printf("restored %d\n", fegetround() == FE_UPWARD);
  fesetround(FE_TONEAREST);

  // The x87's precision control.
  for (int precision = 0; precision < 4; precision++) {
    if (precision == 1) continue;
    unsigned short control, old;
    __asm__ volatile("fnstcw %0" : "=m"(old));
    control = (unsigned short)((old & ~0x300) | precision << 8);
    __asm__ volatile("fldcw %0" : : "m"(control));
    printf("precision %d: %La %La %La\n", precision, l1 / l3, lten * l3, ltiny / l3);
    __asm__ volatile("fldcw %0" : : "m"(old));
  }
  // Flush to zero, denormals are zero.
  for (int bits = 0; bits < 4; bits++) {
    unsigned old = _mm_getcsr();
    _mm_setcsr(old | (bits & 1 ? 0x8000 : 0) | (bits & 2 ? 0x40 : 0));
    ds = dtiny / 3;
    fs = ftiny / 3;
    volatile double denormal = 0x1p-1060;
    double more = denormal * 0x1p100;
    _mm_setcsr(old);
    printf("ftz/daz %d: %a %a %a\n", bits, ds, (double)fs, more);
  }
  fesetround(FE_DOWNWARD);
  double sum = 0;
  for (int i = 1; i < 5000; i++) sum += d1 / i;
  fesetround(FE_UPWARD);
  double up = 0;
  for (int i = 1; i < 5000; i++) up += d1 / i;
  printf("%a %a\n", sum, up);
  fesetround(FE_TONEAREST);
  flags_sse();
  flags_in_loops();
  return 0;
}
