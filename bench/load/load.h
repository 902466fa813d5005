/* What the files of the load generator share.
 *
 * One thread, one epoll loop: it is the clients in front of a proxy and the provider (mock) behind
 * it at once, so that it knows without asking what was sent and what arrived. bench/generator.py
 * starts it and speaks the protocol that main.c describes.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "http.h"

/* loop.c: what waits for events, and the clock. */

typedef struct Watched {
    int fd;
    uint32_t mask;
    void (*ready)(struct Watched *, uint32_t events);
} Watched;

void loop_start(void);
void loop_add(Watched *, uint32_t mask);
void loop_mask(Watched *, uint32_t mask);
void loop_remove(Watched *);          /* closes the descriptor */
void loop_free_later(void *);         /* once no event of this turn can name it */
void loop_wake_at(uint64_t ns);       /* the one timer; 0 = never */
noreturn void loop_run(void);
uint64_t now_ns(void);
uint64_t cpu_ns(void);                /* that this process used so far */
noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* channel.c: a non-blocking connection, plain or TLS, that keeps what the socket does not take. */

typedef struct Channel {
    Watched watched; /* the first field: a Watched of a channel is the channel */
    void *ssl;
    char *out;
    size_t out_at, out_size, out_room;
} Channel;

enum { CHANNEL_AGAIN = -1, CHANNEL_BROKEN = -2 };

void tls_start(const char *certificate, const char *key);
bool tls_compiled(void);
bool channel_accept_tls(Channel *);
ssize_t channel_read(Channel *, char *into, size_t room); /* 0 = end of the stream */
bool channel_write(Channel *, const char *data, size_t size);
bool channel_flush(Channel *);
bool channel_empty(const Channel *);
void channel_close(Channel *);

/* payload.c: the bytes that go both ways. bench/payloads.py writes the files. */

typedef struct Bytes {
    char *data;
    size_t size;
} Bytes;

typedef struct Frames {
    Bytes *frame; /* the role, the content events, then the tail: finish, [usage,] [DONE] */
    Bytes *wire;  /* the same in chunked framing */
    Bytes round;  /* all content events once, in chunked framing */
    size_t contents, tail;
} Frames;

enum { PLAIN, WITH_USAGE, MESSAGES }; /* variants of the stream, as the request asked */

extern Frames frames[3];
extern Bytes answer;        /* the body of a unary answer */
extern Bytes answer_wire;   /* with its head */
extern Bytes messages_wire; /* the same from a provider that speaks Anthropic's Messages API */
extern Bytes stream_head;

Bytes payload_file(const char *folder, const char *name);
void payload_load(const char *folder);

/* A stream, seen from both ends. */

typedef struct Client Client;
typedef struct Mock Mock;

typedef struct Stream {
    Mock *mock;
    Client *client;
    uint64_t sent, seen; /* frames, the role included */
    uint64_t tail_at;    /* the number of the finish frame, once the mock sent it */
    uint64_t base_seen;  /* seen when the schedule began */
    uint64_t sent_ns;
    size_t offset; /* within the frame that is arriving */
    int variant;
    bool parked;             /* waits for the run to go on */
    bool comment, done_seen; /* within a heartbeat; [DONE] was there */
    char last;               /* byte of what arrived */
} Stream;

/* mock.c */

int mock_listen(bool tls); /* the port */
void mock_event(Stream *);
void mock_tail(Stream *);
void mock_push(Stream *);
void mock_drop(Stream *);
extern uint64_t mock_pushed; /* bytes of frames that sockets took from mock_push */

/* client.c */

Client *client_open(int port, Stream *, size_t receive_buffer);
void client_begin(Client *, uint64_t started);
size_t client_take(Client *, size_t budget);
void client_close(Client *);
uint64_t client_started(const Client *);

/* main.c: one line of JSON to whoever started us. */

void reply(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* run.c: the workload at work. */

typedef enum { RESTING, UNARY, OPEN, LOCKSTEP, PACED, IDLE, SLOW } Kind;

typedef struct Run {
    Kind kind;
    int port;
    size_t connections;
    double warm, window; /* seconds */
    double rate;         /* a second: requests in all, events a stream; SLOW: bytes */
    uint64_t seed;
    bool exact; /* what arrives must be what was sent, byte for byte */
    Bytes request;
    size_t stream_at; /* where the request names its stream; 0 = nowhere */
} Run;

extern Run run;
extern Stream *streams;

void run_begin(Run);
void run_go(void);
void run_end(void);
void run_tick(void);
void run_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
void run_answered(Client *);           /* a whole response is here */
void run_seen(Stream *, bool content); /* a frame arrived */

/* histogram.c: latencies in nanoseconds, within 3 %. */

void histogram_reset(void);
void histogram_add(uint64_t ns);
double histogram_at(double quantile); /* microseconds */
double histogram_mean(void);

#endif
