// A static program: arguments, environment, floating-point printing, exit status.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  char *text = malloc(100000);
  memset(text, 'x', 99999);
  text[99999] = 0;
  printf("%d %s %.17g %Lg %zu\n", argc, argv[1], sqrt(2.0), 1.0L / 3, strlen(text));
  fprintf(stderr, "to stderr %e %a\n", 1e-310, 0.1);
  return 42;
}
