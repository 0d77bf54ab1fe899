/* The opening handshake (RFC 6455, 4.1 and 4.2.2). See ws.h. */
#include "alloc.h"
#include "ws.h"
#include "ws_upgrade.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { REFUSAL_MAX = 8192 }; // bytes kept of the body of a refusal

static int bad_url(pai_error *err) {
  return pai_error_set(err, PAI_E_ARG, "option 'url' is no ws:// or wss:// URL of a server");
}

// "http(s)://…" for libcurl, which knows no ws; owned, or NULL.
static char *as_http(const char *url) {
  if (strncasecmp(url, "ws://", 5) != 0 && strncasecmp(url, "wss://", 6) != 0)
    return NULL;
  size_t len = strlen(url) + 3;
  char *out = pai_alloc(len);
  if (out != NULL)
    snprintf(out, len, "http%s", url + 2);
  return out;
}

static char *part(CURLU *u, CURLUPart what) {
  char *out = NULL;
  curl_url_get(u, what, &out, 0);
  return out;
}

static int add(pai_ws *w, const char *text, pai_error *err) {
  return pai_secret_buf_add(&w->request, text, strlen(text), err);
}

static int add_headers(pai_ws *w, pai_error *err) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < w->o.header_count; i++) {
    const pai_ws_header *h = &w->o.headers[i];
    rc = add(w, h->name, err);
    rc = rc < 0 ? rc : add(w, ": ", err);
    rc = rc < 0 ? rc : add(w, h->prefix, err);
    rc = rc < 0 ? rc : pai_secret_buf_add(&w->request, h->value, h->value_len, err);
    rc = rc < 0 ? rc : add(w, "\r\n", err);
  }
  return rc;
}

typedef struct target {
  char *host, *port, *path, *query;
} target;

static int add_request(pai_ws *w, const target *t, const char *key, pai_error *err) {
  const char *lines[] = {
      "GET ",
      t->path,
      t->query != NULL ? "?" : "",
      t->query != NULL ? t->query : "",
      " HTTP/1.1\r\nHost: ",
      t->host,
      t->port != NULL ? ":" : "",
      t->port != NULL ? t->port : "",
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
      "Sec-WebSocket-Key: ",
      key,
      "\r\n",
      w->o.protocols != NULL ? "Sec-WebSocket-Protocol: " : "",
      w->o.protocols != NULL ? w->o.protocols : "",
      w->o.protocols != NULL ? "\r\n" : "",
  };
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < sizeof lines / sizeof lines[0]; i++)
    rc = add(w, lines[i], err);
  rc = rc < 0 ? rc : add_headers(w, err);
  return rc < 0 ? rc : add(w, "\r\n", err);
}

static bool is_loopback(const char *host) {
  return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
         strcmp(host, "[::1]") == 0;
}

static int make(pai_ws *w, CURLU *u, const target *t, pai_error *err) {
  unsigned char random[16];
  char key[25];
  if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
    return pai_error_set(err, PAI_E_INTERNAL, "no random bytes");
  EVP_EncodeBlock((unsigned char *)key, random, sizeof random);
  int rc = pai_ws_accept(key, w->accept, err);
  rc = rc < 0 ? rc : add_request(w, t, key, err);
  if (rc < 0)
    return rc;
  // What libcurl gets is the origin alone: the path may hold a key, and errors quote the URL.
  curl_url_set(u, CURLUPART_PATH, "/", 0);
  curl_url_set(u, CURLUPART_QUERY, NULL, 0);
  char *origin = part(u, CURLUPART_URL);
  w->origin = origin != NULL ? pai_strndup(origin, strlen(origin)) : NULL;
  curl_free(origin);
  return w->origin != NULL ? 0 : pai_error_set(err, PAI_E_NOMEM, "out of memory");
}

int pai_ws_shake_make(pai_ws *w, bool *loopback, pai_error *err) {
  char *http = as_http(w->o.url);
  CURLU *u = http != NULL ? curl_url() : NULL;
  bool fits = u != NULL && curl_url_set(u, CURLUPART_URL, http, 0) == CURLUE_OK;
  pai_free(http);
  target t = {0};
  if (fits) {
    t = (target){part(u, CURLUPART_HOST), part(u, CURLUPART_PORT), part(u, CURLUPART_PATH),
                 part(u, CURLUPART_QUERY)};
    char *user = part(u, CURLUPART_USER), *fragment = part(u, CURLUPART_FRAGMENT);
    fits = t.host != NULL && t.path != NULL && user == NULL && fragment == NULL;
    curl_free(user);
    curl_free(fragment);
  }
  *loopback = fits && is_loopback(t.host);
  int rc = fits ? make(w, u, &t, err) : bad_url(err);
  curl_free(t.host);
  curl_free(t.port);
  curl_free(t.path);
  curl_free(t.query);
  curl_url_cleanup(u);
  return rc;
}

/* The answer. */

typedef struct text {
  const char *data;
  size_t len;
} text;

// The value of the n-th header (from 0) of this name; data NULL when there is none.
static text find(const pai_ws *w, const char *name, int n) {
  const char *p = w->head.data, *end = p + w->head_end;
  size_t name_len = strlen(name);
  while (p < end) {
    const char *eol = memchr(p, '\n', (size_t)(end - p));
    const char *stop = eol != NULL ? eol : end;
    if ((size_t)(stop - p) > name_len && p[name_len] == ':' &&
        strncasecmp(p, name, name_len) == 0 && n-- == 0) {
      const char *from = p + name_len + 1;
      while (from < stop && (*from == ' ' || *from == '\t'))
        from++;
      while (stop > from && (stop[-1] == '\r' || stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
      return (text){from, (size_t)(stop - from)};
    }
    p = eol != NULL ? eol + 1 : end;
  }
  return (text){NULL, 0};
}

static bool header_has(const pai_ws *w, const char *name, const char *word) {
  text v;
  for (int i = 0; (v = find(w, name, i)).data != NULL; i++)
    if (pai_ws_has_word(v.data, v.len, word, strlen(word), true))
      return true;
  return false;
}

static int broken(pai_error *err, const char *why) {
  return pai_error_set(err, PAI_E_PROTO, "the WebSocket handshake failed: %s", why);
}

static int check_protocol(pai_ws *w, pai_error *err) {
  text v = find(w, "Sec-WebSocket-Protocol", 0);
  if (v.data == NULL)
    return 0;
  text offered = {w->o.protocols, w->o.protocols != NULL ? strlen(w->o.protocols) : 0};
  if (offered.len == 0 || v.len == 0 || v.len >= sizeof w->conn.protocol ||
      find(w, "Sec-WebSocket-Protocol", 1).data != NULL ||
      !pai_ws_has_word(offered.data, offered.len, v.data, v.len, false))
    return broken(err, "the server chose a subprotocol that was not offered");
  memcpy(w->conn.protocol, v.data, v.len);
  w->conn.protocol[v.len] = '\0';
  return 0;
}

static int check_switch(pai_ws *w, pai_error *err) {
  if (!header_has(w, "Upgrade", "websocket") || !header_has(w, "Connection", "Upgrade"))
    return broken(err, "the server did not switch to WebSocket");
  text accept = find(w, "Sec-WebSocket-Accept", 0);
  if (accept.data == NULL || accept.len != strlen(w->accept) ||
      memcmp(accept.data, w->accept, accept.len) != 0)
    return broken(err, "Sec-WebSocket-Accept does not fit the key");
  if (find(w, "Sec-WebSocket-Extensions", 0).data != NULL)
    return broken(err, "the server uses an extension that was not offered");
  return check_protocol(w, err);
}

// The text of a refusal is waited for while it is short.
static int refused(pai_ws *w, pai_error *err) {
  text length = find(w, "Content-Length", 0);
  if (length.data != NULL && !w->conn.eof) {
    char digits[12];
    snprintf(digits, sizeof digits, "%.*s", length.len < 11 ? (int)length.len : 11, length.data);
    long n = strtol(digits, NULL, 10);
    if (n > 0 && n <= REFUSAL_MAX && w->head.len - w->head_end < (size_t)n)
      return 0;
  }
  return pai_error_set(err, PAI_E_PROTO, "the server answered %d", w->status);
}

static int read_status(const char *p, size_t len) {
  if (len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
    return -1;
  int status = 0;
  for (int i = 9; i < 12; i++) {
    if (p[i] < '0' || p[i] > '9')
      return -1;
    status = status * 10 + (p[i] - '0');
  }
  return len == 12 || p[12] == ' ' || p[12] == '\r' ? status : -1;
}

int pai_ws_shake_check(pai_ws *w, size_t *body, pai_error *err) {
  const char *end = w->head.len > 0 ? memmem(w->head.data, w->head.len, "\r\n\r\n", 4) : NULL;
  if (w->head.len >= 12 && read_status(w->head.data, w->head.len) < 0)
    return broken(err, "the answer is no HTTP/1");
  if (end == NULL)
    return w->conn.eof ? broken(err, "the answer ends within its headers") : 0;
  w->head_end = (size_t)(end - w->head.data) + 4;
  w->status = read_status(w->head.data, w->head_end);
  if (w->status != 101)
    return refused(w, err);
  w->status = 0;
  int rc = check_switch(w, err);
  *body = w->head_end;
  return rc < 0 ? rc : 1;
}
