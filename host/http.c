/* Requests: what follows an exchange (a redirect, another attempt, or the end), and the deadline
 * over all of them. See http.h. */
#include "http_priv.h"

#include "alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>

enum {
  HEAD_MAX = 1 << 20, // bytes of header lines
  RETRY_WAIT_MAX_MS = 30000
};

/* The end of a request. */

static void let_go(pai_http *h) {
  pai_http_hop_stop(h);
  pai_timer_stop(&h->deadline);
  pai_timer_stop(&h->pause);
}

static void finish(pai_http *h) {
  if (h->done)
    return;
  let_go(h);
  pai_http_drop_output(h);
  h->done = true;
  h->wake(h->ud);
}

void pai_http_set_error(pai_http *h, int code, const char *why) {
  char url[160], reason[CURL_ERROR_SIZE];
  if (h->err.code != PAI_OK)
    return;
  pai_http_show_url(h->url, url, sizeof url);
  pai_http_mask(why, reason, sizeof reason);
  pai_error_set(&h->err, code, "%s %s: %s", h->method, url, reason);
}

static void finish_with(pai_http *h, int code, const char *why) {
  pai_http_set_error(h, code, why);
  finish(h);
}

static void go_on(pai_http *h) {
  pai_error err;
  if (pai_http_hop_start(h, &err) < 0) {
    h->err = err;
    finish(h);
  }
}

/* What follows an exchange. */

static void free_url(pai_http *h) {
  if (h->url != NULL && h->o.secret_query != NULL)
    explicit_bzero(h->url, strlen(h->url));
  pai_free(h->url);
  h->url = NULL;
}

static bool set_url(pai_http *h, const char *url) {
  char *copy = url != NULL ? pai_http_with_query(url, h->o.secret_query) : NULL;
  if (copy == NULL)
    return false;
  free_url(h);
  h->url = copy;
  return true;
}

static void first_attempt(pai_http *h) {
  h->own_origin = true;
  h->loopback = h->first_loopback;
  h->no_body = false;
  h->method = h->o.method;
  h->hops = 0;
}

static void retry_due(pai_timer *t) {
  pai_http *h = t->ud;
  first_attempt(h);
  if (set_url(h, h->o.url)) {
    go_on(h);
    return;
  }
  pai_error_set(&h->err, PAI_E_NOMEM, "out of memory");
  finish(h);
}

static bool is_idempotent(const char *method) {
  return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0 &&
         strcmp(method, "CONNECT") != 0;
}

bool pai_http_is_retryable_status(int status) {
  return status == 408 || status == 429 || status == 502 || status == 503 || status == 504;
}

// unsent: the server cannot have seen the request. Returns whether another attempt is under way.
static bool try_again(pai_http *h, bool unsent, int64_t asked_ms) {
  if (h->attempt >= h->o.retries || h->delivered)
    return false;
  if (!unsent && !h->o.retry_any && !is_idempotent(h->o.method))
    return false;
  int64_t wait = h->o.retry_wait_ms << (h->attempt < 16 ? h->attempt : 16);
  if (wait > RETRY_WAIT_MAX_MS)
    wait = RETRY_WAIT_MAX_MS;
  unsigned jitter = 0; // so that many clients do not come back together
  if (getrandom(&jitter, sizeof jitter, GRND_NONBLOCK) == (ssize_t)sizeof jitter)
    wait -= wait / 4 * (int64_t)(jitter % 1000) / 1000;
  if (asked_ms > wait)
    wait = asked_ms;
  if (h->deadline_at != 0 && pai_now_ms() + wait >= h->deadline_at)
    return false;
  h->attempt++;
  pai_http_drop_output(h);
  return pai_timer_start(&h->pause, wait, NULL) == 0;
}

static void redirect(pai_http *h) {
  char *to = NULL;
  curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &to);
  if (to == NULL || pai_http_check_url(to, &h->loopback, NULL) < 0) {
    finish_with(h, PAI_E_PROTO, "a redirect to something that is no http or https URL");
    return;
  }
  bool same = pai_http_same_origin(h->o.url, to);
  bool keeps_body = h->status == 307 || h->status == 308 || strcmp(h->method, "POST") != 0;
  if (h->status == 303)
    keeps_body = false;
  if (!same && h->o.stay) {
    finish_with(h, PAI_E_DENIED, "a redirect to another origin");
    return;
  }
  if (!same && h->o.unix_socket != NULL) {
    finish_with(h, PAI_E_DENIED, "a redirect from a unix socket to another server");
    return;
  }
  if (!same && keeps_body && h->o.body_secret && !h->no_body) {
    finish_with(h, PAI_E_DENIED, "a redirect would carry the secret body to another origin");
    return;
  }
  // once away, what the caller gave stays behind, also if the way leads back
  h->own_origin = h->own_origin && same;
  char *clean = h->own_origin ? NULL : pai_http_without_user(to);
  bool ok = set_url(h, h->own_origin ? to : clean);
  pai_free(clean);
  if (!ok) {
    finish_with(h, PAI_E_NOMEM, "out of memory");
    return;
  }
  if (!keeps_body) {
    h->no_body = true;
    h->method = strcmp(h->method, "HEAD") == 0 ? "HEAD" : "GET";
  }
  h->hops++;
  h->followed = true;
  go_on(h);
}

static int error_code_of(CURLcode code) {
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT:
    return PAI_E_TIMEOUT;
  case CURLE_URL_MALFORMAT:
    return PAI_E_ARG;
  case CURLE_OUT_OF_MEMORY:
    return PAI_E_NOMEM;
  case CURLE_UNSUPPORTED_PROTOCOL: // an answer that is no HTTP/1
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_BAD_CONTENT_ENCODING:
    return PAI_E_PROTO;
  default:
    return PAI_E_NETWORK;
  }
}

static bool is_tls_refusal(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS ||
         code == CURLE_SSL_CERTPROBLEM;
}

static void failed(pai_http *h, CURLcode code) {
  long os_error = 0;
  curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os_error);
  h->os_error = (int)os_error;
  h->tls_error = is_tls_refusal(code);
  int kind = error_code_of(code);
  bool unsent = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
                code == CURLE_COULDNT_RESOLVE_PROXY;
  if (h->err.code == PAI_OK && !h->tls_error && (kind == PAI_E_NETWORK || kind == PAI_E_TIMEOUT) &&
      try_again(h, unsent, 0))
    return;
  const char *why = h->reason[0] != '\0' ? h->reason : curl_easy_strerror(code);
  char text[CURL_ERROR_SIZE];
  if (h->o.unix_socket != NULL && unsent) {
    if (h->os_error == 0)
      h->os_error = ECONNREFUSED;
    snprintf(text, sizeof text, "connect to the unix socket \"%s\": %s", h->o.unix_socket,
             strerrordesc_np(h->os_error));
    why = text;
  }
  finish_with(h, kind, why);
}

void pai_http_hop_done(pai_http *h, CURLcode code) {
  if (code == CURLE_OK && !h->head_whole) { // libcurl takes half a head for a whole answer
    snprintf(h->reason, sizeof h->reason, "the answer ends within its headers");
    code = CURLE_RECV_ERROR;
  }
  if (code != CURLE_OK) {
    failed(h, code);
    return;
  }
  long status = 0;
  curl_off_t after = 0;
  curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &after);
  h->status = (int)status;
  if (pai_http_is_redirect(h) && h->hops < h->o.follow) {
    redirect(h);
    return;
  }
  int64_t asked = after > 0 && after < 86400 ? (int64_t)after * 1000 : 0;
  if (!pai_http_accepted(h)) {
    if (pai_http_is_retryable_status(h->status) && try_again(h, false, asked))
      return;
  } else if (h->o.output != NULL && !h->o.stream) {
    pai_http_keep_output(h);
  }
  finish(h);
}

/* Public. */

static void deadline_due(pai_timer *t) {
  pai_http *h = t->ud;
  char why[80];
  snprintf(why, sizeof why, "no complete answer within %lld ms", (long long)h->o.timeout_ms);
  finish_with(h, PAI_E_TIMEOUT, why);
}

int pai_http_start(pai_http *h, const pai_http_options *o, pai_error *err) {
  h->o = *o;
  h->fd = -1;
  h->body_fd = -1;
  h->err = (pai_error){.code = PAI_OK};
  pai_buf_init(&h->head, HEAD_MAX);
  pai_buf_init(&h->body, SIZE_MAX / 2);
  h->deadline = (pai_timer){.fn = deadline_due, .ud = h};
  h->pause = (pai_timer){.fn = retry_due, .ud = h};
  int rc = pai_http_check_url(o->url, &h->first_loopback, err);
  if (rc == 0 && o->unix_socket != NULL &&
      strlen(o->unix_socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
    rc = pai_error_sys(err, ENAMETOOLONG, "connect to the unix socket \"%s\"", o->unix_socket);
  if (rc == 0 && o->body_wiped && pai_buf_reserve(&h->body, o->max_body) < 0)
    rc = pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (rc < 0)
    return rc;
  first_attempt(h);
  if (!set_url(h, o->url))
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (o->timeout_ms > 0) {
    h->deadline_at = pai_now_ms() + o->timeout_ms;
    rc = pai_timer_start(&h->deadline, o->timeout_ms, err);
  }
  return rc < 0 ? rc : pai_http_hop_start(h, err);
}

void pai_http_resume(pai_http *h) {
  if (!h->paused || h->done)
    return;
  h->paused = false;
  if (curl_easy_pause(h->easy, CURLPAUSE_CONT) != CURLE_OK && !h->done)
    finish_with(h, PAI_E_NETWORK, "the transfer could not go on");
}

void pai_http_stop(pai_http *h) {
  finish(h);
}

void pai_http_cancel(pai_http *h) {
  finish_with(h, PAI_E_CANCELED, "canceled");
}

void pai_http_end(pai_http *h) {
  h->done = true;
  let_go(h);
  if (h->url != NULL)
    pai_http_drop_output(h);
  free_url(h);
  if (h->o.body_wiped && h->body.data != NULL)
    explicit_bzero(h->body.data, h->body.cap);
  pai_buf_free(&h->head);
  pai_buf_free(&h->body);
}
