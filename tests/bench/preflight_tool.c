// Any tool of a preflight, with its answers ready, so that what is measured is pai and not the
// tool. Beside the program lie `answers`, records of three lines (code, milliseconds to wait and
// length of the output; the call; the output), and `calls`, to which each call is appended. The
// words of a call are joined by 0x1f; one that ends with 0x1f takes any rest.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *at(const char *dir, const char *name) {
  char *path = NULL;
  if (asprintf(&path, "%s/%s", dir, name) < 0)
    exit(96);
  return path;
}

static char *joined(int argc, char **argv) {
  size_t size = 2;
  for (int i = 0; i < argc; i++)
    size += strlen(argv[i]) + 1;
  char *text = malloc(size);
  if (!text)
    exit(96);
  char *end = stpcpy(text, basename(argv[0]));
  for (int i = 1; i < argc; i++) {
    *end++ = 0x1f;
    end = stpcpy(end, argv[i]);
  }
  return text;
}

static void note(const char *dir, const char *call) {
  char *line = NULL;
  int size = asprintf(&line, "%s\x1e", call);
  int fd = open(at(dir, "calls"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (size < 0 || fd < 0 || write(fd, line, (size_t)size) != size)
    exit(96);
}

static int fits(const char *known, const char *call) {
  size_t n = strlen(known);
  return n > 0 && known[n - 1] == 0x1f ? !strncmp(known, call, n) : !strcmp(known, call);
}

int main(int argc, char **argv) {
  char dir[4096] = "";
  if (readlink("/proc/self/exe", dir, sizeof dir - 1) < 0 || !strrchr(dir, '/'))
    return 96;
  *strrchr(dir, '/') = '\0';
  char *call = joined(argc, argv);
  note(dir, call);
  FILE *answers = fopen(at(dir, "answers"), "r");
  if (!answers)
    return 96;
  char *known = NULL;
  size_t room = 0;
  int code = 0;
  long wait = 0;
  size_t size = 0;
  while (fscanf(answers, "%d %ld %zu\n", &code, &wait, &size) == 3) {
    ssize_t n = getline(&known, &room, answers);
    char *out = calloc(size + 1, 1);
    if (n < 1 || !out || fread(out, 1, size, answers) != size)
      return 96;
    known[n - 1] = '\0';
    if (fits(known, call)) {
      struct timespec left = {wait / 1000, wait % 1000 * 1000000};
      while (nanosleep(&left, &left) && errno == EINTR)
        ;
      fwrite(out, 1, size, code ? stderr : stdout);
      return code;
    }
    free(out);
  }
  fprintf(stderr, "unknown call: %s\n", call);
  return 97;
}
