/* Reads heads and chunked bodies; RFC 9112. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is(const char *line, size_t size, const char *name, const char **value) {
    size_t length = strlen(name);
    if (size <= length || line[length] != ':' || strncasecmp(line, name, length) != 0) return false;
    *value = line + length + 1;
    while (**value == ' ') (*value)++;
    return true;
}

ssize_t http_head(const char *data, size_t size, Head *head) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    *head = (Head){.length = -1};
    if (size > 12 && memcmp(data, "HTTP/1.", 7) == 0) {
        head->status = atoi(data + 9);
        if (head->status < 100) return -1;
    }
    const char *line = memchr(data, '\n', (size_t)(end - data) + 2);
    while (line != NULL && ++line < end) {
        const char *stop = memchr(line, '\r', (size_t)(end - line) + 1);
        size_t length = (size_t)(stop - line);
        const char *value;
        if (is(line, length, "content-length", &value)) {
            head->length = atoll(value);
        } else if (is(line, length, "transfer-encoding", &value)) {
            head->chunked = strncasecmp(value, "chunked", 7) == 0;
        } else if (is(line, length, "connection", &value)) {
            head->close = strncasecmp(value, "close", 5) == 0;
        }
        line = stop + 1;
    }
    return end + 4 - data;
}

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LINE, TRAILER_LF, OVER };

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

ChunkStep chunked_next(Chunked *c, const char **at, const char *end, const char **data,
                       size_t *size) {
    while (*at < end) {
        char byte = **at;
        switch (c->state) {
        case SIZE:
            if (digit(byte) >= 0 && c->digits < 15) {
                c->left = c->left * 16 + (size_t)digit(byte);
                c->digits++;
            } else if (c->digits == 0) {
                return CHUNK_BAD;
            } else {
                c->state = byte == '\r' ? SIZE_LF : byte == ';' ? EXTENSION : OVER;
            }
            (*at)++;
            break;
        case EXTENSION:
            if (byte == '\r') c->state = SIZE_LF;
            (*at)++;
            break;
        case SIZE_LF:
            if (byte != '\n') return CHUNK_BAD;
            c->state = c->left > 0 ? DATA : TRAILER;
            c->digits = 0;
            (*at)++;
            break;
        case DATA:
            *data = *at;
            *size = (size_t)(end - *at) < c->left ? (size_t)(end - *at) : c->left;
            *at += *size;
            c->left -= *size;
            if (c->left == 0) c->state = DATA_CR;
            return CHUNK_DATA;
        case DATA_CR:
            if (byte != '\r') return CHUNK_BAD;
            c->state = DATA_LF;
            (*at)++;
            break;
        case DATA_LF:
            if (byte != '\n') return CHUNK_BAD;
            c->state = SIZE;
            (*at)++;
            break;
        case TRAILER: /* at the beginning of a line */
            c->state = byte == '\r' ? TRAILER_LF : TRAILER_LINE;
            (*at)++;
            break;
        case TRAILER_LINE:
            if (byte == '\n') c->state = TRAILER;
            (*at)++;
            break;
        case TRAILER_LF:
            if (byte != '\n') return CHUNK_BAD;
            *c = (Chunked){0};
            (*at)++;
            return CHUNK_END;
        default:
            return CHUNK_BAD;
        }
    }
    return CHUNK_MORE;
}
