/* The clients in front of the proxy: send requests, and check every byte that comes back. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

enum { READ_ROOM = 256 * 1024, HEAD_ROOM = 32 * 1024, DIGITS = 7 };

struct Client {
    Channel channel; /* the first field: its Watched is the client's connection */
    Stream *stream;
    uint64_t started;
    int port;
    bool connected, busy, begin;
    char *partial; /* a head that is not whole yet */
    size_t partial_size;
    bool in_body;
    Head head;
    Chunked chunked;
    size_t body; /* bytes of it so far */
};

static char buffer[READ_ROOM];

static void ready(Watched *, uint32_t events);

uint64_t client_started(const Client *client) { return client->started; }

static void open_socket(Client *client, size_t receive_buffer) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)client->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("no more sockets: raise the limit of open files");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (receive_buffer > 0) {
        int size = (int)receive_buffer;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    client->channel.watched = (Watched){.fd = fd, .ready = ready};
    client->connected = false;
    loop_add(&client->channel.watched, EPOLLIN | EPOLLOUT);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        run_failed("cannot connect to the proxy: %s", strerror(errno));
    }
}

Client *client_open(int port, Stream *stream, size_t receive_buffer) {
    Client *client = calloc(1, sizeof *client);
    if (client == NULL) die("out of memory");
    client->stream = stream;
    client->port = port;
    open_socket(client, receive_buffer);
    return client;
}

void client_close(Client *client) {
    channel_close(&client->channel);
    free(client->partial);
    client->partial = NULL;
    loop_free_later(client);
}

static void send_request(Client *client) {
    bool sent;
    client->begin = false;
    client->in_body = false;
    client->partial_size = 0;
    client->body = 0;
    if (client->stream != NULL) {
        char number[DIGITS + 1];
        snprintf(number, sizeof number, "%0*u", DIGITS,
                 (unsigned)(client->stream - streams) % 10000000u);
        memcpy(run.request.data + run.stream_at, number, DIGITS);
    }
    sent = channel_write(&client->channel, run.request.data, run.request.size);
    if (!sent) run_failed("the proxy closed a connection while it was sent a request");
}

void client_begin(Client *client, uint64_t started) {
    client->started = started;
    client->busy = client->begin = true;
    if (client->connected) send_request(client);
}

/* What the stream's next frame must be; NULL = nothing more. */
static const Bytes *expected(const Stream *stream) {
    const Frames *found = &frames[stream->variant];
    if (stream->seen >= stream->sent) return NULL;
    if (stream->seen == 0) return &found->frame[0];
    if (stream->tail_at == 0 || stream->seen < stream->tail_at) {
        return &found->frame[1 + (stream->seen - 1) % found->contents];
    }
    /* Of the tail the client sees the finish and [DONE]: it did not ask for the usage. */
    bool done = stream->seen > stream->tail_at;
    return &found->frame[1 + found->contents + (done ? found->tail - 1 : 0)];
}

static void saw(Stream *stream) {
    bool content = stream->seen > 0 && (stream->tail_at == 0 || stream->seen < stream->tail_at);
    stream->seen++;
    run_seen(stream, content);
}

static bool check_frames(Stream *stream, const char *data, size_t size) {
    while (size > 0) {
        if (stream->comment || (stream->offset == 0 && *data == ':')) {
            /* A heartbeat: a comment line. */
            const char *stop = memchr(data, '\n', size);
            size_t skipped = stop == NULL ? size : (size_t)(stop + 1 - data);
            stream->comment = stop == NULL;
            data += skipped;
            size -= skipped;
            continue;
        }
        const Bytes *frame = expected(stream);
        if (frame == NULL) {
            run_failed("a stream holds more than the provider sent: %.40s", data);
            return false;
        }
        size_t rest = frame->size - stream->offset, count = size < rest ? size : rest;
        if (memcmp(data, frame->data + stream->offset, count) != 0) {
            run_failed("event %llu of a stream is not what the provider sent",
                       (unsigned long long)stream->seen);
            return false;
        }
        data += count;
        size -= count;
        stream->offset += count;
        if (stream->offset == frame->size) {
            stream->offset = 0;
            saw(stream);
            if (run.kind == RESTING) return false;
        }
    }
    return true;
}

/* Of a gateway that writes its own events: counts them, by their blank lines. */
static bool count_frames(Stream *stream, const char *data, size_t size) {
    if (memmem(data, size, "data: [DONE]", 12) != NULL) stream->done_seen = true;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\r') continue;
        if (data[i] == '\n' && stream->last == '\n') {
            saw(stream);
            if (run.kind == RESTING) return false;
        }
        stream->last = data[i];
    }
    return true;
}

static bool body_piece(Client *client, const char *data, size_t size) {
    if (client->stream != NULL) {
        client->body += size;
        return run.exact ? check_frames(client->stream, data, size)
                         : count_frames(client->stream, data, size);
    }
    if (run.exact && (client->body + size > answer.size ||
                      memcmp(data, answer.data + client->body, size) != 0)) {
        run_failed("an answer is not what the provider sent");
        return false;
    }
    client->body += size;
    return true;
}

static bool body_end(Client *client) {
    Stream *stream = client->stream;
    bool whole;
    if (stream == NULL) {
        whole = run.exact ? client->body == answer.size : client->body > 0;
    } else if (run.exact) {
        whole = stream->tail_at > 0 && stream->seen == stream->sent && stream->offset == 0;
    } else {
        whole = stream->tail_at > 0 && stream->done_seen;
    }
    if (!whole) {
        run_failed("a response ended before it was whole (%zu bytes of body)", client->body);
        return false;
    }
    client->busy = false;
    client->in_body = false;
    if (client->head.close) {
        channel_close(&client->channel);
        open_socket(client, 0);
    }
    run_answered(client);
    return run.kind != RESTING && client->channel.watched.fd >= 0;
}

static bool take_body(Client *client, const char **at, const char *end) {
    const char *data;
    size_t size;
    if (!client->head.chunked) {
        size = (size_t)(end - *at);
        if (client->head.length >= 0) {
            size_t rest = (size_t)client->head.length - client->body;
            if (size > rest) size = rest;
        }
        if (size > 0 && !body_piece(client, *at, size)) return false;
        *at += size;
        if (client->head.length >= 0 && client->body == (size_t)client->head.length) {
            return body_end(client);
        }
        return true;
    }
    for (;;) {
        switch (chunked_next(&client->chunked, at, end, &data, &size)) {
        case CHUNK_DATA:
            if (!body_piece(client, data, size)) return false;
            break;
        case CHUNK_END:
            return body_end(client);
        case CHUNK_MORE:
            return true;
        default:
            run_failed("a response's chunked framing is broken");
            return false;
        }
    }
}

static bool take_head(Client *client, const char **at, const char *end) {
    const char *data = *at;
    size_t size = (size_t)(end - *at), before = client->partial_size;
    if (before > 0) {
        if (before + size > HEAD_ROOM) size = HEAD_ROOM - before;
        memcpy(client->partial + before, data, size);
        data = client->partial;
        size += before;
    }
    ssize_t length = http_head(data, size, &client->head);
    if (length < 0 || (length == 0 && size >= HEAD_ROOM)) {
        run_failed("a response's head cannot be read");
        return false;
    }
    if (length == 0) {
        if (client->partial == NULL) client->partial = malloc(HEAD_ROOM);
        if (client->partial == NULL) die("out of memory");
        if (before == 0) memcpy(client->partial, data, size);
        client->partial_size = size;
        *at = end;
        return true;
    }
    if (client->head.status != 200) {
        run_failed("status %d instead of 200", client->head.status);
        return false;
    }
    *at += (size_t)length - before;
    client->partial_size = 0;
    client->in_body = true;
    client->chunked = (Chunked){0};
    return true;
}

/* False when the client is gone, or must not be read on. */
static bool take(Client *client, const char *data, size_t size) {
    const char *at = data, *end = data + size;
    while (at < end) {
        if (!client->busy) {
            run_failed("the proxy sent something that nobody asked for");
            return false;
        }
        if (!(client->in_body ? take_body(client, &at, end) : take_head(client, &at, end))) {
            return false;
        }
    }
    return true;
}

static void closed(Client *client) {
    if (!client->busy) { /* a kept connection that the proxy no longer wants */
        channel_close(&client->channel);
        open_socket(client, 0);
    } else if (client->in_body && !client->head.chunked && client->head.length < 0) {
        client->head.close = true;
        body_end(client);
    } else {
        run_failed("the proxy closed a connection in the middle of a response");
    }
}

/* Reads at most `budget` bytes; returns how many it took. */
size_t client_take(Client *client, size_t budget) {
    size_t taken = 0;
    while (taken < budget && client->channel.watched.fd >= 0) {
        size_t room = budget - taken < READ_ROOM ? budget - taken : READ_ROOM;
        ssize_t count = channel_read(&client->channel, buffer, room);
        if (count == CHANNEL_AGAIN) break;
        if (count <= 0) {
            closed(client);
            break;
        }
        taken += (size_t)count;
        if (!take(client, buffer, (size_t)count) || (size_t)count < room) break;
    }
    return taken;
}

static void ready(Watched *watched, uint32_t events) {
    Client *client = (Client *)watched;
    if (!client->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(watched->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            run_failed("cannot connect to the proxy: %s", strerror(error));
            return;
        }
        client->connected = true;
        /* The slow reader reads when its time has come. */
        loop_mask(watched, run.kind == SLOW ? 0 : EPOLLIN);
        if (client->begin) send_request(client);
        return;
    }
    if ((events & EPOLLOUT) && !channel_flush(&client->channel)) {
        run_failed("the proxy closed a connection while it was sent a request");
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) client_take(client, READ_ROOM);
}
