/* The provider behind the proxy: answers requests, and sends streams as the run says. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "load.h"

enum { READ_ROOM = 64 * 1024, BACKLOG = 4096 };

static const char PATH[] = "POST /v1/chat/completions ";
static const char MESSAGES_PATH[] = "POST /v1/messages ";

struct Mock {
    Channel channel; /* the first field: its Watched is the mock's connection */
    char *in;
    size_t size, room;
    size_t head_size; /* of the request that is arriving; 0 = its head is not whole */
    Head head;
    Chunked chunked;
    size_t decoded, scanned; /* of a chunked body: bytes of it, and bytes looked at */
    Stream *stream;
    bool pushing;
};

uint64_t mock_pushed;

static void ready(Watched *, uint32_t events);

static void drop(Mock *mock) {
    if (mock->stream != NULL) {
        mock->stream->mock = NULL;
        mock->stream = NULL;
    }
    channel_close(&mock->channel);
    free(mock->in);
    mock->in = NULL;
    loop_free_later(mock);
}

void mock_drop(Stream *stream) {
    if (stream->mock != NULL) drop(stream->mock);
}

static bool send_frame(Mock *mock, size_t index) {
    Bytes wire = frames[mock->stream->variant].wire[index];
    return channel_write(&mock->channel, wire.data, wire.size);
}

static size_t content_index(Stream *stream) {
    return 1 + (size_t)((stream->sent - 1) % frames[stream->variant].contents);
}

void mock_event(Stream *stream) {
    Mock *mock = stream->mock;
    if (mock == NULL) {
        run_failed("the proxy left a stream that its client still reads");
        return;
    }
    size_t index = content_index(stream);
    stream->sent++;
    if (!send_frame(mock, index)) drop(mock);
}

/* Ends a stream as providers do: a finish, the usage if the request asked for it, [DONE]. */
void mock_tail(Stream *stream) {
    Mock *mock = stream->mock;
    if (mock == NULL) {
        run_failed("the proxy left a stream that its client still reads");
        return;
    }
    const Frames *found = &frames[stream->variant];
    stream->tail_at = stream->sent;
    stream->sent += 2;
    bool sound = true;
    for (size_t i = 0; sound && i < found->tail; i++) {
        sound = send_frame(mock, 1 + found->contents + i);
    }
    sound = sound && channel_write(&mock->channel, "0\r\n\r\n", 5);
    mock->stream = NULL;
    stream->mock = NULL;
    if (!sound) drop(mock);
}

/* Sends content events as fast as the socket takes them, from where it stopped. */
void mock_push(Stream *stream) {
    enum { LIMIT = 50 * 1000 * 1000 };
    Mock *mock = stream->mock;
    if (mock == NULL) return;
    mock->pushing = true;
    Bytes round = frames[stream->variant].round;
    while (channel_empty(&mock->channel) && mock_pushed < LIMIT) {
        stream->sent += frames[stream->variant].contents;
        mock_pushed += round.size;
        if (!channel_write(&mock->channel, round.data, round.size)) {
            drop(mock);
            return;
        }
    }
}

static bool asks_usage(const char *body, size_t size) {
    static const char KEY[] = "\"include_usage\"";
    const char *at = memmem(body, size, KEY, sizeof KEY - 1);
    if (at == NULL) return false;
    for (at += sizeof KEY - 1; *at == ' ' || *at == ':'; at++) {
    }
    return *at == 't';
}

/* The stream that a request names in the field `key`; NULL = none of this run. */
static Stream *named_stream(const char *body, size_t size, const char *key) {
    const char *at = body, *end = body + size;
    /* The same word may be a value, as in a message's role, and come first. */
    do {
        at = memmem(at, (size_t)(end - at), key, strlen(key));
        if (at == NULL) return NULL;
        at += strlen(key);
        while (*at == ' ') at++;
    } while (*at != ':');
    while (*at == ' ' || *at == ':' || *at == '"') at++;
    size_t number = *at == 's' ? (size_t)strtoul(at + 1, NULL, 10) : run.connections;
    return number < run.connections ? &streams[number] : NULL;
}

static bool respond(Mock *mock, char *body, size_t size) {
    bool unary = run.kind == UNARY || run.kind == OPEN || run.kind == RESTING;
    bool messages = memcmp(mock->in, MESSAGES_PATH, sizeof MESSAGES_PATH - 1) == 0;
    if (!messages && memcmp(mock->in, PATH, sizeof PATH - 1) != 0) {
        static const char NONE[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return channel_write(&mock->channel, NONE, sizeof NONE - 1);
    }
    if (unary && messages) {
        return channel_write(&mock->channel, messages_wire.data, messages_wire.size);
    }
    if (unary) {
        size_t expected = run.request.size;
        if (run.kind != RESTING && run.exact &&
            (size > expected || memcmp(body, run.request.data + expected - size, size) != 0)) {
            run_failed("the provider got another request body than the client sent");
        }
        return channel_write(&mock->channel, answer_wire.data, answer_wire.size);
    }
    /* A byte behind the body stands for the end of the string. */
    char behind = body[size];
    body[size] = 0;
    Stream *stream = named_stream(body, size, messages ? "\"user_id\"" : "\"user\"");
    bool usage = asks_usage(body, size);
    body[size] = behind;
    if (stream == NULL || stream->mock != NULL) {
        run_failed("the provider got a stream request that names no stream of this run");
        return false;
    }
    mock->stream = stream;
    mock->pushing = false;
    stream->mock = mock;
    stream->variant = messages ? MESSAGES : usage ? WITH_USAGE : PLAIN;
    stream->sent = 1;
    stream->sent_ns = now_ns();
    return channel_write(&mock->channel, stream_head.data, stream_head.size) && send_frame(mock, 0);
}

static bool reserve(Mock *mock, size_t room) {
    if (mock->room >= room) return true;
    char *grown = realloc(mock->in, room);
    if (grown == NULL) return false;
    mock->in = grown;
    mock->room = room;
    return true;
}

/* The size of the request's body as it stands in memory, once it is whole; -1 before, -2 broken. */
static ssize_t body_ready(Mock *mock, size_t *consumed) {
    if (!mock->head.chunked) {
        size_t length = mock->head.length > 0 ? (size_t)mock->head.length : 0;
        *consumed = mock->head_size + length;
        return mock->size >= *consumed ? (ssize_t)length : -1;
    }
    /* Decoded in place: the body moves to the front of its framing. */
    char *front = mock->in + mock->head_size;
    const char *at = mock->in + mock->scanned, *data;
    size_t size;
    for (;;) {
        switch (chunked_next(&mock->chunked, &at, mock->in + mock->size, &data, &size)) {
        case CHUNK_DATA:
            memmove(front + mock->decoded, data, size);
            mock->decoded += size;
            break;
        case CHUNK_END:
            *consumed = (size_t)(at - mock->in);
            return (ssize_t)mock->decoded;
        case CHUNK_MORE:
            mock->scanned = (size_t)(at - mock->in);
            return -1;
        default:
            return -2;
        }
    }
}

static bool take_requests(Mock *mock) {
    for (;;) {
        if (mock->head_size == 0) {
            ssize_t size = http_head(mock->in, mock->size, &mock->head);
            if (size < 0) return false;
            if (size == 0) return mock->size < READ_ROOM;
            mock->head_size = mock->scanned = (size_t)size;
            mock->decoded = 0;
            mock->chunked = (Chunked){0};
        }
        size_t consumed;
        ssize_t size = body_ready(mock, &consumed);
        if (size == -2) return false;
        if (size < 0) {
            size_t body = mock->head.length > 0 ? (size_t)mock->head.length : mock->size;
            return reserve(mock, mock->head_size + body + READ_ROOM);
        }
        if (!respond(mock, mock->in + mock->head_size, (size_t)size)) return false;
        mock->size -= consumed;
        if (mock->size > 0) memmove(mock->in, mock->in + consumed, mock->size);
        mock->head_size = 0;
        if (mock->size == 0) return true;
    }
}

static void ready(Watched *watched, uint32_t events) {
    Mock *mock = (Mock *)watched;
    if (events & EPOLLOUT) {
        if (!channel_flush(&mock->channel)) {
            drop(mock);
            return;
        }
        if (mock->pushing && mock->stream != NULL) mock_push(mock->stream);
        if (watched->fd < 0) return;
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
    for (;;) {
        size_t room = mock->room - mock->size - 1;
        ssize_t count = channel_read(&mock->channel, mock->in + mock->size, room);
        if (count == CHANNEL_AGAIN) return;
        if (count <= 0) {
            drop(mock);
            return;
        }
        mock->size += (size_t)count;
        if (!take_requests(mock)) {
            drop(mock);
            return;
        }
        if (mock->channel.ssl == NULL && (size_t)count < room) return;
    }
}

static void accept_all(Watched *watched, bool tls) {
    for (;;) {
        int fd = accept4(watched->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        Mock *mock = calloc(1, sizeof *mock);
        if (mock == NULL) die("out of memory");
        mock->channel.watched = (Watched){.fd = fd, .ready = ready};
        if (!reserve(mock, READ_ROOM)) die("out of memory");
        loop_add(&mock->channel.watched, EPOLLIN);
        if (tls && !channel_accept_tls(&mock->channel)) drop(mock);
    }
}

static void accept_plain(Watched *watched, uint32_t events) {
    (void)events;
    accept_all(watched, false);
}

static void accept_tls(Watched *watched, uint32_t events) {
    (void)events;
    accept_all(watched, true);
}

int mock_listen(bool tls) {
    static Watched listeners[2];
    Watched *listener = &listeners[tls];
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    listener->ready = tls ? accept_tls : accept_plain;
    if (bind(listener->fd, (struct sockaddr *)&address, size) != 0 ||
        listen(listener->fd, BACKLOG) != 0 ||
        getsockname(listener->fd, (struct sockaddr *)&address, &size) != 0) {
        die("cannot listen on 127.0.0.1");
    }
    loop_add(listener, EPOLLIN);
    return ntohs(address.sin_port);
}
