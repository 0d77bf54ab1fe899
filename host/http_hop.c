/* One exchange with one server, on the one multi handle. See http_priv.h.
 *
 * Handles are kept for reuse with what every exchange needs already set. One whose exchange set no
 * more than set_usual does, and went well at once, is used again as it is: setting everything anew
 * costs as much as a small request does. Every other is reset first, so that nothing of one
 * request, least of all a credential, is left for another. */
#include "http_priv.h"

#include "alloc.h"
#include "http_multi.h"

#include <string.h>

enum {
  POOL_SIZE = 64 // handles kept for reuse
};

static void on_done(void *ud, CURL *easy, CURLcode code);
static void on_failed(void *ud, CURL *easy, const pai_error *err);

static pai_http_multi multi = {.done = on_done, .failed = on_failed};
static int users;
static CURL *pool[POOL_SIZE];
static size_t pool_len;

void pai_http_use(void) {
  users++;
}

void pai_http_unuse(void) {
  if (--users > 0)
    return;
  while (pool_len > 0)
    curl_easy_cleanup(pool[--pool_len]);
  if (multi.curl == NULL)
    return;
  pai_http_multi_close(&multi);
  curl_global_cleanup();
}

static int open_multi(pai_error *err) {
  if (multi.curl == NULL && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return pai_error_set(err, PAI_E_NOMEM, "start libcurl: out of memory");
  return pai_http_multi_open(&multi, err);
}

/* Handles. */

// libcurl has a connection and is about to send. It does so again on another one if a kept one
// proves dead, and counts that in the handle for good: at the sixth time it gives up.
static int about_to_send(void *ud, char *ip, char *own_ip, int port, int own_port) {
  (void)ip, (void)own_ip, (void)port, (void)own_port;
  pai_http *h = ud;
  h->sends++;
  return CURL_PREREQFUNC_OK;
}

static void prepare(CURL *e) {
  pai_http_multi_prepare(&multi, e);
  curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); // ".." in it may be a part of an object's name
  curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, pai_http_on_header);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, pai_http_on_body);
  curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, about_to_send);
}

static CURL *take_easy(void) {
  if (pool_len > 0)
    return pool[--pool_len];
  CURL *e = curl_easy_init();
  if (e != NULL)
    prepare(e);
  return e;
}

static void give_easy(CURL *e, bool as_it_is) {
  if (e == NULL)
    return;
  if (pool_len == POOL_SIZE) {
    curl_easy_cleanup(e);
    return;
  }
  if (as_it_is) { // but for what points to the request
    curl_easy_setopt(e, CURLOPT_PRIVATE, NULL);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, NULL);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, NULL);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, NULL);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, NULL);
  } else {
    curl_easy_reset(e);
    prepare(e);
  }
  pool[pool_len++] = e;
}

/* Options. */

// All of these are set for every exchange, or taken back by give_easy.
static void set_usual(pai_http *h) {
  CURL *e = h->easy;
  curl_easy_setopt(e, CURLOPT_PRIVATE, h);
  curl_easy_setopt(e, CURLOPT_URL, h->url);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
  curl_easy_setopt(e, CURLOPT_PREREQDATA, h);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->reason);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->o.connect_timeout_ms);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->list);
  curl_easy_setopt(e, CURLOPT_PROXY, h->loopback ? "" : NULL);
}

// Whether the exchange needs an option that set_special sets: only then is it called.
static bool is_special(const pai_http *h) {
  const pai_http_options *o = &h->o;
  const pai_http_tls *t = &o->tls;
  return strcmp(h->method, "GET") != 0 || o->body != NULL || o->body_file != NULL ||
         o->into != NULL || o->output != NULL || o->user != NULL || o->stall_ms > 0 ||
         o->unix_socket != NULL || o->proxy != NULL || t->ca_file != NULL || t->ca != NULL ||
         t->cert != NULL || t->insecure || t->connect_to != NULL || o->secret_query != NULL ||
         strchr(h->url, '@') != NULL;
}

static int set_method(pai_http *h) {
  CURL *e = h->easy;
  bool file = h->o.body_file != NULL && !h->no_body;
  bool body = h->o.body != NULL && !h->no_body;
  if (file && pai_http_send_file(h) < 0)
    return -1;
  if (body || strcmp(h->method, "POST") == 0) {
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    // libcurl sends a request again by itself when a kept connection ends before the answer: not
    // one that may have had its effect.
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? h->o.body_len : 0));
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, body ? h->o.body : "");
  }
  if (strcmp(h->method, "HEAD") == 0)
    curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  else
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, h->method);
  return 0;
}

static int set_special(pai_http *h) {
  CURL *e = h->easy;
  if (h->o.into != NULL || h->o.output != NULL)
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 512L << 10);
  pai_http_tls_set(e, &h->o.tls, h->own_origin, &h->dial);
  if (h->o.user != NULL && h->own_origin) {
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_USERNAME, h->o.user);
    curl_easy_setopt(e, CURLOPT_PASSWORD, h->o.password);
  }
  if (h->o.stall_ms > 0) {
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((h->o.stall_ms + 999) / 1000));
  }
  pai_http_multi_route(e, h->o.unix_socket, h->o.proxy, h->loopback);
  return set_method(h);
}

/* Start and end. */

static void on_done(void *ud, CURL *easy, CURLcode code) {
  (void)ud;
  pai_http *h = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &h);
  pai_http_multi_remove(&multi, easy);
  h->running = false;
  h->reusable = code == CURLE_OK && !h->special && h->sends == 1;
  pai_http_hop_done(h, code);
}

static void on_failed(void *ud, CURL *easy, const pai_error *err) {
  (void)ud;
  pai_http *h = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &h);
  if (h == NULL)
    return;
  pai_http_set_error(h, err->code, err->message);
  pai_timer_start(&h->deadline, 0, NULL);
}

void pai_http_hop_stop(pai_http *h) {
  if (h->running)
    pai_http_multi_remove(&multi, h->easy);
  give_easy(h->easy, !h->running && h->reusable);
  h->running = false;
  h->reusable = false;
  h->easy = NULL;
  pai_http_free_list(h->list);
  h->list = NULL;
}

int pai_http_hop_start(pai_http *h, pai_error *err) {
  pai_http_hop_stop(h);
  pai_http_body_reset(h);
  h->reason[0] = '\0';
  h->sends = 0;
  int rc = open_multi(err);
  if (rc < 0)
    return rc;
  bool body = (h->o.body != NULL || h->o.body_file != NULL) && !h->no_body;
  h->easy = take_easy();
  if (h->easy == NULL || pai_http_make_list(&h->o, h->own_origin, body, &h->list) < 0)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  set_usual(h);
  h->special = is_special(h);
  if (h->special && set_special(h) < 0) {
    *err = h->err;
    return h->err.code;
  }
  rc = pai_http_multi_add(&multi, h->easy, err);
  h->running = rc == 0;
  return rc;
}
