/* Terminals. See term.h. The locale is not asked for the width of characters: pai's text is UTF-8
 * whatever the locale says. */
#include "term.h"

#include "fs.h"
#include "json.h"
#include "mask.h"
#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int number_in(const char *name) {
  const char *text = getenv(name);
  long v = text != NULL ? strtol(text, NULL, 10) : 0;
  return v > 0 && v < 10000 ? (int)v : 0;
}

void pai_term_size(int *cols, int *rows) {
  struct winsize ws;
  for (int i = 0; i < 3; i++) {
    int fd = (i + 1) % 3; // output, error, input
    if (ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 && ws.ws_row > 0) {
      *cols = ws.ws_col;
      *rows = ws.ws_row;
      return;
    }
  }
  *cols = number_in("COLUMNS");
  *rows = number_in("LINES");
  if (*cols == 0)
    *cols = 80;
  if (*rows == 0)
    *rows = 24;
}

bool pai_term_color(int fd) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return (no == NULL || *no == '\0') && term != NULL && *term != '\0' &&
         strcmp(term, "dumb") != 0 && isatty(fd);
}

typedef struct range {
  uint32_t first, last;
} range;

static const range wide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},
    {0x23F0, 0x23F0},   {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},
    {0x2648, 0x2653},   {0x267F, 0x267F},   {0x2693, 0x2693},   {0x26A1, 0x26A1},
    {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},   {0x26CE, 0x26CE},
    {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
    {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},
    {0x2728, 0x2728},   {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},
    {0x2757, 0x2757},   {0x2795, 0x2797},   {0x27B0, 0x27B0},   {0x27BF, 0x27BF},
    {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x2E80, 0x303E},
    {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
    {0xA960, 0xA97F},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},
    {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x16FE0, 0x18CFF},
    {0x1B000, 0x1B2FF}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E},
    {0x1F191, 0x1F19A}, {0x1F200, 0x1F320}, {0x1F32D, 0x1F335}, {0x1F337, 0x1F37C},
    {0x1F37E, 0x1F393}, {0x1F3A0, 0x1F3CA}, {0x1F3CF, 0x1F3D3}, {0x1F3E0, 0x1F3F0},
    {0x1F3F4, 0x1F3F4}, {0x1F3F8, 0x1F43E}, {0x1F440, 0x1F440}, {0x1F442, 0x1F4FC},
    {0x1F4FF, 0x1F53D}, {0x1F54B, 0x1F54E}, {0x1F550, 0x1F567}, {0x1F57A, 0x1F57A},
    {0x1F595, 0x1F596}, {0x1F5A4, 0x1F5A4}, {0x1F5FB, 0x1F64F}, {0x1F680, 0x1F6C5},
    {0x1F6CC, 0x1F6CC}, {0x1F6D0, 0x1F6D2}, {0x1F6D5, 0x1F6D7}, {0x1F6DC, 0x1F6DF},
    {0x1F6EB, 0x1F6EC}, {0x1F6F4, 0x1F6FC}, {0x1F7E0, 0x1F7EB}, {0x1F90C, 0x1F93A},
    {0x1F93C, 0x1F945}, {0x1F947, 0x1F9FF}, {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};

static const range none[] = {
    {0x0300, 0x036F},   {0x0483, 0x0489},   {0x0591, 0x05BD}, {0x05BF, 0x05BF}, {0x05C1, 0x05C5},
    {0x0610, 0x061A},   {0x064B, 0x065F},   {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x06DF, 0x06E4},
    {0x0900, 0x0902},   {0x093A, 0x093A},   {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D},
    {0x0E31, 0x0E31},   {0x0E34, 0x0E3A},   {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
    {0x200B, 0x200F},   {0x202A, 0x202E},   {0x2060, 0x2064}, {0x20D0, 0x20FF}, {0x302A, 0x302D},
    {0x3099, 0x309A},   {0xFE00, 0xFE0F},   {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0x1F3FB, 0x1F3FF},
    {0xE0001, 0xE007F}, {0xE0100, 0xE01EF},
};

static bool is_in(const range *ranges, size_t count, uint32_t c) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (c > ranges[mid].last)
      low = mid + 1;
    else if (c < ranges[mid].first)
      high = mid;
    else
      return true;
  }
  return false;
}

// The end of the escape sequence at p: CSI … letter, OSC … BEL or ESC \, or ESC and one byte.
static const char *after_escape(const char *p, const char *end) {
  if (++p == end)
    return p;
  char kind = *p++;
  if (kind == '[') {
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x40)
      p++;
    return p < end ? p + 1 : p;
  }
  if (kind != ']')
    return p;
  while (p < end && *p != '\a' && *p != 0x1B)
    p++;
  if (p < end && *p == 0x1B)
    p++;
  return p < end ? p + 1 : p;
}

static uint32_t decode(const char *p, size_t n) {
  const unsigned char *u = (const unsigned char *)p;
  switch (n) {
  case 2:
    return (u[0] & 0x1FU) << 6 | (u[1] & 0x3FU);
  case 3:
    return (u[0] & 0x0FU) << 12 | (u[1] & 0x3FU) << 6 | (u[2] & 0x3FU);
  default:
    return (u[0] & 0x07U) << 18 | (u[1] & 0x3FU) << 12 | (u[2] & 0x3FU) << 6 | (u[3] & 0x3FU);
  }
}

size_t pai_term_width(const char *text, size_t len) {
  const char *p = text, *end = text + len;
  size_t width = 0;
  while (p < end) {
    size_t n = pai_utf8_length(p, end);
    if (*p == 0x1B) {
      p = after_escape(p, end);
      continue;
    }
    if (n <= 1) {
      width += n == 0 || ((unsigned char)*p >= 0x20 && *p != 0x7F);
      p++;
      continue;
    }
    uint32_t c = decode(p, n);
    if (c >= 0xA0 && !is_in(none, sizeof none / sizeof none[0], c))
      width += is_in(wide, sizeof wide / sizeof wide[0], c) ? 2 : 1;
    p += n;
  }
  return width;
}

/* ---- questions ---- */

static void put_back(pai_term_ask *ask) {
  pai_io_stop(&ask->io);
  if (ask->changed)
    tcsetattr(ask->fd, TCSADRAIN, &ask->before);
  ask->changed = false;
  if (ask->open)
    close(ask->fd);
  ask->open = false;
}

void pai_term_ask_stop(pai_term_ask *ask) {
  put_back(ask);
  pai_secret_buf_free(&ask->line);
}

static void end_question(pai_term_ask *ask, int rc) {
  ask->rc = rc;
  // What was typed, the line end too, was not shown.
  if (!ask->echo && write(ask->fd, "\n", 1) < 0)
    ask->changed = ask->changed && errno != EIO; // a terminal that hung up
  put_back(ask);
  pai_op_complete(&ask->op);
}

static void on_cancel(pai_op *op) {
  pai_term_ask *ask = (pai_term_ask *)(void *)((char *)op - offsetof(pai_term_ask, op));
  end_question(ask, PAI_E_CANCELED);
}

// The terminal hands out whole lines; a very long one comes in pieces.
static void on_readable(pai_io *io, uint32_t events) {
  (void)events;
  pai_term_ask *ask = io->ud;
  int rc = pai_secret_buf_reserve(&ask->line, 4096, &ask->err);
  ssize_t n = rc == 0 ? read(ask->fd, ask->line.data + ask->line.len, 4096) : 0;
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return;
  if (n < 0)
    rc = pai_error_sys(&ask->err, errno, "read the answer from the terminal");
  if (rc < 0) {
    end_question(ask, rc);
    return;
  }
  ask->line.len += (size_t)n;
  size_t len = ask->line.len;
  if (n == 0 && len == 0) {
    end_question(ask, pai_error_set(&ask->err, PAI_E_CLOSED, "the question got no answer"));
  } else if (n == 0 || ask->line.data[len - 1] == '\n') {
    ask->line.len = n == 0 ? len : len - 1;
    end_question(ask, 0);
  }
}

static int open_terminal(pai_term_ask *ask, pai_error *err) {
  ask->fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ask->fd < 0)
    return pai_error_sys(err, errno, "ask on the terminal");
  ask->open = true;
  if (tcgetattr(ask->fd, &ask->before) < 0)
    return pai_error_sys(err, errno, "ask on the terminal");
  if (ask->echo)
    return 0;
  struct termios quiet = ask->before;
  quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
  quiet.c_lflag |= ICANON;
  if (tcsetattr(ask->fd, TCSADRAIN, &quiet) < 0)
    return pai_error_sys(err, errno, "turn the terminal's echo off");
  ask->changed = true;
  return 0;
}

static int write_prompt(const pai_term_ask *ask, const char *prompt, size_t len, pai_error *err) {
  pai_buf text;
  pai_buf_init(&text, len + 1);
  // What was written before belongs before it.
  for (int fd = 1; fd <= 2; fd++)
    pai_out_flush(pai_out_std(fd), NULL);
  int rc = pai_mask_text(NULL, prompt, len, &text, err);
  if (rc == 0 && text.len > 0 && pai_fs_write_all(ask->fd, text.data, text.len) < 0)
    rc = pai_error_sys(err, errno, "write to the terminal");
  pai_buf_free(&text);
  return rc;
}

int pai_term_ask_start(pai_term_ask *ask, const char *prompt, size_t len, bool echo,
                       pai_error *err) {
  ask->echo = echo;
  ask->io.fn = on_readable;
  ask->io.ud = ask;
  pai_op_init(&ask->op, on_cancel);
  int rc = pai_loop_init(err);
  if (rc == 0)
    rc = open_terminal(ask, err);
  if (rc == 0)
    rc = write_prompt(ask, prompt, len, err);
  if (rc == 0)
    rc = pai_io_start(&ask->io, ask->fd, EPOLLIN, err);
  if (rc < 0)
    pai_term_ask_stop(ask);
  return rc;
}

int pai_term_raw_start(pai_term_raw *r, pai_error *err) {
  if (tcgetattr(STDIN_FILENO, &r->before) < 0)
    return pai_error_sys(err, errno, "read the terminal's settings");
  struct termios raw = r->before;
  cfmakeraw(&raw);
  if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
    return pai_error_sys(err, errno, "change the terminal's settings");
  r->changed = true;
  return 0;
}

void pai_term_raw_stop(pai_term_raw *r) {
  if (r->changed)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &r->before);
  r->changed = false;
}
