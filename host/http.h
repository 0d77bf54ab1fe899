/* HTTP requests over one libcurl multi handle on pai's loop. A request is one deadline over all its
 * attempts and redirects. What the caller gave for its origin (credentials, other headers that are
 * not plainly harmless) goes to no other; .netrc is not read; TLS is verified. */
#ifndef PAI_HTTP_H
#define PAI_HTTP_H

#include "buf.h"
#include "error.h"
#include "http_tls.h"
#include "loop.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pai_http_header {
  const char *name;
  const char *prefix; // goes before the value; "" for none
  const char *value;
  size_t value_len;
  bool secret; // the copy that is handed to libcurl is wiped afterwards
} pai_http_header;

// Every pointer is borrowed until pai_http_end.
typedef struct pai_http_options {
  const char *method; // upper case
  const char *url;
  const pai_http_header *headers;
  size_t header_count;
  const char *body; // NULL: none
  size_t body_len;
  bool body_secret;
  const char *body_file; // in place of body: body_len bytes of this file, read as they are sent
  uint64_t body_offset;
  const char *secret_query; // goes behind the URL; never shown, and no redirect is followed with it
  const char *user;         // basic authentication
  const char *password;
  const char *unix_socket;
  pai_http_tls tls;
  const char *proxy;  // NULL: as the environment says; "": none
  const char *output; // the body of an accepted answer goes to this file, whole or not at all
  const char *into;   // the body goes into this file, which exists, at into_offset
  uint64_t into_offset;
  uint64_t into_len; // and is this long at most
  const int *accept; // statuses beside 2xx
  size_t accept_count;
  bool accept_any;
  bool stream;        // the body of an accepted answer comes in pieces
  size_t max_body;    // bytes, not for stream and output
  bool body_wiped;    // the body is a secret: kept in one place, and wiped
  int64_t timeout_ms; // 0: none
  int64_t connect_timeout_ms;
  int64_t stall_ms; // 0: none; a transfer that moves no byte for so long has failed
  int follow;       // redirects
  bool stay;        // not to another origin
  int retries;
  int64_t retry_wait_ms; // before the second attempt; doubles
  bool retry_any;        // also methods that are not idempotent
} pai_http_options;

typedef struct pai_http { // zero it first
  pai_http_options o;
  void (*wake)(void *ud); // something arrived, or it is done; called in the loop
  void *ud;
  bool done;
  pai_error err;  // PAI_OK when there is an answer, whatever its status
  int os_error;   // errno of a failed connection, 0 = unknown
  bool tls_error; // the peer's certificate was refused
  int status;
  pai_buf head; // the header lines of the last answer, each ending in \r\n
  int head_lines;
  pai_buf body;
  char *url; // of the last hop, owned
  bool followed;
  uint64_t written; // bytes that are in the file `into`

  // private
  CURL *easy;
  bool running;
  bool loopback, first_loopback;
  bool own_origin; // this hop may get what the caller gave
  bool paused;
  bool stopped;
  bool delivered;
  bool no_body;
  bool head_whole; // the empty line after the headers has come
  bool special;    // its handle has options that another request's may not have
  bool reusable;   // it has none, and all went well
  int sends;       // of this exchange
  const char *method;
  struct curl_slist *list;
  struct curl_slist dial;
  pai_timer deadline;
  pai_timer pause;
  int64_t deadline_at;
  int hops;
  int attempt;
  int sink;
  int fd;
  int body_fd;
  uint64_t body_at;
  uint64_t moved; // its share of pai_http_under_way
  char *temp;
  char reason[CURL_ERROR_SIZE];
} pai_http;

// Once for every Lua state that loads the module, and at its end, after all of its requests: the
// last one gives back idle connections and all else that is kept between requests.
void pai_http_use(void);
void pai_http_unuse(void);

// Starts; wake follows, never from inside this call. On failure nothing runs.
int pai_http_start(pai_http *h, const pai_http_options *o, pai_error *err);
bool pai_http_accepted(const pai_http *h); // 2xx or asked for
bool pai_http_is_retryable_status(int status);
// After the caller has taken what was in body (and cleared it): lets a paused transfer go on.
void pai_http_resume(pai_http *h);
// Ends it now. Without an error (stop) the answer so far counts as whole.
void pai_http_stop(pai_http *h);
void pai_http_cancel(pai_http *h);
void pai_http_end(pai_http *h); // frees everything; stops it first; safe twice

// Bytes of parts of files that requests have moved which have not ended yet.
uint64_t pai_http_under_way(void);

/* URLs (http_url.c). */

void pai_http_mask(const char *text, char *out, size_t size); // masks, then cuts to fit

// "https://host:1/path" without user, query and fragment, for messages. Always terminated.
void pai_http_show_url(const char *url, char *out, size_t size);
// 1 if both have scheme, host and port in common, 0 if not; a URL that cannot be read is 0.
bool pai_http_same_origin(const char *a, const char *b);
// http or https, and readable by libcurl; else PAI_E_ARG.
int pai_http_check_url(const char *url, bool *loopback, pai_error *err);
char *pai_http_without_user(const char *url); // owned: pai_free; NULL: not a URL or no memory
// url with the query behind it; query may be NULL or begin with '?'. Owned; NULL: no memory.
char *pai_http_with_query(const char *url, const char *query);
int pai_http_escape(pai_buf *out, const char *text, size_t len); // for a query's name or value
// May go to another origin: Accept, Content-Type and the like.
bool pai_http_is_harmless(const char *header);
// A list for libcurl in memory of ours; own_origin false leaves out what must not travel.
int pai_http_make_list(const pai_http_options *o, bool own_origin, bool with_body,
                       struct curl_slist **out);
void pai_http_free_list(struct curl_slist *list); // wipes

#endif
