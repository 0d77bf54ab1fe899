/* A bare curl_multi program: http_peer URL COUNT WIDTH [FILE]. It makes COUNT requests, WIDTH at a
 * time, the body dropped or written to FILE, and prints the microseconds of CPU and of the clock
 * that a request took. One request comes before, so that starting is not measured. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double clock_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double cpu_us(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
         (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static size_t take(char *data, size_t size, size_t count, void *ud) {
  return ud != NULL ? fwrite(data, size, count, ud) : size * count;
}

static void run(CURLM *multi, const char *url, long count, long width, FILE *out) {
  long started = 0, done = 0;
  int running, left;
  while (done < count) {
    for (; started < count && started - done < width; started++) {
      CURL *easy = curl_easy_init();
      curl_easy_setopt(easy, CURLOPT_URL, url);
      curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
      curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
      curl_easy_setopt(easy, CURLOPT_WRITEDATA, out);
      curl_multi_add_handle(multi, easy);
    }
    curl_multi_perform(multi, &running);
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)) != NULL; done++) {
      long status = 0;
      CURL *easy = m->easy_handle;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      if (m->data.result != CURLE_OK || status != 200) {
        fprintf(stderr, "http_peer: %s, status %ld\n", curl_easy_strerror(m->data.result), status);
        exit(1);
      }
      curl_multi_remove_handle(multi, easy);
      curl_easy_cleanup(easy);
    }
    if (running > 0)
      curl_multi_poll(multi, NULL, 0, 1000, NULL);
  }
}

int main(int argc, char **argv) {
  if (argc < 4)
    return 2;
  long count = atol(argv[2]), width = atol(argv[3]);
  FILE *out = argc > 4 ? fopen(argv[4], "wb") : NULL;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM *multi = curl_multi_init();
  if (out == NULL)
    run(multi, argv[1], 1, 1, NULL);
  double cpu = cpu_us(), wall = clock_us();
  run(multi, argv[1], count, width, out);
  if (out != NULL && fclose(out) != 0)
    return 1;
  printf("%.1f %.1f\n", (cpu_us() - cpu) / (double)count, (clock_us() - wall) / (double)count);
  curl_multi_cleanup(multi);
  return 0;
}
