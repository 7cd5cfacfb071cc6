#pragma once
#include <stddef.h>
#include <stdint.h>

struct cJSON;

/* A JSON text that is one object and nothing else: no text behind it, no key twice, no character 0 (at which cJSON
 * would end a name). Release with cJSON_Delete. NULL with a message that says where. */
struct cJSON *json_object(const char *text, int64_t length, char *message, size_t size);
