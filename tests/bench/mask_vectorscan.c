/* The peer of the masker: vectorscan over the same literals and the same text, streamed in pieces
 * of 64 KiB. Prints how many bytes a second of CPU time it looks at, and the hits.
 *
 *   mask_vectorscan NEEDLES TEXT      one needle a line */
#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE 65536
#define MOST 100000

static int count(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                 void *ud) {
  (void)id, (void)from, (void)to, (void)flags;
  ++*(unsigned long *)ud;
  return 0;
}

static char *read_all(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (f == NULL || fseek(f, 0, SEEK_END) != 0)
    exit(2);
  *len = (size_t)ftell(f);
  rewind(f);
  char *text = malloc(*len + 1);
  if (text == NULL || fread(text, 1, *len, f) != *len)
    exit(2);
  text[*len] = '\0';
  fclose(f);
  return text;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  static const char *needles[MOST];
  static size_t lens[MOST];
  static unsigned flags[MOST], ids[MOST];
  size_t size, text_len;
  if (argc != 3)
    return 2;
  char *list = read_all(argv[1], &size), *text = read_all(argv[2], &text_len);
  unsigned n = 0;
  for (char *at = list; *at != '\0' && n < MOST; n++) {
    needles[n] = at;
    lens[n] = strcspn(at, "\n");
    ids[n] = n;
    at += lens[n] + (at[lens[n]] != '\0');
  }
  hs_database_t *db;
  hs_compile_error_t *error;
  double start = now();
  if (hs_compile_lit_multi(needles, flags, ids, lens, n, HS_MODE_STREAM, NULL, &db, &error) !=
      HS_SUCCESS) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
  }
  double built = now() - start, best = 0;
  hs_scratch_t *scratch = NULL;
  unsigned long hits = 0;
  if (hs_alloc_scratch(db, &scratch) != HS_SUCCESS)
    return 1;
  for (int round = 0; round < 3; round++) {
    hs_stream_t *stream;
    hits = 0;
    start = now();
    if (hs_open_stream(db, 0, &stream) != HS_SUCCESS)
      return 1;
    for (size_t at = 0; at < text_len; at += PIECE) {
      size_t len = text_len - at < PIECE ? text_len - at : PIECE;
      if (hs_scan_stream(stream, text + at, (unsigned)len, 0, scratch, count, &hits) != HS_SUCCESS)
        return 1;
    }
    hs_close_stream(stream, scratch, count, &hits);
    double rate = (double)text_len / (now() - start);
    best = rate > best ? rate : best;
  }
  printf("%.0f %.2f %lu\n", best / 1e6, built * 1e3, hits);
  return 0;
}
