/* The loop that reading and writing JSON spend most of their time in. */
#ifndef PAI_JSON_SCAN_H
#define PAI_JSON_SCAN_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

// The first byte from p that is not plain ASCII inside a string: a quote, backslash, control or
// high byte, or end. Reads nothing from end on.
static inline const char *pai_json_plain_end(const char *p, const char *end) {
#ifdef __SSE2__
  const __m128i quote16 = _mm_set1_epi8('"'), slash16 = _mm_set1_epi8('\\');
  const __m128i space16 = _mm_set1_epi8(0x20); // signed, so that high bytes are less too
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit = _mm_or_si128(_mm_cmplt_epi8(v, space16), _mm_cmpeq_epi8(v, quote16));
    int mask = _mm_movemask_epi8(_mm_or_si128(hit, _mm_cmpeq_epi8(v, slash16)));
    if (mask != 0)
      return p + __builtin_ctz((unsigned)mask);
  }
#endif
  const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
  for (; end - p >= 8; p += 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
    if (((v | (v - ones * 0x20) | (quote - ones) | (slash - ones)) & high) != 0)
      break;
  }
  while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
         (unsigned char)*p < 0x80)
    p++;
  return p;
}

#endif
