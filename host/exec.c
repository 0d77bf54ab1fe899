/* A child process from start to end. See exec.h.
 *
 * It is over when it has exited, was reaped, and its pipes are closed: by end of file, or, if
 * somebody else still holds them, when hold_ms have passed. To stop it means TERM to its group; the
 * leader is then not reaped before the whole group is gone, because until then its number, which
 * is the group's, cannot be given to anybody else. */
#include "exec.h"

#include "alloc.h"
#include "exec_io.h"
#include "guard.h"
#include "loop.h"
#include "spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  SWEEP_MS = 20,        // between two looks at a group that is being ended
  LOST_MS = 2000,       // after KILL: what is still there then sleeps in the kernel
  LINES_HIGH = 1 << 20, // bytes of lines that nobody took before the child is slowed down
  LINES_LOW = 1 << 18,
  ROUNDS = 4 // buffers read from one stream before the others get a turn
};

struct pai_proc {
  void (*changed)(void *ud);
  void *ud;
  pid_t pid;
  int pidfd; // -1 once reaped
  uint64_t start_time;
  pai_io exit_io;
  pai_timer deadline, grace, sweep, hold;
  int64_t grace_ms, hold_ms, started_ms, killed_ms;
  exec_in in;
  exec_out out[2];
  exec_lines lines;
  pai_proc_status status;
  pai_error trouble; // code != 0: output was lost
  bool exited, stopping, killed, bounded, hold_over, foreground;
};

/* Looking at processes. */

// Field number `field` (from 3, the state) of /proc/PID/stat; the state as its character. 0: gone.
static uint64_t stat_field(const char *pid, int field) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n > 0 ? n : 0] = '\0';
  char *at = strrchr(text, ')'); // the name before it may hold anything
  for (int i = 2; at != NULL && i < field; i++)
    at = strchr(at + 1, ' ');
  if (at == NULL)
    return 0;
  return field == 3 ? (uint64_t)(unsigned char)at[1] : strtoull(at + 1, NULL, 10);
}

static uint64_t start_time(pid_t pid) {
  char name[24];
  snprintf(name, sizeof name, "%d", (int)pid);
  return stat_field(name, 22);
}

static bool group_is_empty(pid_t group) {
  DIR *dir = opendir("/proc");
  if (dir == NULL)
    return true;
  bool empty = true;
  for (struct dirent *e = readdir(dir); e != NULL && empty; e = readdir(dir)) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9' || stat_field(e->d_name, 5) != (uint64_t)group)
      continue;
    uint64_t state = stat_field(e->d_name, 3);
    empty = state == 'Z' || state == 'X' || state == 0;
  }
  closedir(dir);
  return empty;
}

/* The end. */

static void notify(pai_proc *p) {
  if (p->changed != NULL)
    p->changed(p->ud);
}

bool pai_proc_over(const pai_proc *p) {
  return p->pidfd < 0 && p->out[0].fd < 0 && p->out[1].fd < 0;
}

static void note_trouble(pai_proc *p, const pai_error *err) {
  if (p->trouble.code == 0)
    p->trouble = *err;
}

static void close_output(pai_proc *p) {
  pai_error err = {.code = 0};
  for (int i = 0; i < 2; i++)
    if (pai_exec_out_close(&p->out[i], &err) < 0)
      note_trouble(p, &err);
}

// Nobody but us was to write any more: takes what is in the pipes and closes them.
static void end_hold(pai_proc *p) {
  pai_error err = {.code = 0};
  for (int i = 0; i < 2; i++)
    if (p->out[i].fd >= 0 && pai_exec_out_read(&p->out[i], ROUNDS, &err) < 0)
      note_trouble(p, &err);
  p->status.held = p->out[0].fd >= 0 || p->out[1].fd >= 0;
  close_output(p);
}

static void on_hold(pai_timer *t) {
  pai_proc *p = t->ud;
  p->hold_over = true;
  if (!p->out[0].paused && !p->out[1].paused)
    end_hold(p);
  notify(p);
}

static void take_terminal(void) {
  sigset_t ttou, before; // in the background, which we are, setting it would stop us
  sigemptyset(&ttou);
  sigaddset(&ttou, SIGTTOU);
  sigprocmask(SIG_BLOCK, &ttou, &before);
  tcsetpgrp(0, getpgrp());
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static void reap(pai_proc *p) {
  siginfo_t info = {.si_pid = 0};
  pai_guard_forget(p->pid);
  waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG);
  close(p->pidfd);
  p->pidfd = -1;
  bool exited = info.si_code == CLD_EXITED;
  p->status.code = exited ? info.si_status : -1;
  p->status.signal = exited ? 0 : info.si_status;
  p->status.duration_ms = pai_now_ms() - p->started_ms;
  pai_timer_stop(&p->grace);
  pai_exec_in_close(&p->in);
  if (p->foreground)
    take_terminal();
  if (!pai_proc_over(p) && pai_timer_start(&p->hold, p->hold_ms, NULL) < 0)
    close_output(p);
  notify(p);
}

static void on_sweep(pai_timer *t) {
  pai_proc *p = t->ud;
  bool lost = p->killed && pai_now_ms() - p->killed_ms > LOST_MS;
  if (lost || group_is_empty(p->pid) || pai_timer_start(t, SWEEP_MS, NULL) < 0)
    reap(p);
}

static void on_exit_event(pai_io *io, uint32_t events) {
  (void)events;
  pai_proc *p = io->ud;
  pai_io_stop(io);
  p->exited = true;
  pai_timer_stop(&p->deadline);
  if (p->stopping)
    on_sweep(&p->sweep);
  else
    reap(p);
}

static void on_grace(pai_timer *t) {
  pai_proc *p = t->ud;
  kill(-p->pid, SIGKILL);
  p->killed = true;
  p->killed_ms = pai_now_ms();
}

void pai_proc_stop(pai_proc *p) {
  if (p->pidfd < 0) {
    if (!pai_proc_over(p))
      on_hold(&p->hold);
    return;
  }
  if (p->stopping)
    return;
  p->stopping = true;
  pai_timer_stop(&p->deadline);
  pai_proc_unbound(p);
  kill(-p->pid, SIGTERM);
  kill(-p->pid, SIGCONT);
  if (pai_timer_start(&p->grace, p->grace_ms, NULL) < 0)
    on_grace(&p->grace);
}

static void on_deadline(pai_timer *t) {
  pai_proc *p = t->ud;
  p->status.timed_out = true;
  pai_proc_stop(p);
}

int pai_proc_kill(pai_proc *p, int signo, pai_error *err) {
  if (p->pidfd < 0)
    return pai_error_sys(err, ESRCH, "signal process %d", (int)p->pid);
  return kill(-p->pid, signo) == 0 ? 0
                                   : pai_error_sys(err, errno, "signal process %d", (int)p->pid);
}

void pai_proc_free(pai_proc *p) {
  if (p == NULL)
    return;
  p->changed = NULL;
  if (p->pidfd >= 0) {
    kill(-p->pid, SIGKILL);
    struct pollfd end = {.fd = p->pidfd, .events = POLLIN};
    poll(&end, 1, LOST_MS);
    pai_io_stop(&p->exit_io);
    reap(p);
  }
  pai_timer_stop(&p->deadline);
  pai_timer_stop(&p->grace);
  pai_timer_stop(&p->sweep);
  pai_timer_stop(&p->hold);
  pai_exec_in_close(&p->in);
  pai_exec_out_free(&p->out[0]);
  pai_exec_out_free(&p->out[1]);
  pai_buf_free(&p->lines.queue);
  pai_free(p);
}

/* Streams. */

static void pause_output(pai_proc *p) {
  for (int i = 0; i < 2; i++) {
    p->out[i].paused = p->out[i].fd >= 0;
    pai_io_stop(&p->out[i].io);
  }
}

static void resume_output(pai_proc *p) {
  pai_error err = {.code = 0};
  for (int i = 0; i < 2; i++) {
    exec_out *o = &p->out[i];
    if (!o->paused)
      continue;
    o->paused = false;
    if (pai_io_start(&o->io, o->fd, EPOLLIN, &err) < 0) {
      note_trouble(p, &err);
      pai_exec_out_close(o, &err);
    }
  }
  if (p->hold_over)
    pai_timer_start(&p->hold, 0, NULL);
}

static void on_output(pai_io *io, uint32_t events) {
  (void)events;
  pai_proc *p = io->ud;
  pai_error err = {.code = 0};
  exec_out *o = io == &p->out[0].io ? &p->out[0] : &p->out[1];
  if (pai_exec_out_read(o, ROUNDS, &err) < 0) {
    note_trouble(p, &err);
    if (!pai_proc_over(p)) {
      pai_proc_stop(p); // what it says from here on would be lost too
      return;
    }
  }
  if (p->bounded && pai_exec_lines_size(&p->lines) > LINES_HIGH)
    pause_output(p);
  if (pai_proc_over(p))
    pai_timer_stop(&p->hold);
  notify(p);
}

static void on_input(pai_io *io, uint32_t events) {
  (void)events;
  pai_proc *p = io->ud;
  pai_exec_in_flush(&p->in);
  if (p->in.fd >= 0 && p->in.first == NULL)
    pai_io_stop(io);
  notify(p);
}

// Whatever is still queued goes when the pipe has room.
static int watch_input(pai_proc *p, pai_error *err) {
  exec_in *in = &p->in;
  if (in->fd < 0 || in->io.active || in->first == NULL)
    return 0;
  return pai_io_start(&in->io, in->fd, EPOLLOUT, err);
}

int pai_proc_write(pai_proc *p, const void *data, size_t len, bool secret, pai_error *err) {
  int rc = pai_exec_in_add(&p->in, data, len, secret, err);
  return rc < 0 ? rc : watch_input(p, err);
}

void pai_proc_close_stdin(pai_proc *p) {
  p->in.closing = true;
  if (p->in.first == NULL)
    pai_exec_in_close(&p->in);
}

size_t pai_proc_unwritten(const pai_proc *p) {
  return p->in.size;
}

bool pai_proc_line(pai_proc *p, const char **line, size_t *len, int *stream) {
  return pai_exec_lines_first(&p->lines, line, len, stream);
}

void pai_proc_drop_line(pai_proc *p) {
  pai_exec_lines_drop(&p->lines);
  if ((p->out[0].paused || p->out[1].paused) && pai_exec_lines_size(&p->lines) < LINES_LOW)
    resume_output(p);
}

int pai_proc_want_lines(pai_proc *p, pai_error *err) {
  p->bounded = !p->stopping;
  for (int i = 0; i < 2; i++) {
    exec_out *o = &p->out[i];
    if (o->lines != NULL || o->secret)
      continue;
    o->lines = &p->lines;
    int rc = pai_exec_out_split(o, err);
    if (rc < 0)
      return rc;
  }
  return 0;
}

void pai_proc_unbound(pai_proc *p) {
  p->bounded = false;
  resume_output(p);
}

pai_buf *pai_proc_text(pai_proc *p, int stream) {
  return &p->out[stream - 1].text;
}

pai_secret_buf *pai_proc_secret(pai_proc *p, int stream) {
  exec_out *o = &p->out[stream - 1];
  return o->secret ? &o->locked : NULL;
}

void pai_exec_mask_error(pai_error *err) {
  pai_buf masked;
  pai_buf_init(&masked, sizeof err->message - 1);
  if (pai_mask_text(NULL, err->message, strlen(err->message), &masked, NULL) < 0)
    pai_buf_clear(&masked); // better none than one with a secret
  if (masked.len > 0)
    memcpy(err->message, masked.data, masked.len);
  err->message[masked.len] = '\0';
  pai_buf_free(&masked);
}

/* The start. */

pid_t pai_proc_pid(const pai_proc *p) {
  return p->pid;
}

uint64_t pai_proc_start_time(pai_proc *p) {
  if (p->start_time == 0 && p->pidfd >= 0)
    p->start_time = start_time(p->pid);
  return p->start_time;
}

int pai_proc_get_status(const pai_proc *p, pai_proc_status *status, pai_error *err) {
  *status = p->status;
  status->truncated = p->out[0].truncated || p->out[1].truncated;
  if (p->trouble.code != 0 && err != NULL)
    *err = p->trouble;
  return p->trouble.code;
}

typedef struct ends { // descriptors of the child (to be closed here) and ours
  int child[3];
  bool close_child[3];
  int ours[3];
} ends;

static void close_child_ends(ends *e) {
  for (int i = 0; i < 3; i++)
    if (e->close_child[i])
      close(e->child[i]);
}

static int open_end(const pai_exec_spec *spec, int i, ends *e, pai_error *err) {
  int kind = spec->std[i];
  int pair[2];
  if (kind == PAI_EXEC_INHERIT || kind >= 0) {
    e->child[i] = kind >= 0 ? kind : i;
  } else if (kind == PAI_EXEC_STDOUT) {
    e->child[i] = e->child[1];
  } else if (kind == PAI_EXEC_NULL) {
    e->child[i] = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    e->close_child[i] = e->child[i] >= 0;
    if (e->child[i] < 0)
      return pai_error_sys(err, errno, "open \"/dev/null\" for \"%s\"", spec->argv[0]);
  } else {
    if (pipe2(pair, O_CLOEXEC) < 0)
      return pai_error_sys(err, errno, "make a pipe for \"%s\"", spec->argv[0]);
    e->child[i] = pair[i == 0 ? 0 : 1];
    e->close_child[i] = true;
    e->ours[i] = pair[i == 0 ? 1 : 0];
    fcntl(e->ours[i], F_SETFL, O_NONBLOCK);
  }
  return 0;
}

static int start(const pai_exec_spec *spec, ends *e, pid_t *pid, int *pidfd, bool *foreground,
                 pai_error *err) {
  int rc = 0;
  *e = (ends){.ours = {-1, -1, -1}};
  for (int i = 0; i < 3 && rc == 0; i++)
    rc = open_end(spec, i, e, err);
  *foreground = spec->std[0] == PAI_EXEC_INHERIT && !spec->detach && tcgetpgrp(0) == getpgrp();
  pai_spawn_spec child = {.argv = spec->argv,
                          .envp = spec->envp,
                          .search = spec->search,
                          .cwd = spec->cwd,
                          .mounts_of = spec->mounts_of,
                          .fds = {e->child[0], e->child[1], e->child[2]},
                          .detach = spec->detach,
                          .foreground = *foreground};
  if (rc == 0 && (rc = pai_spawn(&child, pid, pidfd, err)) < 0 && err != NULL)
    pai_exec_mask_error(err);
  close_child_ends(e);
  for (int i = 0; rc < 0 && i < 3; i++)
    if (e->ours[i] >= 0)
      close(e->ours[i]);
  return rc;
}

static int start_output(pai_proc *p, const pai_exec_spec *spec, int i, int fd, pai_error *err) {
  exec_out *o = &p->out[i];
  o->fd = fd;
  o->secret = spec->std[i + 1] == PAI_EXEC_SECRET;
  o->keep = spec->text && !o->secret;
  o->lines = (spec->lines || spec->pieces) && !o->secret ? &p->lines : NULL;
  o->whole = spec->pieces;
  o->io = (pai_io){.fn = on_output, .ud = p};
  if (fd < 0)
    return 0;
  if (!spec->raw && !o->secret && (o->mask = pai_mask_stream_new(NULL)) == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "start \"%s\": out of memory", spec->argv[0]);
  return pai_io_start(&o->io, fd, EPOLLIN, err);
}

// Everything but the process itself. On failure the caller frees p, which ends the process.
static int attach(pai_proc *p, const pai_exec_spec *spec, const ends *e, pai_error *err) {
  p->in.fd = e->ours[0];
  p->in.io = (pai_io){.fn = on_input, .ud = p};
  int rc = start_output(p, spec, 0, e->ours[1], err);
  int rc2 = start_output(p, spec, 1, e->ours[2], err);
  rc = rc < 0 ? rc : rc2;
  if (rc == 0)
    rc = pai_io_start(&p->exit_io, p->pidfd, EPOLLIN, err);
  if (rc == 0 && spec->timeout_ms >= 0)
    rc = pai_timer_start(&p->deadline, spec->timeout_ms, err);
  return rc;
}

int pai_exec_start(const pai_exec_spec *spec, void (*changed)(void *ud), void *ud, pai_proc **out,
                   pai_error *err) {
  pai_proc *p = pai_calloc(1, sizeof *p);
  if (p == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "start \"%s\": out of memory", spec->argv[0]);
  pai_exec_out_init(&p->out[0], 1, spec->max_output);
  pai_exec_out_init(&p->out[1], 2, spec->max_output);
  pai_buf_init(&p->lines.queue, SIZE_MAX / 4);
  p->in.fd = p->pidfd = -1;
  p->changed = NULL;
  p->ud = ud;
  p->exit_io = (pai_io){.fn = on_exit_event, .ud = p};
  p->deadline = (pai_timer){.fn = on_deadline, .ud = p};
  p->grace = (pai_timer){.fn = on_grace, .ud = p};
  p->sweep = (pai_timer){.fn = on_sweep, .ud = p};
  p->hold = (pai_timer){.fn = on_hold, .ud = p};
  p->grace_ms = spec->grace_ms;
  p->hold_ms = spec->hold_ms;
  p->status.timeout_ms = spec->timeout_ms;
  p->bounded = spec->lines || spec->pieces;
  p->started_ms = pai_now_ms();
  ends e;
  int rc = start(spec, &e, &p->pid, &p->pidfd, &p->foreground, err);
  if (rc == 0)
    rc = attach(p, spec, &e, err);
  if (rc < 0) {
    pai_proc_free(p);
    return rc;
  }
  p->changed = changed;
  *out = p;
  return 0;
}

/* Processes that outlive us. */

typedef struct outliving {
  pai_io io;
  int pidfd;
  struct outliving *next;
} outliving;

static outliving *detached; // each until it has ended

static void on_outliving_exit(pai_io *io, uint32_t events) {
  (void)events;
  outliving *d = io->ud;
  siginfo_t info;
  pai_io_stop(io);
  waitid(P_PIDFD, (id_t)d->pidfd, &info, WEXITED | WNOHANG);
  close(d->pidfd);
  outliving **at = &detached;
  while (*at != d)
    at = &(*at)->next;
  *at = d->next;
  pai_free(d);
}

int pai_exec_detach(const pai_exec_spec *spec, pid_t *pid, pai_error *err) {
  outliving *d = pai_calloc(1, sizeof *d);
  if (d == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "start \"%s\": out of memory", spec->argv[0]);
  ends e;
  bool foreground;
  int rc = start(spec, &e, pid, &d->pidfd, &foreground, err);
  if (rc < 0) {
    pai_free(d);
    return rc;
  }
  d->io = (pai_io){.fn = on_outliving_exit, .ud = d, .background = true};
  if (pai_io_start(&d->io, d->pidfd, EPOLLIN, NULL) < 0) { // then it stays a zombie when it ends
    close(d->pidfd);
    pai_free(d);
    return 0;
  }
  d->next = detached;
  detached = d;
  return 0;
}
