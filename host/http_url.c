/* URLs, origins and header lists. See http.h. */
#include "http.h"

#include "alloc.h"
#include "mask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static CURLU *parse(const char *url) {
  CURLU *u = curl_url();
  if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK) {
    curl_url_cleanup(u);
    return NULL;
  }
  return u;
}

void pai_http_mask(const char *text, char *out, size_t size) {
  pai_buf masked;
  pai_buf_init(&masked, (size_t)1 << 20);
  // a secret must not be cut in half before it is looked for
  int rc = pai_mask_text(NULL, text, strlen(text), &masked, NULL);
  snprintf(out, size, "%.*s", rc < 0 ? 0 : (int)masked.len, rc < 0 ? "" : masked.data);
  pai_buf_free(&masked);
}

void pai_http_show_url(const char *url, char *out, size_t size) {
  char *whole = NULL;
  CURLU *u = parse(url);
  bool user = false;
  if (u != NULL) {
    char *name = NULL;
    user = curl_url_get(u, CURLUPART_USER, &name, 0) == CURLUE_OK;
    curl_free(name);
    curl_url_set(u, CURLUPART_USER, user ? "***" : NULL, 0);
    curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(u, CURLUPART_QUERY, NULL, 0);
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    curl_url_get(u, CURLUPART_URL, &whole, 0);
  }
  pai_http_mask(whole != NULL ? whole : "(not a URL)", out, size);
  curl_free(whole);
  curl_url_cleanup(u);
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part) {
  char *x = NULL, *y = NULL;
  bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;
  curl_free(x);
  curl_free(y);
  return same;
}

bool pai_http_same_origin(const char *a, const char *b) {
  CURLU *x = parse(a), *y = parse(b);
  bool same = x != NULL && y != NULL && same_part(x, y, CURLUPART_SCHEME) &&
              same_part(x, y, CURLUPART_HOST) && same_part(x, y, CURLUPART_PORT);
  curl_url_cleanup(x);
  curl_url_cleanup(y);
  return same;
}

static bool is_loopback(CURLU *u) {
  char *host = NULL;
  bool is = curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
            (strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
             strcmp(host, "[::1]") == 0);
  curl_free(host);
  return is;
}

// Whether text from here to end is what a URL may have without being changed or looked at closer.
static bool is_plain(const char *p, const char *end, const char *also) {
  for (; p < end; p++)
    if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9') &&
        strchr(also, *p) == NULL)
      return false;
  return true;
}

// Most URLs are a name, or 127.0.0.1, with a plain path: for them libcurl's parser, which reads the
// URL once more for the request, has nothing to add. A name is one whose last part begins with a
// letter, as no way to write an address does.
static bool is_usual(const char *url, bool *loopback) {
  size_t skip = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
  const char *host = url + skip, *end = host + strcspn(host, ":/");
  const char *path = end + (*end == ':' ? 1 + strspn(end + 1, "0123456789") : 0);
  if (skip == 0 || host == end || end - host > 253 || *path != '/' || path - end > 6)
    return false;
  if (path > end + 1 && strtol(end + 1, NULL, 10) > 65535)
    return false;
  const char *last = end;
  while (last > host && last[-1] != '.')
    last--;
  bool home = end - host == 9 && memcmp(host, "127.0.0.1", 9) == 0;
  bool name = (*last >= 'a' && *last <= 'z') || (*last >= 'A' && *last <= 'Z');
  if ((!home && !name) || !is_plain(host, end, "-.") ||
      !is_plain(path, path + strlen(path), "-._~/?&=%,:+"))
    return false;
  *loopback = home || (end - host == 9 && strncasecmp(host, "localhost", 9) == 0);
  return true;
}

int pai_http_check_url(const char *url, bool *loopback, pai_error *err) {
  if (is_usual(url, loopback))
    return 0;
  CURLU *u = parse(url);
  char *scheme = NULL;
  bool fits = u != NULL && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
  *loopback = fits && is_loopback(u);
  curl_free(scheme);
  curl_url_cleanup(u);
  if (fits)
    return 0;
  char shown[120];
  pai_http_show_url(url, shown, sizeof shown);
  return pai_error_set(err, PAI_E_ARG, "%s: not an http or https URL", shown);
}

char *pai_http_without_user(const char *url) {
  CURLU *u = parse(url);
  if (u == NULL)
    return NULL;
  char *whole = NULL, *copy = NULL;
  curl_url_set(u, CURLUPART_USER, NULL, 0);
  curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
  if (curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK)
    copy = pai_strndup(whole, strlen(whole));
  curl_free(whole);
  curl_url_cleanup(u);
  return copy;
}

char *pai_http_with_query(const char *url, const char *query) {
  if (query == NULL)
    return pai_strndup(url, strlen(url));
  if (*query == '?')
    query++;
  size_t size = strlen(url) + strlen(query) + 2;
  char *whole = pai_alloc(size);
  if (whole != NULL)
    snprintf(whole, size, "%s%c%s", url, strchr(url, '?') != NULL ? '&' : '?', query);
  return whole;
}

int pai_http_escape(pai_buf *out, const char *text, size_t len) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)text[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 (c != '\0' && strchr("-._~", c) != NULL);
    char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
    int rc = plain ? pai_buf_add(out, &text[i], 1) : pai_buf_add(out, coded, 3);
    if (rc < 0)
      return rc;
  }
  return 0;
}

bool pai_http_is_harmless(const char *header) {
  static const char *const names[] = {
      "accept", "accept-language", "content-type", "user-agent", "range", "if-none-match", NULL};
  for (const char *const *n = names; *n != NULL; n++)
    if (strcasecmp(*n, header) == 0)
      return true;
  return false;
}

// One block holds libcurl's node and the text, so that freeing the list can wipe it.
typedef struct node {
  struct curl_slist item;
  size_t wipe; // bytes of text to wipe
  char text[];
} node;

// A value of NULL leaves the header out, also where libcurl would add it.
static int add_node(struct curl_slist ***tail, const pai_http_header *h) {
  // libcurl's ways to say "without this header" and "with an empty value"
  const char *between = h->value == NULL ? ":" : h->value_len == 0 ? ";" : ": ";
  size_t before = strlen(h->name) + strlen(between) + strlen(h->prefix);
  node *n = pai_alloc(sizeof *n + before + h->value_len + 1);
  if (n == NULL)
    return PAI_E_NOMEM;
  snprintf(n->text, before + 1, "%s%s%s", h->name, between, h->prefix);
  if (h->value_len > 0)
    memcpy(n->text + before, h->value, h->value_len);
  n->text[before + h->value_len] = '\0';
  n->wipe = h->secret ? before + h->value_len : 0;
  n->item = (struct curl_slist){.data = n->text};
  **tail = &n->item;
  *tail = &n->item.next;
  return 0;
}

// Ours, at the end of a list that has none; never freed. As a line it costs libcurl less than as an
// option.
static char agent_text[] = "User-Agent: pai";
static struct curl_slist agent_line = {.data = agent_text};

void pai_http_free_list(struct curl_slist *list) {
  while (list != NULL && list != &agent_line) {
    node *n = (node *)list;
    list = list->next;
    explicit_bzero(n->text, n->wipe);
    pai_free(n);
  }
}

int pai_http_make_list(const pai_http_options *o, bool own_origin, bool with_body,
                       struct curl_slist **out) {
  struct curl_slist *list = NULL, **tail = &list;
  bool typed = false, agent = false;
  int rc = 0;
  for (size_t i = 0; i < o->header_count && rc == 0; i++) {
    const pai_http_header *h = &o->headers[i];
    bool is_type = strcasecmp(h->name, "content-type") == 0;
    if (!own_origin && (h->secret || !pai_http_is_harmless(h->name)))
      continue;
    if (is_type && !with_body)
      continue;
    typed = typed || is_type;
    agent = agent || strcasecmp(h->name, "user-agent") == 0;
    rc = add_node(&tail, h);
  }
  // What libcurl would add to a POST or to a body: that it is a form, and that it waits for a 100.
  bool adds = with_body || (o->method != NULL && strcmp(o->method, "POST") == 0);
  static const pai_http_header no_type = {.name = "Content-Type", .prefix = ""};
  static const pai_http_header no_expect = {.name = "Expect", .prefix = ""};
  if (rc == 0 && adds && !typed)
    rc = add_node(&tail, &no_type);
  if (rc == 0 && adds)
    rc = add_node(&tail, &no_expect);
  if (rc == 0 && !agent)
    *tail = &agent_line;
  if (rc < 0) {
    pai_http_free_list(list);
    list = NULL;
  }
  *out = list;
  return rc;
}
