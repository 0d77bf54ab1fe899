/* WebSocket frames. See ws_codec.h.
 *
 * A payload is taken as it comes: a data frame's into `part`, a control frame's into `control`, so
 * no frame has to be in memory as a whole before it is looked at. */
#include "ws_codec.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { RECORD = 1 + (int)sizeof(size_t), PONG_HIGH = 1 << 16 };

/* UTF-8 (RFC 3629). */

static bool utf8_start(pai_utf8 *u, uint8_t c) {
  u->low = 0x80;
  u->high = 0xbf;
  if (c < 0x80)
    return true;
  if (c >= 0xc2 && c <= 0xdf) {
    u->rest = 1;
  } else if (c >= 0xe0 && c <= 0xef) {
    u->rest = 2;
    if (c == 0xe0)
      u->low = 0xa0; // else it would be too long
    if (c == 0xed)
      u->high = 0x9f; // else it would be a surrogate
  } else if (c >= 0xf0 && c <= 0xf4) {
    u->rest = 3;
    if (c == 0xf0)
      u->low = 0x90;
    if (c == 0xf4)
      u->high = 0x8f;
  } else {
    return false;
  }
  return true;
}

bool pai_utf8_feed(pai_utf8 *u, const void *data, size_t len) {
  const uint8_t *p = data, *end = p + len;
  for (; p < end; p++) {
    if (u->rest == 0) {
      if (!utf8_start(u, *p))
        return false;
    } else {
      if (*p < u->low || *p > u->high)
        return false;
      u->low = 0x80;
      u->high = 0xbf;
      u->rest--;
    }
  }
  return true;
}

void pai_ws_codec_init(pai_ws_codec *c, size_t max_message, size_t max_out) {
  *c = (pai_ws_codec){.max_message = max_message, .close_code = PAI_WS_ABNORMAL};
  pai_buf_init(&c->out, max_out + PONG_HIGH + 1024);
  pai_buf_init(&c->queue, SIZE_MAX / 2);
  pai_buf_init(&c->part, max_message);
}

void pai_ws_codec_set_server(pai_ws_codec *c) {
  c->server = true;
}

void pai_ws_codec_free(pai_ws_codec *c) {
  pai_buf_free(&c->out);
  pai_buf_free(&c->queue);
  pai_buf_free(&c->part);
  c->messages = 0;
}

/* Sending. */

// Puts a client's key behind the header: a fresh one for every frame, which nobody can foresee.
static int add_key(unsigned char *head, size_t *n, unsigned char key[4], pai_error *err) {
  if (getrandom(key, 4, 0) != 4)
    return pai_error_set(err, PAI_E_INTERNAL, "no random bytes");
  head[1] |= 0x80;
  memcpy(head + *n, key, 4);
  *n += 4;
  return 0;
}

static int add_frame(pai_ws_codec *c, int opcode, const void *data, size_t len, pai_error *err) {
  unsigned char head[14], key[4] = {0};
  size_t n = 2;
  head[0] = (unsigned char)(0x80 | opcode);
  if (len < 126) {
    head[1] = (unsigned char)len;
  } else if (len <= 0xffff) {
    head[1] = 126;
    head[2] = (unsigned char)(len >> 8);
    head[3] = (unsigned char)len;
    n = 4;
  } else {
    head[1] = 127;
    for (int i = 0; i < 8; i++)
      head[2 + i] = (unsigned char)((uint64_t)len >> (56 - 8 * i));
    n = 10;
  }
  int rc = c->server ? 0 : add_key(head, &n, key, err);
  if (rc < 0)
    return rc;
  rc = pai_buf_reserve(&c->out, n + len);
  if (rc < 0)
    return pai_error_set(err, rc, "send a message of %zu bytes: too much is unsent", len);
  pai_buf_add(&c->out, head, n);
  unsigned char *to = (unsigned char *)c->out.data + c->out.len;
  const unsigned char *from = data;
  for (size_t i = 0; i < len; i++)
    to[i] = from[i] ^ key[i & 3];
  pai_buf_advance(&c->out, len);
  return 0;
}

int pai_ws_codec_send(pai_ws_codec *c, int opcode, const void *data, size_t len, pai_error *err) {
  if (c->close_sent)
    return pai_error_set(err, PAI_E_CLOSED, "the connection is being closed");
  pai_utf8 u = {0};
  if (opcode == PAI_WS_TEXT && (!pai_utf8_feed(&u, data, len) || u.rest != 0))
    return pai_error_set(err, PAI_E_ARG, "a text message must be UTF-8");
  if (opcode >= PAI_WS_CLOSE && len > PAI_WS_CONTROL_MAX)
    return pai_error_set(err, PAI_E_ARG, "a ping holds at most %d bytes", PAI_WS_CONTROL_MAX);
  return add_frame(c, opcode, data, len, err);
}

bool pai_ws_code_ok(int code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

// The longest beginning of at most max bytes that ends with a whole character.
static size_t whole(const char *text, size_t len, size_t max) {
  size_t n = len < max ? len : max;
  while (n > 0 && n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
    n--;
  return n;
}

int pai_ws_codec_close(pai_ws_codec *c, int code, const char *reason, size_t len, pai_error *err) {
  if (c->close_sent)
    return 0;
  unsigned char payload[PAI_WS_CONTROL_MAX];
  size_t n = 0;
  if (code != PAI_WS_NO_CODE) {
    payload[0] = (unsigned char)(code >> 8);
    payload[1] = (unsigned char)code;
    size_t keep = whole(reason, len, PAI_WS_REASON_MAX);
    if (keep > 0)
      memcpy(payload + 2, reason, keep);
    n = 2 + keep;
  }
  int rc = add_frame(c, PAI_WS_CLOSE, payload, n, err);
  if (rc == 0)
    c->close_sent = true;
  return rc;
}

/* Receiving. */

static int breach(pai_ws_codec *c, int close_code, const char *why) {
  int code = close_code == PAI_WS_TOO_BIG ? PAI_E_LIMIT : PAI_E_PROTO;
  pai_error_set(&c->err, code, "the peer broke the WebSocket protocol: %s", why);
  if (code == PAI_E_LIMIT)
    pai_error_set(&c->err, code, "%s", why);
  c->close_code = close_code;
  (void)pai_ws_codec_close(c, close_code, why, strlen(why), NULL);
  return code;
}

static int no_memory(pai_ws_codec *c) {
  return pai_error_set(&c->err, PAI_E_NOMEM, "out of memory");
}

// 1 when `head` holds a whole header, whose meaning is then in c; 0 when bytes are missing.
static int read_head(pai_ws_codec *c) {
  if (c->head_len < 2)
    return 0;
  const unsigned char *h = c->head;
  size_t end = (h[1] & 127) == 126 ? 4 : (h[1] & 127) == 127 ? 10 : 2; // of the length
  c->fin = (h[0] & 0x80) != 0;
  c->opcode = h[0] & 15;
  bool control = c->opcode >= PAI_WS_CLOSE;
  if ((h[0] & 0x70) != 0)
    return breach(c, PAI_WS_PROTOCOL, "reserved bits are set, and no extension was agreed on");
  if ((c->opcode > PAI_WS_BINARY && !control) || c->opcode > PAI_WS_PONG)
    return breach(c, PAI_WS_PROTOCOL, "an unknown kind of frame");
  if (((h[1] & 0x80) != 0) != c->server)
    return breach(c, PAI_WS_PROTOCOL,
                  c->server ? "a client's frame is not masked" : "a server's frame is masked");
  if (control && (!c->fin || end != 2))
    return breach(c, PAI_WS_PROTOCOL, "a control frame is too long or in pieces");
  if (!control && (c->opcode == PAI_WS_CONTINUATION) != (c->message != 0))
    return breach(c, PAI_WS_PROTOCOL, "the pieces of a message are out of order");
  if (c->head_len < end + (c->server ? 4 : 0))
    return 0;
  uint64_t len = h[1] & 127;
  if (end > 2) {
    len = 0;
    for (size_t i = 2; i < end; i++)
      len = len << 8 | h[i];
    if (len < (end == 4 ? 126u : 65536u) || len >> 63 != 0)
      return breach(c, PAI_WS_PROTOCOL, "a length is not in its shortest form");
  }
  c->left = len;
  if (c->server)
    memcpy(c->key, h + end, sizeof c->key);
  c->key_at = 0;
  return 1;
}

static int begin_payload(pai_ws_codec *c) {
  c->head_len = 0;
  c->in_payload = true;
  c->control_len = 0;
  if (c->opcode >= PAI_WS_CLOSE)
    return 0;
  if (c->opcode != PAI_WS_CONTINUATION) {
    c->message = c->opcode;
    c->utf8 = (pai_utf8){0};
    pai_buf_clear(&c->part);
  }
  if (c->left > c->max_message - c->part.len) {
    char why[80];
    snprintf(why, sizeof why, "a message is over %zu bytes", c->max_message);
    return breach(c, PAI_WS_TOO_BIG, why);
  }
  return 0;
}

static int queue_message(pai_ws_codec *c) {
  if (c->message == PAI_WS_TEXT && c->utf8.rest != 0)
    return breach(c, PAI_WS_BAD_DATA, "a text message is not UTF-8");
  unsigned char record[RECORD];
  record[0] = (unsigned char)c->message;
  memcpy(record + 1, &c->part.len, sizeof c->part.len);
  if (pai_buf_reserve(&c->queue, RECORD + c->part.len) < 0)
    return no_memory(c);
  pai_buf_add(&c->queue, record, RECORD);
  pai_buf_add(&c->queue, c->part.data, c->part.len);
  c->messages++;
  c->message = 0;
  pai_buf_free(&c->part);
  return 0;
}

static int take_close(pai_ws_codec *c) {
  const unsigned char *p = c->control;
  int code = PAI_WS_NO_CODE;
  pai_utf8 u = {0};
  if (c->control_len == 1)
    return breach(c, PAI_WS_PROTOCOL, "a Close with half a code");
  if (c->control_len >= 2) {
    code = p[0] << 8 | p[1];
    if (!pai_ws_code_ok(code))
      return breach(c, PAI_WS_PROTOCOL, "a Close with a code that none may have");
    if (!pai_utf8_feed(&u, p + 2, c->control_len - 2) || u.rest != 0)
      return breach(c, PAI_WS_BAD_DATA, "the reason of a Close is not UTF-8");
    c->reason_len = c->control_len - 2;
    memcpy(c->reason, p + 2, c->reason_len);
  }
  c->close_code = code;
  c->close_seen = true;
  return pai_ws_codec_close(c, code, NULL, 0, &c->err);
}

static int end_payload(pai_ws_codec *c) {
  c->in_payload = false;
  switch (c->opcode) {
  case PAI_WS_CLOSE:
    return take_close(c);
  case PAI_WS_PING: // a peer that only asks and never reads gets no more answers than fit
    if (!c->close_sent && c->out.len < PONG_HIGH &&
        add_frame(c, PAI_WS_PONG, c->control, c->control_len, &c->err) < 0)
      return c->err.code;
    return 0;
  case PAI_WS_PONG:
    return 0;
  default:
    return c->fin ? queue_message(c) : 0;
  }
}

// Takes a client's mask off.
static void unmask(pai_ws_codec *c, unsigned char *p, size_t len) {
  for (size_t i = 0; i < len; i++)
    p[i] ^= c->key[(c->key_at + i) & 3];
  c->key_at = (unsigned)((c->key_at + len) & 3);
}

// Takes what belongs to the payload; its number of bytes or an error.
static int take_payload(pai_ws_codec *c, const unsigned char *p, size_t len, size_t *taken) {
  size_t n = c->left < len ? (size_t)c->left : len;
  *taken = n;
  c->left -= n;
  if (n == 0)
    return 0;
  if (c->opcode >= PAI_WS_CLOSE) {
    memcpy(c->control + c->control_len, p, n);
    if (c->server)
      unmask(c, c->control + c->control_len, n);
    c->control_len += n;
    return 0;
  }
  if (pai_buf_add(&c->part, p, n) < 0)
    return no_memory(c);
  unsigned char *taken_in = (unsigned char *)c->part.data + c->part.len - n;
  if (c->server)
    unmask(c, taken_in, n);
  if (c->message == PAI_WS_TEXT && !pai_utf8_feed(&c->utf8, taken_in, n))
    return breach(c, PAI_WS_BAD_DATA, "a text message is not UTF-8");
  return 0;
}

int pai_ws_codec_feed(pai_ws_codec *c, const void *data, size_t len) {
  const unsigned char *p = data, *end = p + len;
  int rc = 0;
  while (rc == 0 && c->err.code == PAI_OK && !c->close_seen && (p < end || c->in_payload)) {
    if (!c->in_payload) {
      c->head[c->head_len++] = *p++;
      rc = read_head(c);
      if (rc <= 0)
        continue;
      rc = begin_payload(c);
      continue;
    }
    size_t taken;
    rc = take_payload(c, p, (size_t)(end - p), &taken);
    p += taken;
    if (rc < 0 || c->left > 0)
      break;
    rc = end_payload(c);
  }
  return rc < 0 ? rc : 0;
}

int pai_ws_codec_peek(const pai_ws_codec *c, const char **data, size_t *len) {
  if (c->messages == 0)
    return 0;
  memcpy(len, c->queue.data + 1, sizeof *len);
  *data = c->queue.data + RECORD;
  return c->queue.data[0];
}

void pai_ws_codec_pop(pai_ws_codec *c) {
  const char *data;
  size_t len;
  if (pai_ws_codec_peek(c, &data, &len) == 0)
    return;
  c->messages--;
  if (c->messages == 0)
    pai_buf_free(&c->queue);
  else
    pai_buf_drop(&c->queue, RECORD + len);
}
