/* Makes marks of a program's NVTX ranges: NVTX loads this library into the program, which needs no change. It depends on
 * the C library alone, since it must live beside whatever the program has loaded. Without a recording it declines, and
 * NVTX's functions stay empty. */
#include "batchscope/mark.h"

#include "telemetry/nvtx/interface.h"

enum { most_nested = 256, longest_text = 400, longest_id = 24 };

/* Named domains and registered strings. They stay: a program that destroys them may still hold the address. */
struct text {
  struct text* older;
  char bytes[longest_text + 1];
};
static struct text* newest_text; /* so that no leak checker calls them lost */

static uint64_t last_range; /* every range has a number, by which its end finds its begin */

/* Ranges that this thread has pushed; a domain's pop ends its own last one. */
static _Thread_local struct {
  int depth; /* may be greater than what is kept */
  struct {
    const struct text* domain;
    uint64_t range;
  } ranges[most_nested];
} pushed;

/* UTF-8 of wide characters, which are code points here. */
static void encode(const wchar_t* from, struct text* to) {
  size_t at = 0;
  for (; *from != L'\0' && at + 4 < sizeof to->bytes; ++from) {
    const uint32_t c = (uint32_t)*from;
    if (c < 0x80) {
      to->bytes[at++] = (char)c;
    } else if (c < 0x800) {
      to->bytes[at++] = (char)(0xc0 | c >> 6);
      to->bytes[at++] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
      to->bytes[at++] = (char)(0xe0 | c >> 12);
      to->bytes[at++] = (char)(0x80 | (c >> 6 & 63));
      to->bytes[at++] = (char)(0x80 | (c & 63));
    } else {
      to->bytes[at++] = (char)(0xf0 | (c >> 18 & 7));
      to->bytes[at++] = (char)(0x80 | (c >> 12 & 63));
      to->bytes[at++] = (char)(0x80 | (c >> 6 & 63));
      to->bytes[at++] = (char)(0x80 | (c & 63));
    }
  }
  to->bytes[at] = '\0';
}

static struct text* new_text(const char* ascii) {
  struct text* out = calloc(1, sizeof *out);
  if (out == NULL) return NULL;
  if (ascii != NULL) strncpy(out->bytes, ascii, longest_text);
  out->older = __atomic_load_n(&newest_text, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(&newest_text, &out->older, out, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
  }
  return out;
}

static struct text* new_wide_text(const wchar_t* wide) {
  struct text* out = new_text(NULL);
  if (out != NULL && wide != NULL) encode(wide, out);
  return out;
}

/* The message of an event, in `room` where it must be made. */
static const char* message_of(const struct nvtx_event_attributes* event, struct text* room) {
  const char* text = NULL;
  if (event == NULL || event->size < sizeof *event) return "(no message)";
  if (event->message_type == nvtx_message_ascii) text = event->message.ascii;
  if (event->message_type == nvtx_message_registered && event->message.registered != NULL)
    text = ((const struct text*)event->message.registered)->bytes;
  if (event->message_type == nvtx_message_unicode && event->message.unicode != NULL) {
    encode(event->message.unicode, room);
    text = room->bytes;
  }
  return text != NULL && *text != '\0' ? text : "(no message)";
}

static void tell(const char* kind, uint64_t range, const char* name, const struct text* domain) {
  char id[longest_id] = "";
  const long long now = batchscope_now();
  if (range != 0) snprintf(id, sizeof id, "%llu", (unsigned long long)range);
  batchscope_send(kind, now, now, "", id, name, domain != NULL ? domain->bytes : "");
}

static uint64_t begin(const struct text* domain, const char* name) {
  const uint64_t range = __atomic_add_fetch(&last_range, 1, __ATOMIC_RELAXED);
  tell("begin", range, name, domain);
  return range;
}

/* NVTX counts levels from 0, a domain's apart. */
static int level_in(const struct text* domain) {
  int level = 0;
  for (int i = 0; i < pushed.depth && i < most_nested; ++i) level += pushed.ranges[i].domain == domain;
  return level;
}

static int push(const struct text* domain, const char* name) {
  const int level = level_in(domain);
  if (pushed.depth < most_nested) {
    pushed.ranges[pushed.depth].domain = domain;
    pushed.ranges[pushed.depth].range = begin(domain, name);
  }
  ++pushed.depth;
  return level;
}

static int pop(const struct text* domain) {
  int last;
  if (pushed.depth > most_nested) return --pushed.depth; /* deeper than is kept */
  for (last = pushed.depth - 1; last >= 0 && pushed.ranges[last].domain != domain; --last) {
  }
  if (last < 0) return nvtx_no_push_pop_tracking;
  tell("end", pushed.ranges[last].range, "", NULL);
  --pushed.depth;
  memmove(&pushed.ranges[last], &pushed.ranges[last + 1], sizeof pushed.ranges[0] * (size_t)(pushed.depth - last));
  return level_in(domain);
}

static const char* or_none(const char* name) { return name != NULL && *name != '\0' ? name : "(no message)"; }
static const char* narrow(const wchar_t* name, struct text* room) {
  if (name == NULL) return or_none(NULL);
  encode(name, room);
  return or_none(room->bytes);
}

/* The functions of NVTX. Their names are its own. */
static void mark_ex(const struct nvtx_event_attributes* event) {
  struct text room;
  tell("point", 0, message_of(event, &room), NULL);
}
static void mark_a(const char* name) { tell("point", 0, or_none(name), NULL); }
static void mark_w(const wchar_t* name) {
  struct text room;
  tell("point", 0, narrow(name, &room), NULL);
}
static uint64_t range_start_ex(const struct nvtx_event_attributes* event) {
  struct text room;
  return begin(NULL, message_of(event, &room));
}
static uint64_t range_start_a(const char* name) { return begin(NULL, or_none(name)); }
static uint64_t range_start_w(const wchar_t* name) {
  struct text room;
  return begin(NULL, narrow(name, &room));
}
static void range_end(uint64_t range) { tell("end", range, "", NULL); }
static int range_push_ex(const struct nvtx_event_attributes* event) {
  struct text room;
  return push(NULL, message_of(event, &room));
}
static int range_push_a(const char* name) { return push(NULL, or_none(name)); }
static int range_push_w(const wchar_t* name) {
  struct text room;
  return push(NULL, narrow(name, &room));
}
static int range_pop(void) { return pop(NULL); }

static void domain_mark_ex(const struct text* domain, const struct nvtx_event_attributes* event) {
  struct text room;
  tell("point", 0, message_of(event, &room), domain);
}
static uint64_t domain_range_start_ex(const struct text* domain, const struct nvtx_event_attributes* event) {
  struct text room;
  return begin(domain, message_of(event, &room));
}
static void domain_range_end(const struct text* domain, uint64_t range) {
  (void)domain;
  range_end(range);
}
static int domain_range_push_ex(const struct text* domain, const struct nvtx_event_attributes* event) {
  struct text room;
  return push(domain, message_of(event, &room));
}
static const void* domain_register_string_a(const struct text* domain, const char* name) {
  (void)domain;
  return new_text(name);
}
static const void* domain_register_string_w(const struct text* domain, const wchar_t* name) {
  (void)domain;
  return new_wide_text(name);
}

static const struct attachment {
  int module, place;
  nvtx_function function;
} attachments[] = {
    {nvtx_module_core, nvtx_mark_ex, (nvtx_function)mark_ex},
    {nvtx_module_core, nvtx_mark_a, (nvtx_function)mark_a},
    {nvtx_module_core, nvtx_mark_w, (nvtx_function)mark_w},
    {nvtx_module_core, nvtx_range_start_ex, (nvtx_function)range_start_ex},
    {nvtx_module_core, nvtx_range_start_a, (nvtx_function)range_start_a},
    {nvtx_module_core, nvtx_range_start_w, (nvtx_function)range_start_w},
    {nvtx_module_core, nvtx_range_end, (nvtx_function)range_end},
    {nvtx_module_core, nvtx_range_push_ex, (nvtx_function)range_push_ex},
    {nvtx_module_core, nvtx_range_push_a, (nvtx_function)range_push_a},
    {nvtx_module_core, nvtx_range_push_w, (nvtx_function)range_push_w},
    {nvtx_module_core, nvtx_range_pop, (nvtx_function)range_pop},
    {nvtx_module_core2, nvtx_domain_mark_ex, (nvtx_function)domain_mark_ex},
    {nvtx_module_core2, nvtx_domain_range_start_ex, (nvtx_function)domain_range_start_ex},
    {nvtx_module_core2, nvtx_domain_range_end, (nvtx_function)domain_range_end},
    {nvtx_module_core2, nvtx_domain_range_push_ex, (nvtx_function)domain_range_push_ex},
    {nvtx_module_core2, nvtx_domain_range_pop, (nvtx_function)pop},
    {nvtx_module_core2, nvtx_domain_register_string_a, (nvtx_function)domain_register_string_a},
    {nvtx_module_core2, nvtx_domain_register_string_w, (nvtx_function)domain_register_string_w},
    {nvtx_module_core2, nvtx_domain_create_a, (nvtx_function)new_text},
    {nvtx_module_core2, nvtx_domain_create_w, (nvtx_function)new_wide_text},
};

/* Each library that uses NVTX has tables of its own, and calls this once. */
__attribute__((visibility("default"))) int InitializeInjectionNvtx2(nvtx_get_export_table get_export_table) {
  const struct nvtx_callbacks* callbacks = get_export_table(nvtx_callbacks_table);
  if (batchscope_socket() < 0 || callbacks == NULL || callbacks->struct_size < sizeof *callbacks) return 0;
  for (size_t i = 0; i < sizeof attachments / sizeof *attachments; ++i) {
    nvtx_function_table table = NULL;
    unsigned int size = 0;
    const struct attachment* one = &attachments[i];
    if (callbacks->get_module_function_table(one->module, &table, &size) == 0 || table == NULL) continue;
    if ((unsigned)one->place < size) *table[one->place] = one->function;
  }
  return 1;
}
