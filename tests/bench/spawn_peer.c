/* The least that a job can take: spawn_peer JOBS starts /bin/true as often with posix_spawn and
 * waits for it, with no pipes, and prints the milliseconds a job took. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

int main(int argc, char **argv) {
  static char *const job[] = {"/bin/true", NULL};
  static char *const environment[] = {"LC_ALL=C", NULL};
  long jobs = argc > 1 ? atol(argv[1]) : 1;
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (long i = 0; i < jobs; i++) {
    pid_t pid;
    if (posix_spawn(&pid, job[0], NULL, NULL, job, environment) != 0 || waitpid(pid, NULL, 0) < 0)
      return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("%f\n",
         ((double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6) /
             (double)jobs);
  return 0;
}
