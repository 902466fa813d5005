/* As much of HTTP/1.1 as the two ends of a proxy need. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct Head {
    int status;       /* of a response; 0 = a request */
    long long length; /* -1 = not given */
    bool chunked, close;
} Head;

/* The size of the head that `data` begins with; 0 = not whole yet, -1 = not HTTP. */
ssize_t http_head(const char *data, size_t size, Head *head);

typedef struct Chunked {
    int state, digits;
    size_t left;
} Chunked;

typedef enum { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD } ChunkStep;

/* One step through a chunked body: moves `at`, and hands out a piece of the body with CHUNK_DATA. */
ChunkStep chunked_next(Chunked *, const char **at, const char *end, const char **data, size_t *size);

#endif
