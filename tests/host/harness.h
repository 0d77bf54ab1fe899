/* The smallest test harness. CHECK counts and says where it failed; RUN(test) counts a function as
 * one test and prints its name; `return finish()` ends main with the closing line. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int harness_passed, harness_failed;

#define CHECK(cond)                                                                                \
  do {                                                                                             \
    if (cond) {                                                                                    \
      harness_passed++;                                                                            \
    } else {                                                                                       \
      harness_failed++;                                                                            \
      printf("not ok %s:%d: %s\n", __FILE__, __LINE__, #cond);                                     \
    }                                                                                              \
  } while (0)

#define RUN(test)                                                                                  \
  do {                                                                                             \
    int passed_before = harness_passed, failed_before = harness_failed;                            \
    test();                                                                                        \
    int ok = harness_failed == failed_before;                                                      \
    harness_passed = passed_before + ok;                                                           \
    harness_failed = failed_before + !ok;                                                          \
    printf("%s %s\n", ok ? "ok" : "not ok", #test);                                                \
    fflush(stdout);                                                                                \
  } while (0)

// Valgrind does not know the calls that start a child as we do: those tests have to leave it out.
static inline int under_valgrind(void) {
  const char *preload = getenv("LD_PRELOAD");
  int is = preload != NULL && strstr(preload, "vgpreload") != NULL;
  if (is)
    printf("# what starts children is not run under valgrind\n");
  return is;
}

static inline int finish(void) {
  printf("%d passed, %d failed\n", harness_passed, harness_failed);
  return harness_failed != 0;
}

#endif
