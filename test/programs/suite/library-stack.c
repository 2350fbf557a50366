// A library of libraries.c whose nested function needs an executable stack.
static int apply(int (*f)(int), int n) {
  int sum = 0;
  for (int i = 0; i < n; i++) sum += f(i);
  return sum;
}
int (*volatile keep)(int (*)(int), int) = apply;
int stack_value(int n) {
  int base = n;
  int nested(int i) { return i * base++; }
  return keep(nested, n);
}
