/* Rules, and what they find in a block of text and its views. See scan.h. */
#include "scan.h"

#include "alloc.h"
#include "digest.h"
#include "scan_priv.h"

#include <stdio.h>
#include <string.h>

#define MATCH_LIMIT 200000    // steps of one attempt
#define HEAP_LIMIT 4096       // KiB, where there is no JIT
#define STACK_MAX (512 << 10) // bytes, of the JIT
#define LABEL_MAX 48          // bytes of a label, its quotes and blanks
#define NEAR 64               // bytes
#define LINE_REACH 2048       // bytes to either side that are looked at for a comment
#define ID_MAX 64             // bytes
#define LEVELS 3              // of escapes

static void free_rule(pai_scan_compiled *c) {
  pai_free((void *)(uintptr_t)c->rule.id);
  for (size_t i = 0; i < c->rule.near_count && c->rule.near != NULL; i++)
    pai_free((void *)(uintptr_t)c->rule.near[i]);
  pai_free((void *)(uintptr_t)c->rule.near);
  pcre2_code_free(c->code);
  *c = (pai_scan_compiled){0};
}

pai_scan *pai_scan_new(const char *salt, size_t salt_len) {
  pai_scan *s = pai_calloc(1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->salt = pai_strndup(salt, salt_len);
  s->salt_len = salt_len;
  s->data = pcre2_match_data_create(2, NULL);
  s->context = pcre2_match_context_create(NULL);
  s->stack = pcre2_jit_stack_create(32 << 10, STACK_MAX, NULL);
  s->hashed = pai_alloc(salt_len + ID_MAX + PAI_SCAN_SPAN_MAX + 2);
  s->decoded = pai_alloc(PAI_SCAN_SPAN_MAX);
  if (s->salt == NULL || s->data == NULL || s->context == NULL || s->hashed == NULL ||
      s->decoded == NULL) {
    pai_scan_free(s);
    return NULL;
  }
  pcre2_set_match_limit(s->context, MATCH_LIMIT);
  pcre2_set_heap_limit(s->context, HEAP_LIMIT);
  if (s->stack != NULL)
    pcre2_jit_stack_assign(s->context, NULL, s->stack);
  return s;
}

void pai_scan_free(pai_scan *s) {
  if (s == NULL)
    return;
  for (uint32_t i = 0; i < s->count; i++)
    free_rule(&s->rules[i]);
  pai_free(s->rules);
  pai_scan_filter_free(&s->filter);
  pai_free(s->run_rules);
  pcre2_match_data_free(s->data);
  pcre2_match_context_free(s->context);
  if (s->stack != NULL)
    pcre2_jit_stack_free(s->stack);
  pai_free(s->salt);
  for (size_t i = 0; i < PAI_SCAN_VIEWS; i++)
    pai_scan_view_free(&s->views[i]);
  pai_free(s->matches);
  pai_free(s->ranges.items);
  pai_free(s->scratch[0].items);
  pai_free(s->scratch[1].items);
  pai_free(s->hashed);
  pai_free(s->decoded);
  pai_free(s->block);
  pai_free(s->cover);
  pai_free(s);
}

/* ---- adding a rule ---- */

static int check_rule(const pai_scan *s, const pai_scan_rule *r, pai_error *err) {
  size_t id = strlen(r->id);
  if (id == 0 || id > ID_MAX || strspn(r->id, "abcdefghijklmnopqrstuvwxyz0123456789-") != id)
    return pai_error_set(err, PAI_E_ARG, "rule \"%.80s\": its id is not of a-z, 0-9 and -", r->id);
  if (s->count >= PAI_SCAN_RULES_MAX)
    return pai_error_set(err, PAI_E_LIMIT, "more than %d rules", PAI_SCAN_RULES_MAX);
  if (r->keyword_count == 0 && !r->runs)
    return pai_error_set(err, PAI_E_ARG, "rule %s: it has no keyword", r->id);
  for (size_t i = 0; i < r->keyword_count; i++) {
    size_t n = strlen(r->keywords[i]);
    if (n < PAI_SCAN_KEYWORD_MIN || n > PAI_SCAN_KEYWORD_MAX)
      return pai_error_set(err, PAI_E_ARG, "rule %s: the keyword \"%.80s\" has not %d to %d bytes",
                           r->id, r->keywords[i], PAI_SCAN_KEYWORD_MIN, PAI_SCAN_KEYWORD_MAX);
  }
  for (uint32_t i = 0; i < s->count; i++)
    if (strcmp(s->rules[i].rule.id, r->id) == 0)
      return pai_error_set(err, PAI_E_ARG, "rule %s: there is one of this id", r->id);
  return 0;
}

static int compile(pai_scan_compiled *c, const pai_scan_rule *r, pai_error *err) {
  int code;
  size_t at;
  uint32_t groups = 0;
  c->code = pcre2_compile((PCRE2_SPTR)r->pattern, PCRE2_ZERO_TERMINATED,
                          PCRE2_ANCHORED | PCRE2_NO_START_OPTIMIZE | PCRE2_NEVER_BACKSLASH_C |
                              PCRE2_NEVER_UTF,
                          &code, &at, NULL);
  if (c->code == NULL) {
    char why[120] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
    return pai_error_set(err, PAI_E_ARG, "rule %s: the expression is wrong at byte %zu: %s", r->id,
                         at, why);
  }
  pcre2_pattern_info(c->code, PCRE2_INFO_CAPTURECOUNT, &groups);
  if (groups != 1)
    return pai_error_set(err, PAI_E_ARG, "rule %s: the expression has %u groups, not one", r->id,
                         groups);
  c->jit = pcre2_jit_compile(c->code, PCRE2_JIT_COMPLETE) == 0;
  return 0;
}

static int copy_rule(pai_scan_compiled *c, const pai_scan_rule *r) {
  c->rule = *r;
  c->rule.pattern = NULL;
  c->rule.keywords = NULL;
  c->rule.near = NULL;
  c->rule.id = pai_strndup(r->id, strlen(r->id));
  const char **near = pai_calloc(r->near_count + 1, sizeof *near);
  c->rule.near = near;
  if (c->rule.id == NULL || near == NULL)
    return PAI_E_NOMEM;
  for (size_t i = 0; i < r->near_count; i++) {
    near[i] = pai_strndup(r->near[i], strlen(r->near[i]));
    if (near[i] == NULL)
      return PAI_E_NOMEM;
  }
  return 0;
}

static int make_room(pai_scan *s) {
  if (s->count < s->cap)
    return 0;
  uint32_t cap = s->cap == 0 ? 64 : s->cap * 2;
  pai_scan_compiled *rules = pai_realloc(s->rules, cap * sizeof *rules);
  if (rules == NULL)
    return PAI_E_NOMEM;
  s->rules = rules;
  uint32_t *run_rules = pai_realloc(s->run_rules, cap * sizeof *run_rules);
  if (run_rules == NULL)
    return PAI_E_NOMEM;
  s->run_rules = run_rules;
  s->cap = cap;
  return 0;
}

int pai_scan_add(pai_scan *s, const pai_scan_rule *rule, pai_error *err) {
  int rc = check_rule(s, rule, err);
  if (rc < 0)
    return rc;
  pai_scan_compiled c = {0};
  rc = make_room(s);
  if (rc == 0)
    rc = copy_rule(&c, rule);
  if (rc == 0) {
    rc = compile(&c, rule, err);
    if (rc < 0) {
      free_rule(&c);
      return rc;
    }
  }
  for (size_t i = 0; i < rule->keyword_count && rc == 0; i++)
    rc = pai_scan_filter_add(&s->filter, rule->keywords[i], strlen(rule->keywords[i]), rule->exact,
                             s->count);
  if (rc < 0) { // keywords of a rule that is not there are passed over
    free_rule(&c);
    return pai_error_set(err, rc, "rule %s: out of memory", rule->id);
  }
  if (rule->runs)
    s->run_rules[s->run_count++] = s->count;
  s->rules[s->count++] = c;
  return 0;
}

/* ---- a match ---- */

// What a keyword is looked at in: a text, and the views it was made through, the last one first.
typedef struct look {
  pai_scan *s;
  const uint8_t *text;
  size_t len;
  const pai_scan_view *views[LEVELS + 1];
  size_t view_count;
  size_t labelled_at; // + 1: of the keyword that is_label was asked about last
  bool labelled;
} look;

static bool is_near(const pai_scan_rule *r, const uint8_t *text, size_t at) {
  size_t from = at > NEAR ? at - NEAR : 0, end = at + PAI_SCAN_KEYWORD_MIN; // it begins within
  for (size_t i = 0; i < r->near_count; i++)
    if (pai_scan_holds(text + from, end - from, r->near[i]))
      return true;
  return r->near_count == 0;
}

static bool ends_line(const uint8_t *text, size_t at) {
  return text[at] == '\n' || (text[at] == 'n' && at > 0 && text[at - 1] == '\\');
}

static bool has_comment(const uint8_t *text, size_t len, size_t from, size_t end) {
  size_t a = from, b = end;
  while (a > 0 && from - a < LINE_REACH && !ends_line(text, a - 1))
    a--;
  while (b < len && b - end < LINE_REACH && !ends_line(text, b))
    b++;
  return pai_scan_holds(text + a, b - a, "pai-scan:allow") ||
         pai_scan_holds(text + a, b - a, "gitleaks:allow");
}

static uint64_t fingerprint(pai_scan *s, const char *id, const uint8_t *value, size_t len) {
  unsigned char digest[PAI_SHA256_LEN];
  uint8_t *p = s->hashed;
  size_t id_len = strlen(id);
  if (len > PAI_SCAN_SPAN_MAX)
    len = PAI_SCAN_SPAN_MAX;
  memcpy(p, s->salt, s->salt_len);
  p += s->salt_len;
  *p++ = '\0';
  memcpy(p, id, id_len);
  p += id_len;
  *p++ = '\0';
  memcpy(p, value, len);
  pai_sha256(s->hashed, (size_t)(p - s->hashed) + len, digest);
  uint64_t v = 0;
  for (int i = 0; i < 8; i++)
    v = v << 8 | digest[i];
  return v;
}

// Where the value stands in the block itself, in s->scratch[*last].
static int map_back(const look *l, pai_scan_range value, size_t *last) {
  pai_scan *s = l->s;
  *last = 0;
  s->scratch[0].count = 0;
  int rc = pai_scan_ranges_add(&s->scratch[0], value.from, value.end);
  for (size_t v = 0; v < l->view_count && rc >= 0; v++) {
    const pai_scan_ranges *from = &s->scratch[*last];
    pai_scan_ranges *to = &s->scratch[*last ^ 1];
    to->count = 0;
    for (size_t i = 0; i < from->count && rc >= 0; i++)
      rc = pai_scan_view_map(l->views[v], from->items[i], to);
    *last ^= 1;
  }
  return rc;
}

static int add_ranges(pai_scan *s, const pai_scan_ranges *from) {
  pai_scan_ranges *to = &s->ranges;
  if (to->count + from->count > to->cap) {
    size_t cap = (to->count + from->count) * 2;
    pai_scan_range *items = pai_realloc(to->items, cap * sizeof *items);
    if (items == NULL)
      return PAI_E_NOMEM;
    to->items = items;
    to->cap = cap;
  }
  memcpy(to->items + to->count, from->items, from->count * sizeof *from->items);
  to->count += from->count;
  return 0;
}

static int add_match(const look *l, uint32_t rule, pai_scan_range value, bool low) {
  pai_scan *s = l->s;
  const pai_scan_rule *r = &s->rules[rule].rule;
  if (s->match_count == s->match_cap) {
    uint32_t cap = s->match_cap == 0 ? 64 : s->match_cap * 2;
    pai_scan_match *matches = pai_realloc(s->matches, cap * sizeof *matches);
    if (matches == NULL)
      return PAI_E_NOMEM;
    s->matches = matches;
    s->match_cap = cap;
  }
  size_t last;
  int rc = map_back(l, value, &last);
  pai_scan_match m = {.rule = rule,
                      .low = low,
                      .first = (uint32_t)s->ranges.count,
                      .count = (uint32_t)s->scratch[last].count,
                      .length = value.end - value.from};
  if (rc >= 0)
    rc = add_ranges(s, &s->scratch[last]);
  if (rc < 0 || m.count == 0)
    return rc;
  m.commented = has_comment(l->text, l->len, value.from, value.end);
  m.fingerprint = fingerprint(s, r->id, l->text + value.from, m.length);
  for (uint32_t i = 0; i < r->shown && i < PAI_SCAN_SHOWN_MAX && i < m.length / 4; i++) {
    uint8_t c = l->text[value.from + i];
    m.shown[i] = c > 0x20 && c < 0x7f ? (char)c : '?';
  }
  s->matches[s->match_count++] = m;
  return 0;
}

static int on_keyword(void *ud, uint32_t rule, size_t at);

// Whether the rules find something in what the value decodes to.
static bool is_nested(const look *l, pai_scan_range value) {
  pai_scan *s = l->s;
  size_t len = value.end - value.from;
  if (s->in_nested || len > PAI_SCAN_SPAN_MAX)
    return false;
  int64_t n = pai_scan_base64(l->text + value.from, len, s->decoded);
  if (n <= 0)
    return false;
  look inner = {.s = s, .text = s->decoded, .len = (size_t)n};
  s->in_nested = true;
  s->nested_found = false;
  pai_scan_filter_run(&s->filter, s->decoded, (size_t)n, (pai_scan_range){0, (uint32_t)n},
                      on_keyword, &inner);
  s->in_nested = false;
  return s->nested_found;
}

// at_keyword: the words that must be near stand before it.
static int try_rule(const look *l, uint32_t rule, size_t start, size_t at_keyword) {
  pai_scan *s = l->s;
  const pai_scan_compiled *c = &s->rules[rule];
  int rc = c->jit ? pcre2_jit_match(c->code, l->text, l->len, start, 0, s->data, s->context)
                  : pcre2_match(c->code, l->text, l->len, start, 0, s->data, s->context);
  if (rc == PCRE2_ERROR_NOMATCH)
    return 0;
  if (rc < 0) {
    s->limited++;
    return 0;
  }
  const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
  if (at[2] == PCRE2_UNSET || at[3] <= at[2] || !is_near(&c->rule, l->text, at_keyword))
    return 0;
  pai_scan_range found = {(uint32_t)at[2], (uint32_t)at[3]};
  pai_scan_value value = {.text = l->text, .len = l->len, .from = found.from, .end = found.end};
  pai_scan_verdict verdict = pai_scan_judge(&c->rule, &value);
  if (verdict == PAI_SCAN_NO || (c->rule.check == PAI_SCAN_CHECK_NESTED && !is_nested(l, found)))
    return 0;
  if (s->in_nested) {
    s->nested_found = true;
    return PAI_E_LIMIT; // one is enough
  }
  return add_match(l, rule, found, verdict == PAI_SCAN_LOW);
}

// Whether words, quotes and blanks from here on end in ':' or '='. Remembers its last answer.
static bool is_label(look *l, size_t at) {
  if (l->labelled_at == at + 1)
    return l->labelled;
  size_t p = at, end = at + LABEL_MAX < l->len ? at + LABEL_MAX : l->len;
  static const bool word[256] = {
      ['.'] = true,         ['-'] = true, ['_'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true,
      ['a' ... 'z'] = true, [' '] = true, ['"'] = true, ['\''] = true,        ['\\'] = true};
  while (p < end && word[l->text[p]])
    p++;
  l->labelled_at = at + 1;
  l->labelled = p < end && (l->text[p] == ':' || l->text[p] == '=');
  return l->labelled;
}

static int on_keyword(void *ud, uint32_t rule, size_t at) {
  look *l = ud;
  if (rule >= l->s->count)
    return 0;
  const pai_scan_rule *r = &l->s->rules[rule].rule;
  if (r->label && !is_label(l, at))
    return 0;
  return at < r->before ? 0 : try_rule(l, rule, at - r->before, at);
}

static int on_run(void *ud, uint32_t rule, size_t at) {
  const look *l = ud;
  int rc = 0;
  for (rule = 0; rule < l->s->run_count && rc >= 0; rule++)
    rc = try_rule(l, l->s->run_rules[rule], at, at);
  return rc;
}

static int look_at(look *l, pai_scan_range part) {
  if (part.end > l->len)
    part.end = (uint32_t)l->len;
  if (part.from >= part.end)
    return 0;
  int rc = pai_scan_filter_run(&l->s->filter, l->text, l->len, part, on_keyword, l);
  if (rc >= 0 && l->s->run_count > 0)
    rc = pai_scan_runs(l->text, l->len, part, on_run, l);
  return rc;
}

// The parts of `in` that are in none of `without`; both are in order.
static int look_outside(look *l, pai_scan_range in, const pai_scan_ranges *without, size_t *at) {
  int rc = 0;
  while (*at < without->count && without->items[*at].end <= in.from)
    ++*at;
  for (size_t i = *at; i < without->count && without->items[i].from < in.end && rc >= 0; i++) {
    if (without->items[i].from > in.from)
      rc = look_at(l, (pai_scan_range){in.from, without->items[i].from});
    if (without->items[i].end > in.from)
      in.from = without->items[i].end;
  }
  return rc < 0 ? rc : look_at(l, in);
}

// Every place is looked at once: in the text if no escape is near, else in the first view in which
// none is left near it.
static int look_through(pai_scan *s, look *l) {
  static const pai_scan_ranges none = {0};
  pai_scan_range whole[1] = {{0, (uint32_t)l->len}};
  pai_scan_ranges here = {whole, 1, 1};
  for (size_t i = 0; i <= LEVELS; i++) {
    int rc = i < LEVELS ? pai_scan_view_unescape(&s->views[i], l->text, l->len) : 0;
    const pai_scan_ranges *deeper = rc > 0 ? &s->views[i].source : &none;
    size_t at = 0;
    for (size_t k = 0; k < here.count && rc >= 0; k++) {
      int looked = look_outside(l, here.items[k], deeper, &at);
      rc = looked < 0 ? looked : rc;
    }
    if (rc <= 0)
      return rc;
    memmove(l->views + 1, l->views, i * sizeof l->views[0]);
    l->views[0] = &s->views[i];
    l->view_count = i + 1;
    l->text = s->views[i].text;
    l->len = s->views[i].len;
    l->labelled_at = 0;
    here = s->views[i].changed;
  }
  return 0;
}

int pai_scan_block(pai_scan *s, const uint8_t *text, size_t len, bool starts, bool events) {
  look l = {.s = s, .text = text, .len = len};
  s->match_count = 0;
  s->ranges.count = 0;
  int rc = pai_scan_filter_ready(&s->filter);
  if (rc >= 0)
    rc = look_through(s, &l);
  for (size_t i = 0; i < 2 && events && rc >= 0; i++) {
    pai_scan_view *v = &s->views[LEVELS + i];
    rc = pai_scan_view_events(v, text, len, starts, i == 0 ? 'o' : 'i');
    if (rc <= 0)
      continue;
    l = (look){.s = s, .text = v->text, .len = v->len, .views = {v}, .view_count = 1};
    rc = look_at(&l, (pai_scan_range){0, (uint32_t)v->len});
  }
  return rc < 0 ? rc : 0;
}
