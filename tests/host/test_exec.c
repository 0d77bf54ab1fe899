/* Child processes: how they start, what they inherit, how they and their groups end, and what
 * happens when descriptors or memory are out at any point. */
#include "alloc.h"
#include "exec.h"
#include "guard.h"
#include "harness.h"
#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pai_error err;
static char *const no_env[] = {NULL};

static pai_exec_spec shell(char **argv, char *script) {
  argv[0] = "sh";
  argv[1] = "-c";
  argv[2] = script;
  argv[3] = NULL;
  return (pai_exec_spec){.argv = argv,
                         .envp = no_env,
                         .std = {PAI_EXEC_NULL, PAI_EXEC_PIPE, PAI_EXEC_PIPE},
                         .text = true,
                         .max_output = 1 << 20,
                         .timeout_ms = 20000,
                         .grace_ms = 200,
                         .hold_ms = 100};
}

static void nothing(void *ud) {
  (void)ud;
}

// Runs the script to its end; the caller frees *out.
static pai_proc_status run(char *script, pai_proc **out) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, script);
  pai_proc_status st = {.code = -99};
  *out = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, out, &err) == 0);
  while (*out != NULL && !pai_proc_over(*out))
    CHECK(pai_loop_turn(1000, &err) == 0);
  if (*out != NULL)
    CHECK(pai_proc_get_status(*out, &st, &err) == 0);
  return st;
}

static bool said(pai_proc *p, const char *text) {
  pai_buf *b = pai_proc_text(p, 1);
  bool same = b->len == strlen(text) && (b->len == 0 || memcmp(b->data, text, b->len) == 0);
  if (!same)
    printf("# said \"%.*s\", not \"%s\"\n", (int)b->len, b->data != NULL ? b->data : "", text);
  return same;
}

static int count_fds(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (dir != NULL && readdir(dir) != NULL)
    n++;
  closedir(dir);
  return n;
}

// Whether the process is there and not a zombie.
static bool is_alive(pid_t pid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  const char *at = strrchr(text, ')');
  return at != NULL && at[2] != 'Z';
}

static bool is_gone_within(pid_t pid, int ms) {
  const struct timespec pause = {.tv_nsec = 10000000};
  for (; ms > 0 && is_alive(pid); ms -= 10)
    nanosleep(&pause, NULL);
  return !is_alive(pid);
}

static void code_and_signal_are_apart(void) {
  pai_proc *p;
  pai_proc_status st = run("exit 7", &p);
  CHECK(st.code == 7 && st.signal == 0);
  pai_proc_free(p);
  st = run("kill -9 $$", &p);
  CHECK(st.code == -1 && st.signal == SIGKILL);
  pai_proc_free(p);
}

static void what_cannot_run_is_an_error_of_the_start(void) {
  char *argv[] = {"no-such-program-at-all", NULL};
  pai_exec_spec spec = {.argv = argv,
                        .envp = no_env,
                        .std = {PAI_EXEC_NULL, PAI_EXEC_NULL, PAI_EXEC_NULL},
                        .timeout_ms = -1};
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == PAI_E_SYS);
  CHECK(err.sys_errno == ENOENT && strstr(err.message, "no-such-program-at-all") != NULL);
  argv[0] = "/etc/passwd";
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == PAI_E_SYS && err.sys_errno == EACCES);
  argv[0] = "true";
  spec.cwd = "/no/such/folder";
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == PAI_E_SYS && err.sys_errno == ENOENT);
  CHECK(strstr(err.message, "/no/such/folder") != NULL);
  spec.cwd = NULL;
  spec.search = "/no/such/folder::/etc";
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == PAI_E_SYS && err.sys_errno == ENOENT);
  // A folder early in the search path that may not be run from does not spoil the program after it.
  argv[0] = "sh";
  spec.search = "/proc/self/fdinfo:/dev/null:/bin";
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  pai_proc_free(p);
}

static void a_child_sees_only_three_descriptors(void) {
  int leak = open("/dev/null", O_RDONLY); // without close-on-exec, as a library might
  pai_proc *p;
  run("ls /proc/self/fd | tr '\\n' ' '", &p);
  CHECK(said(p, "0 1 2 3 ")); // 3: its own, reading the folder
  pai_proc_free(p);
  run("[ -e /proc/$$/fd/3 ] && echo open; exit 0", &p);
  CHECK(said(p, ""));
  pai_proc_free(p);
  close(leak);
}

static void signals_of_a_child_are_as_new(void) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &before);
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  pai_proc *p;
  // Signals 32 and 33 are the C library's own: below a parent that uses posix_spawn (as make does)
  // they are ignored, and nobody can ask it to change that.
  run("while read k v; do case $k in SigBlk:|SigIgn:) echo $((0x$v & ~0x180000000));; esac; done "
      "</proc/$$/status",
      &p);
  CHECK(said(p, "0\n0\n"));
  pai_proc_free(p);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static void a_grandchild_that_keeps_the_pipe_holds_nobody(void) {
  int64_t before = pai_now_ms();
  pai_proc *p;
  pai_proc_status st = run("sleep 30 & echo $!; exit 3", &p);
  CHECK(pai_now_ms() - before < 5000);
  CHECK(st.code == 3 && st.held);
  pai_buf *b = pai_proc_text(p, 1);
  CHECK(b->len > 0 && b->len < 32);
  char pid[32] = "";
  memcpy(pid, b->data, b->len);
  kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
  pai_proc_free(p);
}

static void a_timeout_ends_the_whole_group(void) {
  char *argv[4];
  // Leader and child both ignore TERM; the child is a grandchild of ours.
  pai_exec_spec spec = shell(argv, "trap '' TERM; sh -c 'echo $$; while :; do sleep 1; done'; :");
  spec.timeout_ms = 300;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  while (!pai_proc_over(p))
    CHECK(pai_loop_turn(1000, &err) == 0);
  pai_proc_status st;
  CHECK(pai_proc_get_status(p, &st, &err) == 0);
  CHECK(st.timed_out && st.signal == SIGKILL);
  char pid[32] = "";
  memcpy(pid, pai_proc_text(p, 1)->data, pai_proc_text(p, 1)->len % sizeof pid);
  pid_t grandchild = (pid_t)strtol(pid, NULL, 10);
  CHECK(grandchild > 1 && is_gone_within(grandchild, 100));
  pai_proc_free(p);
}

static void a_group_gets_its_grace_after_the_leader_has_gone(void) {
  char *argv[4];
  // The leader dies of TERM at once; its child needs a moment to clean up, and gets it.
  pai_exec_spec spec = shell(argv, "sh -c 'trap \"sleep 0.2; echo clean; exit\" TERM; echo up; "
                                   "while :; do sleep 0.01; done' & wait");
  spec.grace_ms = 5000;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  while (pai_proc_text(p, 1)->len == 0)
    CHECK(pai_loop_turn(1000, &err) == 0);
  int64_t before = pai_now_ms();
  pai_proc_stop(p);
  while (!pai_proc_over(p))
    CHECK(pai_loop_turn(1000, &err) == 0);
  CHECK(said(p, "up\nclean\n"));
  CHECK(pai_now_ms() - before < 4000);
  pai_proc_free(p);
}

static void freeing_ends_the_group(void) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, "sleep 30 & echo $!; wait");
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  while (pai_proc_text(p, 1)->len == 0)
    CHECK(pai_loop_turn(1000, &err) == 0);
  char pid[32] = "";
  memcpy(pid, pai_proc_text(p, 1)->data, pai_proc_text(p, 1)->len);
  pid_t leader = pai_proc_pid(p);
  pai_proc_free(p);
  CHECK(is_gone_within((pid_t)strtol(pid, NULL, 10), 1000));
  CHECK(waitpid(leader, NULL, WNOHANG) < 0 && errno == ECHILD); // and is no zombie
  pai_proc_free(NULL);
}

static void stdin_of_any_size_goes_through(void) {
  enum { SIZE = 3 << 20, SECRET = 300000 };
  char *text = pai_alloc(SIZE);
  for (int i = 0; i < SIZE; i++)
    text[i] = (char)('a' + i % 26);
  char *argv[4];
  pai_exec_spec spec = shell(argv, "cat");
  spec.std[0] = PAI_EXEC_PIPE;
  spec.max_output = SIZE;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  CHECK(pai_proc_write(p, text, SIZE - SECRET, false, &err) == 0);
  CHECK(pai_proc_write(p, text + SIZE - SECRET, SECRET, true, &err) == 0);
  pai_proc_close_stdin(p);
  CHECK(pai_proc_write(p, "x", 1, false, &err) == PAI_E_CLOSED);
  while (!pai_proc_over(p))
    CHECK(pai_loop_turn(1000, &err) == 0);
  CHECK(pai_proc_text(p, 1)->len == SIZE && memcmp(pai_proc_text(p, 1)->data, text, SIZE) == 0);
  pai_proc_free(p);
  pai_free(text);
}

static void a_child_that_does_not_read_is_no_error(void) {
  static char text[1 << 18];
  char *argv[4];
  pai_exec_spec spec = shell(argv, "exit 0");
  spec.std[0] = PAI_EXEC_PIPE;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  pai_proc_write(p, text, sizeof text, false, &err);
  while (!pai_proc_over(p))
    CHECK(pai_loop_turn(1000, &err) == 0);
  pai_proc_status st;
  CHECK(pai_proc_get_status(p, &st, &err) == 0 && st.code == 0);
  pai_proc_free(p);
}

static void lines_come_whole_and_in_order(void) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, "printf 'a\\n\\nbb\\nc'; sleep 0.05; printf 'c\\nend'");
  spec.lines = true;
  spec.text = false;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  static const char *const expected[] = {"a", "", "bb", "cc", "end"};
  for (size_t i = 0; i < 5; i++) {
    const char *line;
    size_t len;
    int stream;
    while (!pai_proc_line(p, &line, &len, &stream) && !pai_proc_over(p))
      CHECK(pai_loop_turn(1000, &err) == 0);
    bool there = pai_proc_line(p, &line, &len, &stream);
    CHECK(there && stream == 1 && len == strlen(expected[i]) &&
          memcmp(line, expected[i], len) == 0);
    if (there)
      pai_proc_drop_line(p);
  }
  CHECK(pai_proc_text(p, 1)->len == 0);
  pai_proc_free(p);
}

static void lines_that_nobody_takes_slow_the_child_down(void) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); "
                                   "echo 0123456789012345678901234567890123456789 $i; done");
  spec.lines = true;
  spec.text = false;
  pai_proc *p = NULL;
  CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
  for (int i = 0; i < 40; i++)
    CHECK(pai_loop_turn(10, &err) == 0);
  CHECK(!pai_proc_over(p));
  const char *line;
  size_t len;
  int stream, count = 0;
  while (!pai_proc_over(p) || pai_proc_line(p, &line, &len, &stream)) {
    for (; pai_proc_line(p, &line, &len, &stream); count++)
      pai_proc_drop_line(p);
    if (!pai_proc_over(p))
      CHECK(pai_loop_turn(1000, &err) == 0);
  }
  CHECK(count == 60000);
  pai_proc_free(p);
}

static void two_thousand_spawns_leave_nothing(void) {
  pai_proc *p;
  run(":", &p);
  pai_proc_free(p);
  int before = count_fds();
  struct rusage usage_before, usage_after;
  getrusage(RUSAGE_SELF, &usage_before);
  char *argv[] = {"true", NULL};
  pai_exec_spec spec = {.argv = argv,
                        .envp = no_env,
                        .std = {PAI_EXEC_NULL, PAI_EXEC_PIPE, PAI_EXEC_PIPE},
                        .text = true,
                        .timeout_ms = 20000,
                        .hold_ms = 100};
  int bad = 0;
  for (int i = 0; i < 2000; i++) {
    if (pai_exec_start(&spec, nothing, NULL, &p, &err) < 0) {
      bad++;
      continue;
    }
    while (!pai_proc_over(p))
      pai_loop_turn(1000, &err);
    pai_proc_status st;
    bad += pai_proc_get_status(p, &st, &err) < 0 || st.code != 0;
    pai_proc_free(p);
  }
  getrusage(RUSAGE_SELF, &usage_after);
  CHECK(bad == 0);
  CHECK(count_fds() == before);
  CHECK(usage_after.ru_maxrss - usage_before.ru_maxrss < 4096); // KiB
  CHECK(waitpid(-1, NULL, WNOHANG) <= 0);                       // the guard lives, no zombie
}

static void descriptors_out_at_every_point(void) {
  struct rlimit limit, low;
  getrlimit(RLIMIT_NOFILE, &limit);
  low = limit;
  int before = count_fds(), failures = 0;
  bool done = false;
  for (rlim_t n = 3; n < 64 && !done; n++) {
    char *argv[4];
    pai_exec_spec spec = shell(argv, "cat; echo x >&2");
    spec.std[0] = PAI_EXEC_PIPE;
    pai_proc *p = NULL;
    low.rlim_cur = n;
    setrlimit(RLIMIT_NOFILE, &low);
    int rc = pai_exec_start(&spec, nothing, NULL, &p, &err);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (rc < 0) {
      failures++;
      CHECK(rc == PAI_E_SYS && err.sys_errno == EMFILE && p == NULL);
    } else {
      done = true;
      pai_proc_free(p);
    }
    CHECK(count_fds() == before);
  }
  CHECK(done && failures > 0);
}

static void memory_out_at_every_point(void) {
  int before = count_fds();
  bool done = false;
  for (size_t n = 1; n < 400 && !done; n++) {
    char *argv[4];
    pai_exec_spec spec = shell(argv, "cat; echo one; echo two >&2; printf three");
    spec.std[0] = PAI_EXEC_PIPE;
    spec.lines = true;
    pai_proc *p = NULL;
    bool failed = false;
    pai_alloc_fail_at(n);
    int rc = pai_exec_start(&spec, nothing, NULL, &p, &err);
    if (rc == 0) {
      failed = pai_proc_write(p, "zero\n", 5, true, &err) < 0;
      pai_proc_close_stdin(p);
      while (!pai_proc_over(p))
        pai_loop_turn(1000, &err);
      pai_proc_status st;
      failed = failed || pai_proc_get_status(p, &st, &err) < 0;
    }
    pai_alloc_fail_at(0);
    if (rc < 0 || failed) {
      CHECK(err.code == PAI_E_NOMEM);
    } else {
      done = said(p, "zero\none\nthree");
      CHECK(done || n > 1); // a failure that was recovered from in full is fine
    }
    pai_proc_free(p);
    CHECK(count_fds() == before);
  }
  CHECK(done);
}

static void our_sudden_death_ends_children_and_grandchildren(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    char *argv[4];
    // The grandchild ignores TERM and is not our child: only the guard can end it.
    pai_exec_spec spec = shell(argv, "sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' & "
                                     "echo $$ $!; wait");
    spec.std[1] = ends[1];
    pai_proc *p;
    if (pai_exec_start(&spec, nothing, NULL, &p, &err) < 0)
      _exit(1);
    for (;;)
      pause();
  }
  close(ends[1]);
  char text[64] = "";
  ssize_t n = read(ends[0], text, sizeof text - 1);
  CHECK(n > 0);
  char *rest;
  pid_t child = (pid_t)strtol(text, &rest, 10);
  pid_t grandchild = (pid_t)strtol(rest, NULL, 10);
  CHECK(is_alive(child) && is_alive(grandchild));
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  CHECK(is_gone_within(child, 2000));
  CHECK(is_gone_within(grandchild, 8000));
  close(ends[0]);
}

static void a_detached_process_outlives_us_and_is_reaped(void) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, "sleep 0.2");
  spec.detach = true;
  spec.std[1] = spec.std[2] = PAI_EXEC_NULL;
  pid_t pid = 0;
  int before = count_fds();
  CHECK(pai_exec_detach(&spec, &pid, &err) == 0);
  CHECK(getsid(pid) == pid);
  CHECK(pai_loop_turn(-1, &err) == PAI_E_INTERNAL); // it is nothing to wait for
  for (int i = 0; i < 100 && count_fds() != before; i++)
    pai_loop_turn(20, &err);
  CHECK(count_fds() == before);
  CHECK(waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], PAI_GUARD_ARG) == 0)
    return pai_guard_main();
  if (under_valgrind())
    return 0;
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  RUN(our_sudden_death_ends_children_and_grandchildren);
  RUN(code_and_signal_are_apart);
  RUN(what_cannot_run_is_an_error_of_the_start);
  RUN(a_child_sees_only_three_descriptors);
  RUN(signals_of_a_child_are_as_new);
  RUN(a_grandchild_that_keeps_the_pipe_holds_nobody);
  RUN(a_timeout_ends_the_whole_group);
  RUN(a_group_gets_its_grace_after_the_leader_has_gone);
  RUN(freeing_ends_the_group);
  RUN(stdin_of_any_size_goes_through);
  RUN(a_child_that_does_not_read_is_no_error);
  RUN(lines_come_whole_and_in_order);
  RUN(lines_that_nobody_takes_slow_the_child_down);
  RUN(two_thousand_spawns_leave_nothing);
  RUN(descriptors_out_at_every_point);
  RUN(memory_out_at_every_point);
  RUN(a_detached_process_outlives_us_and_is_reaped);
  return finish();
}
