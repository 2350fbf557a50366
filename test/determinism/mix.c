// A program that V8's tiers could disagree on: NaNs from every operation, denormals, infinities, conversions out of range,
// integer mixing, string operations, calls. Needs no C library. It never ends; the test stops it at an instruction count.
typedef unsigned long u64;
typedef unsigned int u32;

static u64 state = 0x9e3779b97f4a7c15UL;
static volatile double sink[64];
static volatile float sinkf[64];
static volatile u64 words[4096];
static char from[4096], to[4096];

static u64 next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static double as_double(u64 bits) {
  union { u64 u; double d; } x = {bits};
  return x.d;
}

static float as_float(u32 bits) {
  union { u32 u; float f; } x = {bits};
  return x.f;
}

// Random bits are NaNs one time in a thousand; these make the special values common.
static double special(u64 r) {
  static const u64 bits[] = {0x7ff8000000000001UL, 0xfff0000000000001UL, 0x7ff0000000000000UL, 0xfff0000000000000UL,
                             1, 0x8000000000000000UL, 0x0010000000000000UL, 0x43e0000000000000UL};
  return (r & 15) < 8 ? as_double(bits[r & 7]) : as_double(next());
}

__attribute__((noinline)) static double mix(double a, double b, u64 r) {
  switch (r & 7) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / b;
    case 4: return __builtin_sqrt(a);
    case 5: return a < b ? a : b;
    case 6: return (double)(float)a + (double)(long)b;
    default: return (double)(int)a * b;
  }
}

__attribute__((noinline)) static u64 depth(u64 n) { return n == 0 ? next() : depth(n - 1) * 3 + n; }

void _start(void) {
  for (u64 i = 0;; i++) {
    u64 r = next();
    sink[i & 63] = mix(special(r), special(r >> 8) + sink[(i + 7) & 63] * 0.5, r >> 16);
    sinkf[i & 63] = as_float((u32)r) * (float)sink[i & 63] - as_float((u32)(r >> 32));
    words[r & 4095] += (u64)(long)sink[r & 63] ^ depth(r & 31);
    if ((i & 63) == 0) {
      u64 n = r & 4095;
      char *d = to, *s = from;
      for (u64 k = 0; k < 16; k++) from[(r + k) & 4095] = (char)(r >> k);
      __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    }
  }
}
