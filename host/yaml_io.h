/* YAML over libyaml's events: scalar resolution under two schemas, a reader that names line and
 * column, a writer of block style. No tree is built here; the binding turns events into Lua values
 * as they come. The file is not yaml.h because libyaml's own header is. */
#ifndef PAI_YAML_IO_H
#define PAI_YAML_IO_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

typedef enum pai_yaml_schema {
  PAI_YAML_CORE, // YAML 1.2 core
  PAI_YAML_11    // YAML 1.1 as PyYAML's safe_load resolves it
} pai_yaml_schema;

typedef enum pai_yaml_type {
  PAI_YAML_STRING,
  PAI_YAML_NULL,
  PAI_YAML_BOOL,
  PAI_YAML_INT,
  PAI_YAML_FLOAT,
  PAI_YAML_TIMESTAMP, // only in 1.1
  PAI_YAML_MERGE      // the plain text <<
} pai_yaml_type;

typedef struct pai_yaml_scalar {
  pai_yaml_type type;
  bool boolean;
  int64_t integer;
  double number;
} pai_yaml_scalar;

// What a plain, untagged scalar is. An integer that 64 bits cannot hold becomes a float.
void pai_yaml_resolve(pai_yaml_schema schema, const char *text, size_t len, pai_yaml_scalar *out);
// The same for a scalar with an explicit tag (full form). False: the tag is not known or the text
// does not fit it.
bool pai_yaml_resolve_tag(pai_yaml_schema schema, const char *tag, const char *text, size_t len,
                          pai_yaml_scalar *out);
// Whether every reader takes this text, unquoted, as a string.
bool pai_yaml_is_plain(const char *text, size_t len);
// The shortest text that reads back as the same float under both schemas; returns its length.
size_t pai_yaml_format_float(double value, char *out, size_t size);

typedef struct pai_yaml_reader { // zero it first
  yaml_parser_t parser;
  yaml_event_t event; // the current one
  const char *text;   // borrowed
  size_t len;
  bool has_parser;
  bool has_event;
  size_t line;   // of the last error, from 1
  size_t column; // from 1
} pai_yaml_reader;

// text is borrowed until pai_yaml_reader_free.
int pai_yaml_reader_init(pai_yaml_reader *r, const char *text, size_t len, pai_error *err);
int pai_yaml_reader_next(pai_yaml_reader *r, pai_error *err); // frees the event before
void pai_yaml_reader_free(pai_yaml_reader *r);                // safe at any time, also twice
// Fills err with "line L, column C: " and the message, for the place where the event begins.
int pai_yaml_reader_fail(pai_yaml_reader *r, int code, pai_error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

typedef struct pai_yaml_writer { // zero it first
  yaml_emitter_t emitter;
  pai_buf *out;
  bool has_emitter;
  size_t documents;
} pai_yaml_writer;

int pai_yaml_writer_init(pai_yaml_writer *w, pai_buf *out, pai_error *err); // out: borrowed
int pai_yaml_writer_document(pai_yaml_writer *w, bool begin, pai_error *err);
int pai_yaml_writer_map(pai_yaml_writer *w, bool begin, pai_error *err);
int pai_yaml_writer_list(pai_yaml_writer *w, bool begin, pai_error *err);
// A string, quoted or as a literal block where it must be.
int pai_yaml_writer_string(pai_yaml_writer *w, const char *text, size_t len, pai_error *err);
// A number, a boolean or null, as it stands.
int pai_yaml_writer_plain(pai_yaml_writer *w, const char *text, pai_error *err);
int pai_yaml_writer_finish(pai_yaml_writer *w, pai_error *err); // out holds the whole text
void pai_yaml_writer_free(pai_yaml_writer *w);

#endif
