// Characters wider than a byte, locales, formatted input and output, regular expressions, time as text, sorting.
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <iconv.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <monetary.h>
#include <regex.h>
#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static int by_text(const void *a, const void *b) { return strcoll(*(char *const *)a, *(char *const *)b); }
static int by_case(const void *a, const void *b, void *counter) { return ++*(int *)counter, strcasecmp(*(char *const *)a, *(char *const *)b); }
static int compare(const void *a, const void *b) { return strcmp(a, b); }
static void visit(const void *node, VISIT order, int level) { if (order == postorder || order == leaf) printf("%s/%d ", *(char *const *)node, level); }

int main(void) {
  printf("%s\n", setlocale(LC_ALL, "C.UTF-8"));
  printf("%s %s [%s]\n", nl_langinfo(CODESET), nl_langinfo(DAY_3), localeconv()->decimal_point);
  const wchar_t *wide = L"Grüße, мир, 世界 🎈";
  printf("%ls %zu %d\n", wide, wcslen(wide), wcswidth(wide, 20));
  char bytes[200];
  printf("%zu ", wcstombs(bytes, wide, sizeof bytes));
  wchar_t back[100];
  printf("%zu ", mbstowcs(back, bytes, 100));
  printf("%d\n", wcscmp(wide, back));
  for (const wchar_t *c = wide; *c; c++) printf("%d%d%d%d ", !!iswalpha(*c), !!iswupper(*c), !!iswpunct(*c), wcwidth(*c));
  printf("\n");
  for (wchar_t *c = back; *c; c++) *c = towupper(*c);
  printf("%ls\n", back);
  mbstate_t state = {0};
  const char *broken = "a\xc3\xa9\xff\xe4\xb8";
  for (const char *at = broken; *at;) {
    wchar_t c;
    size_t n = mbrtowc(&c, at, strlen(at), &state);
    printf("%zd ", (ssize_t)n);
    if ((ssize_t)n <= 0) at++, memset(&state, 0, sizeof state);
    else at += n;
  }
  printf("\n");
  swprintf(back, 100, L"%5.2f|%-8ls|%lc|%08x|%'d", 3.14159, L"ñ", L'é', 255, 1234567);
  printf("%ls\n", back);
  int n;
  double d;
  wchar_t word[20];
  printf("%d ", swscanf(L"12 3.5 wört", L"%d %lf %19ls", &n, &d, word));
  printf("%d %g %ls %ld %g\n", n, d, word, wcstol(L"0x7f", NULL, 0), wcstod(L"1e3", NULL));

  iconv_t convert = iconv_open("UTF-16LE", "UTF-8");
  char in[] = "aé世", out[20];
  char *from = in, *to = out;
  size_t left = strlen(in), room = sizeof out;
  printf("iconv %zd %zu:", (ssize_t)iconv(convert, &from, &left, &to, &room), sizeof out - room);
  for (char *c = out; c < to; c++) printf(" %02x", (unsigned char)*c);
  printf("\n");
  iconv_close(convert);

  char *words[] = {"pear", "Apple", "fig", "apple", "Zebra", "éclair", "banana", "Fig"};
  qsort(words, 8, sizeof *words, by_text);
  for (int i = 0; i < 8; i++) printf("%s ", words[i]);
  int comparisons = 0;
  qsort_r(words, 8, sizeof *words, by_case, &comparisons);
  for (int i = 0; i < 8; i++) printf("%s ", words[i]);
  printf("%d\n", comparisons);
  void *tree = NULL;
  for (int i = 0; i < 8; i++) tsearch(words[i], &tree, compare);
  twalk(tree, visit);
  printf("\n");

  const double odd[] = {0, -0.0, 0.1, 1e23, 123456789, 5e-324, 1.7976931348623157e308, 0.5, 2.5, 1e15, 1e16, 999999.5, 0.00001234};
  for (int i = 0; i < 13; i++) printf("%g %.17g %f %.0f %e %a %#.3g %+.10e|% 12.4f|%-12.2e|%'015.1f\n", odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i], odd[i] > 1e20 ? 0 : odd[i]);
  printf("%d %5d|%-5d|%05d|%+d|% d|%x|%X|%#o|%c|%s|%.2s|%10.3s|%%|%hhd|%hd|%ld|%lld|%zu|%jd|%td|%*d|%-*d|%.*f|%2$d\n", 1, 42, 42, 42, 42, 42, 255, 255, 8, 'c', "text", "text", "text", 300, 70000, 1L << 40, 1LL << 50, (size_t)7, (intmax_t)-8, (ptrdiff_t)9, 6, 5, 4, 3, 2, 1.23456);
  printf("%2$s %1$d %2$.3s %3$*1$d\n", 5, "positional", 77);
  int where;
  printf("counted%n", &where);
  printf(" %d %m\n", where);
  printf("%" PRIx64 " %" PRId8 " %b\n", (uint64_t)-1, (int8_t)-5, 0);

  int a, b, matched;
  float f;
  long double ld;
  char text[50], set[50];
  matched = sscanf("12-0x1f  3.5e2 hello [abc]xyz 99", "%d-%i %f %49s [%49[a-c]]xyz %*d%n", &a, &b, &f, text, set, &n);
  printf("%d %d %d %g %s %s %d\n", matched, a, b, (double)f, text, set, n);
  matched = sscanf("inf nan 0x1.8p1 1e-400", "%f %Lf %lf", &f, &ld, &d);
  printf("%d %f %Lf %g\n", matched, (double)f, ld, d);
  const char *integers[] = {"0", "-1", "9223372036854775808", "0777", "0xfg", "  +5", "z", "", "-0x80000000"};
  for (int i = 0; i < 9; i++) {
    char *end;
    errno = 0;
    long l = strtol(integers[i], &end, 0);
    int e1 = errno;
    errno = 0;
    unsigned long u = strtoul(integers[i], NULL, 0);
    printf("%ld %d '%s' %lu %d %ld\n", l, e1, end, u, errno, strtol(integers[i], NULL, 36));
  }

  regex_t re;
  regmatch_t matches[4];
  regcomp(&re, "([a-z]+)-([0-9]{2,3})(x|y)?", REG_EXTENDED | REG_ICASE);
  for (const char *s = "one-12 TWO-345y three-6"; regexec(&re, s, 4, matches, 0) == 0; s += matches[0].rm_eo)
    printf("%.*s %d,%d ", (int)(matches[1].rm_eo - matches[1].rm_so), s + matches[1].rm_so, matches[2].rm_so, matches[3].rm_so);
  printf("%d\n", regcomp(&re, "(", REG_EXTENDED) != 0);
  printf("%d %d %d\n", fnmatch("*.[ch]", "text.c", 0), fnmatch("a?c*", "abcd/e", FNM_PATHNAME), fnmatch("[!a]*", "abc", 0) != 0);
  glob_t found;
  glob("/etc/host*", GLOB_MARK, NULL, &found);
  for (size_t i = 0; i < found.gl_pathc; i++) printf("%s ", found.gl_pathv[i]);
  printf("\n");

  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  tzset();
  for (time_t t = 0; t < 2000000000; t += 137000000) {
    struct tm tm;
    localtime_r(&t, &tm);
    char when[100];
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %Z %z %A %j %U %V %s %p %c", &tm);
    printf("%s %ld\n", when, (long)mktime(&tm));
  }
  struct tm parsed = {0};
  printf("%s|", strptime("2026-11-28 12:34:56 rest", "%Y-%m-%d %H:%M:%S", &parsed));
  printf("%ld\n", (long)timegm(&parsed));

  char line[] = "a,b,,c;d", *save, *token = strtok_r(line, ",;", &save);
  while (token) printf("<%s>", token), token = strtok_r(NULL, ",;", &save);
  printf(" %s %zu %zu %s %s\n", strstr("haystack needle hay", "needle"), strspn("aabbc", "ab"), strcspn("hello", "l"), strpbrk("what,is", ",."), strrchr("a/b/c", '/'));
  char *grown;
  size_t size;
  FILE *memory = open_memstream(&grown, &size);
  for (int i = 0; i < 1000; i++) fprintf(memory, "%d,", i * i);
  fclose(memory);
  unsigned hash = 0;
  for (size_t i = 0; i < size; i++) hash = hash * 31 + (unsigned char)grown[i];
  printf("%zu %u %s %s\n", size, hash, strerror(ENOENT), strsignal(11));
  FILE *file = tmpfile();
  fputws(wide, file);
  rewind(file);
  wint_t c;
  int count = 0;
  while ((c = fgetwc(file)) != WEOF) count++;
  printf("%d wide characters\n", count);
  fclose(file);
  return 0;
}
