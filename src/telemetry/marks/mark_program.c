/* Writes marks as C programs do, for marks_test.cc: mark_program [COUNT] writes COUNT points more at the end. */
#include "batchscope/mark.h"

int main(int count, char** arguments) {
  const int more = count > 1 ? atoi(arguments[1]) : 0;
  int i, sent;
  errno = 7;
  batchscope_begin("outer");
  batchscope_begin("inner");
  batchscope_mark("a\tpoint");
  batchscope_end("inner");
  batchscope_end("outer");
  sent = batchscope_begin("left open");
  for (i = 0; i < more; ++i) batchscope_mark("more");
  return errno == 7 && sent == 1 ? 0 : 1;
}
