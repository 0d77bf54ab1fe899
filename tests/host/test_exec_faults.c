/* What the system may do to us while a child is started and read: any of its calls may be refused,
 * and any wait may be interrupted. */
#include "exec.h"
#include "guard.h"
#include "harness.h"
#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char *const environment[] = {NULL};
static volatile sig_atomic_t alarms;

static void nothing(void *ud) {
  (void)ud;
}

static pai_exec_spec shell(char **argv, char *script) {
  argv[0] = "sh";
  argv[1] = "-c";
  argv[2] = script;
  argv[3] = NULL;
  return (pai_exec_spec){.argv = argv,
                         .envp = environment,
                         .std = {PAI_EXEC_NULL, PAI_EXEC_PIPE, PAI_EXEC_PIPE},
                         .text = true,
                         .max_output = 4 << 20,
                         .timeout_ms = 60000,
                         .grace_ms = 200,
                         .hold_ms = 100};
}

static int count_fds(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (dir != NULL && readdir(dir) != NULL)
    n++;
  closedir(dir);
  return n;
}

static bool refuse(int call, int errnum) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)errnum & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// In a process of its own: 0, or the number of what is wrong.
static int start_refused(int call, int errnum, bool warm) {
  char *argv[4];
  pai_exec_spec spec = shell(argv, "echo x");
  pai_error err;
  pai_proc *p = NULL;
  if (pai_loop_init(&err) < 0)
    return 1;
  if (warm) { // the loop, and the guard of the children, are there
    if (pai_exec_start(&spec, nothing, NULL, &p, &err) < 0)
      return 2;
    while (!pai_proc_over(p))
      pai_loop_turn(1000, &err);
    pai_proc_free(p);
    p = NULL;
  }
  int before = count_fds();
  if (!refuse(call, errnum))
    return 3;
  err = (pai_error){.code = PAI_OK};
  if (pai_exec_start(&spec, nothing, NULL, &p, &err) >= 0)
    return 4;
  if (err.code != (errnum == ENOMEM ? PAI_E_NOMEM : PAI_E_SYS) || err.sys_errno != errnum)
    return 5;
  if (p != NULL)
    return 6;
  if (warm && count_fds() != before)
    return 7;
  siginfo_t info = {.si_pid = 0}; // the guard at most, which has not ended
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0)
    return 8;
  return 0;
}

static void each_call_may_be_refused(void) {
  static const struct {
    const char *name;
    int call, errnum;
  } calls[] = {
      {"clone", SYS_clone, EAGAIN},         // the limit on processes
      {"clone", SYS_clone, ENOMEM},         //
      {"pipe2", SYS_pipe2, ENFILE},         // the system's files are out
      {"epoll_ctl", SYS_epoll_ctl, ENOSPC}, // the limit on watches
      {"epoll_ctl", SYS_epoll_ctl, ENOMEM}, //
      {"setpgid", SYS_setpgid, EPERM},      // in the child
      {"dup2", SYS_dup2, EBUSY},            //
      {"execve", SYS_execve, EACCES},       //
      {"execve", SYS_execve, ENOMEM},       //
  };
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    for (int warm = 0; warm < 2; warm++) {
      pid_t pid = fork();
      if (pid == 0) {
        alarm(60); // a hang is a failure
        _exit(start_refused(calls[i].call, calls[i].errnum, warm));
      }
      int status = -1;
      waitpid(pid, &status, 0);
      if (status != 0)
        printf("# %s, %s, %s: status %#x\n", calls[i].name, strerror(calls[i].errnum),
               warm ? "later" : "at first", (unsigned)status);
      CHECK(status == 0);
    }
  }
}

static void on_alarm(int signo) {
  (void)signo;
  alarms = alarms + 1;
}

static void interruptions_lose_nothing(void) {
  static char text[1 << 20];
  for (size_t i = 0; i < sizeof text; i++)
    text[i] = (char)('a' + i % 23);
  sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL); // calls end with EINTR
  const struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  for (int round = 0; round < 20; round++) {
    char *argv[4];
    pai_error err;
    pai_proc *p = NULL;
    pai_proc_status st = {.code = -99};
    pai_exec_spec spec = shell(argv, "cat; exit 7");
    spec.std[0] = PAI_EXEC_PIPE;
    CHECK(pai_exec_start(&spec, nothing, NULL, &p, &err) == 0);
    if (p == NULL)
      break;
    CHECK(pai_proc_write(p, text, sizeof text, true, &err) >= 0);
    pai_proc_close_stdin(p);
    while (!pai_proc_over(p))
      CHECK(pai_loop_turn(1000, &err) == 0);
    CHECK(pai_proc_get_status(p, &st, &err) == 0 && st.code == 7 && st.signal == 0);
    const pai_buf *out = pai_proc_text(p, 1);
    CHECK(out->len == sizeof text && memcmp(out->data, text, sizeof text) == 0);
    pai_proc_free(p);
  }
  setitimer(ITIMER_REAL, &never, NULL);
  CHECK(alarms > 10);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], PAI_GUARD_ARG) == 0)
    return pai_guard_main();
  if (under_valgrind())
    return 0;
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  RUN(each_call_may_be_refused);
  RUN(interruptions_lose_nothing);
  return finish();
}
