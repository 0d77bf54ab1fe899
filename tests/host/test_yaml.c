/* Scalars beside their schemas, texts that are not terminated, and the binding without memory. */
#include "nomem_run.h"
#include "yaml_io.h"

#include <math.h>
#include <stdlib.h>

int luaopen_pai_yaml(lua_State *L);

// Resolves a copy without room behind it, so that the sanitizer sees a byte too many.
static pai_yaml_scalar resolve(pai_yaml_schema schema, const char *text) {
  size_t len = strlen(text);
  char *exact = malloc(len != 0 ? len : 1);
  pai_yaml_scalar value = {0};
  if (exact == NULL)
    return value;
  memcpy(exact, text, len);
  pai_yaml_resolve(schema, exact, len, &value);
  free(exact);
  return value;
}

static void core(void) {
  CHECK(resolve(PAI_YAML_CORE, "12").integer == 12);
  CHECK(resolve(PAI_YAML_CORE, "-9223372036854775808").integer == INT64_MIN);
  CHECK(resolve(PAI_YAML_CORE, "9223372036854775808").type == PAI_YAML_FLOAT);
  CHECK(resolve(PAI_YAML_CORE, "0xffffffffffffffff").type == PAI_YAML_FLOAT);
  CHECK(resolve(PAI_YAML_CORE, "0o777").integer == 511);
  CHECK(resolve(PAI_YAML_CORE, "1e400").number == (double)INFINITY);
  CHECK(resolve(PAI_YAML_CORE, "yes").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_CORE, "<<").type == PAI_YAML_MERGE);
  CHECK(resolve(PAI_YAML_CORE, "").type == PAI_YAML_NULL);
  CHECK(resolve(PAI_YAML_CORE, ".").type == PAI_YAML_STRING);
}

static void old(void) {
  CHECK(resolve(PAI_YAML_11, "0777").integer == 511);
  CHECK(resolve(PAI_YAML_11, "0_").integer == 0);
  CHECK(resolve(PAI_YAML_11, "0b_").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, "-1:30").integer == -90);
  CHECK(resolve(PAI_YAML_11, "0.:0.6").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, "1:").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, "1:2:").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, "1.5e+3").number == 1500.0);
  CHECK(resolve(PAI_YAML_11, "2024-05-06").type == PAI_YAML_TIMESTAMP);
  CHECK(resolve(PAI_YAML_11, "2024-5-6").type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, "2024-5-6 1:02:03").type == PAI_YAML_TIMESTAMP);
  CHECK(resolve(PAI_YAML_11, "2024-5-6 1:02:03 ").type == PAI_YAML_STRING);
}

static void long_numbers(void) {
  char digits[1000];
  memset(digits, '1', sizeof digits - 1);
  digits[sizeof digits - 1] = '\0';
  CHECK(resolve(PAI_YAML_CORE, digits).type == PAI_YAML_STRING);
  CHECK(resolve(PAI_YAML_11, digits).type == PAI_YAML_STRING);
  CHECK(!pai_yaml_is_plain(digits, sizeof digits - 1));
  digits[400] = '\0';
  CHECK(resolve(PAI_YAML_CORE, digits).type == PAI_YAML_FLOAT);
  memset(digits, '_', 400);
  digits[0] = '1';
  CHECK(resolve(PAI_YAML_11, digits).integer == 1);
}

static void floats(void) {
  static const double values[] = {0.0,  -0.0,   1.0,    0.1,
                                  1e20, 1e-300, 5e-324, 1.7976931348623157e308};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    char text[48];
    size_t n = pai_yaml_format_float(values[i], text, sizeof text);
    CHECK(n < sizeof text && n == strlen(text));
    CHECK(resolve(PAI_YAML_CORE, text).number == values[i]);
    CHECK(resolve(PAI_YAML_11, text).number == values[i]);
    CHECK(resolve(PAI_YAML_11, text).type == PAI_YAML_FLOAT);
  }
}

static void decode(void) {
  static const char text[] =
      "local text = 'a: &x {k: [1, 2.5, yes, text]}\\nb: {<<: *x, j: |\\n    z\\n  }\\n'\n"
      "local good = 'a: &x {k: [1, 2.5, yes]}\\nb: {<<: *x, j: 2}\\nc: 2024-05-06\\n'\n"
      "m.decode(text)\n"
      "local opts = { schema = '1.1', positions = true, timestamps = 'table' }\n"
      "local v, lines = m.decode(good, opts) if not v then error(lines) end\n"
      "for i = 1, 40 do v['key' .. i] = { i, 'some text', { x = i / 3 } } end\n"
      "local back = assert(m.decode(m.encode({ v, v }, { all = true }), { all = true }))\n"
      "return back[2].key40[1] == 40 and lines['b.j'] == 2 and back[1].b.k[1] == 1";
  nomem_each(&(nomem_test){"pai.yaml", luaopen_pai_yaml, "", text}, 300, 160);
}

int main(void) {
  RUN(core);
  RUN(old);
  RUN(long_numbers);
  RUN(floats);
  RUN(decode);
  return finish();
}
