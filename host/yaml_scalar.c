/* What a scalar means. The two tables of rules follow their sources to the letter: the core schema
 * of YAML 1.2, and the regular expressions of PyYAML 6 for 1.1 (so `1e3` is a string there, a float
 * needs its point and the exponent its sign). Scanning is by hand: no backtracking, one pass. */
#include "yaml_io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 400 }; // bytes; longer digits are taken as text

typedef struct scan {
  const char *at;
  const char *end;
} scan;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool one_of(const char *text, size_t len, const char *const *words) {
  for (; *words != NULL; words++)
    if (strlen(*words) == len && memcmp(*words, text, len) == 0)
      return true;
  return false;
}

// Skips characters of the class; returns how many there were.
static size_t skip(scan *s, const char *class) {
  const char *start = s->at;
  while (s->at < s->end && *s->at != '\0' && strchr(class, *s->at) != NULL)
    s->at++;
  return (size_t)(s->at - start);
}

static bool take(scan *s, const char *class) {
  if (s->at < s->end && *s->at != '\0' && strchr(class, *s->at) != NULL) {
    s->at++;
    return true;
  }
  return false;
}

#define DIGITS "0123456789"
#define DIGITS_U "0123456789_"

// [eE][-+]?[0-9]+ ; the sign may be obligatory. True also when there is no exponent at all.
static bool exponent(scan *s, bool need_sign) {
  if (!take(s, "eE"))
    return true;
  if (!take(s, "-+") && need_sign)
    return false;
  return skip(s, DIGITS) > 0;
}

static bool set_float(const char *text, size_t len, pai_yaml_scalar *out) {
  char copy[NUMBER_MAX + 1];
  size_t n = 0;
  for (size_t i = 0; i < len; i++)
    if (text[i] != '_')
      copy[n++] = text[i];
  copy[n] = '\0';
  out->type = PAI_YAML_FLOAT;
  out->number = strtod(copy, NULL);
  return true;
}

// The digits of text in base, underscores skipped; without any digit it is no number.
static bool set_int(const char *text, size_t len, unsigned base, bool negative,
                    pai_yaml_scalar *out) {
  uint64_t sum = 0;
  double approx = 0;
  bool exact = true;
  size_t digits = 0;
  for (size_t i = 0; i < len; i++) {
    char c = text[i];
    if (c == '_')
      continue;
    unsigned digit = (unsigned)(is_digit(c) ? c - '0' : (c | 32) - 'a' + 10);
    digits++;
    approx = approx * base + digit;
    exact = exact && sum <= (UINT64_MAX - digit) / base;
    sum = sum * base + digit;
  }
  if (digits == 0)
    return false;
  uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
  if (!exact || sum > limit) {
    // strtod rounds decimals correctly; for other bases the sum is close enough
    if (base == 10)
      set_float(text, len, out);
    else
      out->number = approx;
    out->type = PAI_YAML_FLOAT;
    out->number = negative ? -out->number : out->number;
    return true;
  }
  out->type = PAI_YAML_INT;
  out->integer = (int64_t)(negative ? 0 - sum : sum);
  return true;
}

static bool is_special_float(const char *text, size_t len, pai_yaml_scalar *out) {
  static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
  static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
  bool has_sign = len > 0 && (text[0] == '-' || text[0] == '+');
  size_t sign = has_sign ? 1 : 0;
  out->type = PAI_YAML_FLOAT;
  if (one_of(text + sign, len - sign, inf)) {
    out->number = text[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    return true;
  }
  if (one_of(text, len, nan_words)) {
    out->number = (double)NAN;
    return true;
  }
  return false;
}

static bool core_number(const char *text, size_t len, pai_yaml_scalar *out) {
  scan s = {text, text + len};
  if (len > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
    s.at += 2;
    bool hex = text[1] == 'x';
    skip(&s, hex ? DIGITS "abcdefABCDEF" : "01234567");
    return s.at == s.end && set_int(text + 2, len - 2, hex ? 16 : 8, false, out);
  }
  bool negative = len > 0 && text[0] == '-';
  take(&s, "-+");
  const char *digits = s.at;
  size_t whole = skip(&s, DIGITS);
  if (s.at == s.end)
    return whole > 0 && set_int(digits, whole, 10, negative, out);
  size_t fraction = take(&s, ".") ? skip(&s, DIGITS) : 0;
  if (whole + fraction > 0 && exponent(&s, false) && s.at == s.end)
    return set_float(text, len, out);
  return is_special_float(text, len, out);
}

// [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+ with an optional .[0-9_]* : base 60, integer or float.
static bool old_sexagesimal(const char *text, size_t len, pai_yaml_scalar *out) {
  scan s = {text, text + len};
  bool negative = take(&s, "-+") && text[0] == '-';
  const char *first = s.at;
  if (s.at == s.end || !is_digit(*s.at) || skip(&s, DIGITS_U) == 0)
    return false;
  pai_yaml_scalar part;
  set_float(first, (size_t)(s.at - first), &part);
  double value = part.number;
  double before = 0; // without the last part
  const char *last = NULL;
  while (take(&s, ":")) {
    last = s.at;
    size_t n = skip(&s, DIGITS);
    if (n == 0 || n > 2 || (n == 2 && *last > '5'))
      return false;
    set_float(last, n, &part);
    before = value * 60;
    value = before + part.number;
  }
  if (last == NULL)
    return false;
  bool is_float = take(&s, ".");
  if (is_float) {
    skip(&s, DIGITS_U);
    set_float(last, (size_t)(s.at - last), &part);
    value = before + part.number;
  }
  if (s.at != s.end || (!is_float && *first == '0'))
    return false;
  out->type = PAI_YAML_FLOAT;
  out->number = negative ? -value : value;
  if (!is_float && value < 9007199254740992.0) { // below 2^53 the sum is exact
    out->type = PAI_YAML_INT;
    out->integer = (int64_t)out->number;
  }
  return true;
}

static bool old_float(const char *text, size_t len, pai_yaml_scalar *out) {
  scan s = {text, text + len};
  bool has_sign = take(&s, "-+");
  bool whole = s.at < s.end && is_digit(*s.at);
  if (whole)
    skip(&s, DIGITS_U);
  if (!take(&s, "."))
    return false;
  if (!whole && (has_sign || s.at == s.end || !is_digit(*s.at)))
    return is_special_float(text, len, out);
  skip(&s, DIGITS_U);
  return exponent(&s, true) && s.at == s.end && set_float(text, len, out);
}

static bool old_int(const char *text, size_t len, pai_yaml_scalar *out) {
  scan s = {text, text + len};
  bool negative = take(&s, "-+") && text[0] == '-';
  const char *body = s.at;
  size_t rest = (size_t)(s.end - s.at);
  if (rest == 0 || !is_digit(*body))
    return false;
  if (rest == 1 || *body != '0') {
    skip(&s, DIGITS_U);
    return s.at == s.end && set_int(body, rest, 10, negative, out);
  }
  unsigned base = body[1] == 'b' ? 2 : body[1] == 'x' ? 16 : 8;
  s.at += base == 8 ? 1 : 2;
  const char *digits = s.at;
  skip(&s, base == 2 ? "01_" : base == 16 ? DIGITS_U "abcdefABCDEF" : "01234567_");
  if (s.at != s.end)
    return false;
  // "0_" has no digit after the zero and is zero
  if (base == 8)
    digits = body;
  return set_int(digits, (size_t)(s.end - digits), base, negative, out);
}

static bool digits_between(scan *s, size_t least, size_t most) {
  size_t n = skip(s, DIGITS);
  return n >= least && n <= most;
}

static bool is_timestamp(const char *text, size_t len) {
  scan s = {text, text + len};
  if (!digits_between(&s, 4, 4) || !take(&s, "-"))
    return false;
  const char *month = s.at;
  if (!digits_between(&s, 1, 2) || !take(&s, "-") || !digits_between(&s, 1, 2))
    return false;
  if (s.at == s.end)
    return s.end - month == 5;
  if (!take(&s, "Tt") && skip(&s, " \t") == 0)
    return false;
  if (!digits_between(&s, 1, 2) || !take(&s, ":") || !digits_between(&s, 2, 2) || !take(&s, ":") ||
      !digits_between(&s, 2, 2))
    return false;
  if (take(&s, "."))
    skip(&s, DIGITS);
  if (s.at == s.end)
    return true;
  skip(&s, " \t");
  if (take(&s, "Z"))
    return s.at == s.end;
  if (!take(&s, "-+") || !digits_between(&s, 1, 2))
    return false;
  return s.at == s.end || (take(&s, ":") && digits_between(&s, 2, 2) && s.at == s.end);
}

static bool is_bool(pai_yaml_schema schema, const char *text, size_t len, pai_yaml_scalar *out) {
  static const char *const yes[] = {"true", "True", "TRUE", NULL};
  static const char *const no[] = {"false", "False", "FALSE", NULL};
  static const char *const old_yes[] = {"yes", "Yes", "YES", "on", "On", "ON", NULL};
  static const char *const old_no[] = {"no", "No", "NO", "off", "Off", "OFF", NULL};
  if (len < 2 || len > 5)
    return false;
  bool old = schema == PAI_YAML_11;
  out->type = PAI_YAML_BOOL;
  out->boolean = one_of(text, len, yes) || (old && one_of(text, len, old_yes));
  return out->boolean || one_of(text, len, no) || (old && one_of(text, len, old_no));
}

static bool is_null(const char *text, size_t len) {
  static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
  return len <= 4 && one_of(text, len, words);
}

static bool number(pai_yaml_schema schema, const char *text, size_t len, pai_yaml_scalar *out) {
  if (len > NUMBER_MAX)
    return false;
  if (schema == PAI_YAML_CORE)
    return core_number(text, len, out);
  if (old_float(text, len, out) || old_int(text, len, out))
    return true;
  return memchr(text, ':', len) != NULL && old_sexagesimal(text, len, out);
}

void pai_yaml_resolve(pai_yaml_schema schema, const char *text, size_t len, pai_yaml_scalar *out) {
  out->type = PAI_YAML_STRING;
  if (len == 0) {
    out->type = PAI_YAML_NULL;
    return;
  }
  switch (text[0]) {
  case '~':
  case 'n':
  case 'N':
  case 'y':
  case 'Y':
  case 't':
  case 'T':
  case 'f':
  case 'F':
  case 'o':
  case 'O':
    if (is_null(text, len))
      out->type = PAI_YAML_NULL;
    else if (!is_bool(schema, text, len, out))
      out->type = PAI_YAML_STRING;
    return;
  case '<':
    if (len == 2 && text[1] == '<')
      out->type = PAI_YAML_MERGE;
    return;
  case '-':
  case '+':
  case '.':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9':
    if (number(schema, text, len, out))
      return;
    out->type =
        schema == PAI_YAML_11 && is_timestamp(text, len) ? PAI_YAML_TIMESTAMP : PAI_YAML_STRING;
    return;
  default:
    return;
  }
}

bool pai_yaml_resolve_tag(pai_yaml_schema schema, const char *tag, const char *text, size_t len,
                          pai_yaml_scalar *out) {
  static const char prefix[] = "tag:yaml.org,2002:";
  out->type = PAI_YAML_STRING;
  if (strcmp(tag, "!") == 0)
    return true;
  if (strncmp(tag, prefix, sizeof prefix - 1) != 0)
    return false;
  const char *name = tag + sizeof prefix - 1;
  if (strcmp(name, "str") == 0)
    return true;
  pai_yaml_resolve(schema, text, len, out);
  if (strcmp(name, "float") == 0 && out->type == PAI_YAML_INT) {
    out->type = PAI_YAML_FLOAT;
    out->number = (double)out->integer;
  }
  static const struct {
    const char *name;
    pai_yaml_type type;
  } types[] = {
      {"null", PAI_YAML_NULL},   {"bool", PAI_YAML_BOOL},           {"int", PAI_YAML_INT},
      {"float", PAI_YAML_FLOAT}, {"timestamp", PAI_YAML_TIMESTAMP}, {"merge", PAI_YAML_MERGE}};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (strcmp(name, types[i].name) == 0)
      return out->type == types[i].type;
  return false;
}

bool pai_yaml_is_plain(const char *text, size_t len) {
  static const char *const others[] = {"y", "Y", "n", "N", "=", NULL};
  pai_yaml_scalar value;
  if (len == 0 || one_of(text, len, others))
    return false;
  pai_yaml_resolve(PAI_YAML_CORE, text, len, &value);
  if (value.type != PAI_YAML_STRING)
    return false;
  pai_yaml_resolve(PAI_YAML_11, text, len, &value);
  // digits that are too many for us are still a number to others
  return value.type == PAI_YAML_STRING &&
         !(len > NUMBER_MAX && (is_digit(text[0]) || strchr("+-.", text[0]) != NULL));
}

size_t pai_yaml_format_float(double value, char *out, size_t size) {
  if (isnan(value))
    return (size_t)snprintf(out, size, ".nan");
  if (isinf(value))
    return (size_t)snprintf(out, size, value < 0 ? "-.inf" : ".inf");
  char digits[40];
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value)
      break;
  }
  // 1.1 wants a point, also before an exponent
  const char *e = strchr(digits, 'e');
  int head = e != NULL ? (int)(e - digits) : (int)strlen(digits);
  const char *point = memchr(digits, '.', (size_t)head) != NULL ? "" : ".0";
  return (size_t)snprintf(out, size, "%.*s%s%s", head, digits, point, e != NULL ? e : "");
}
