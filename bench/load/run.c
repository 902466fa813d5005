/* The workload at work: what is sent when, and what is counted.
 *
 * A run warms up, comes to rest ("ready"), runs its window, comes to rest again ("done"), and ends
 * what is open ("ended"). While it rests nothing is under way in the proxy, so whoever reads the
 * proxy's CPU time then reads exactly what the counted units cost.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define SECOND 1e9

enum { OPENING = 64, IDLE_EVENTS = 3, SLOW_BUFFER = 64 * 1024 };
static const double PATIENCE = 10.0; /* seconds for what should take milliseconds */
static const uint64_t SLOW_TICK = 10 * 1000 * 1000;

typedef enum { STILL, WARMING, READY, RUNNING, DONE, ENDING } Phase;

Run run;
Stream *streams;

static Client **clients, **free_clients;
static size_t opened, answered, parked, free_count;
static Phase phase;
static uint64_t started, started_cpu, stop_at, deadline, next_at, random_state;
static uint64_t units, taken;
static double interval;
static uint64_t schedule_base, schedule_sent, schedule_seen;
static uint64_t *waiting; /* scheduled times of requests that found no free connection */
static size_t waiting_at, waiting_size, waiting_room;

static uint64_t after(double seconds) { return now_ns() + (uint64_t)(seconds * SECOND); }

static void arm(void) {
    loop_wake_at(next_at != 0 && next_at < deadline ? next_at : deadline);
}

static void clean(void) {
    for (size_t i = 0; i < opened; i++) {
        if (streams != NULL) mock_drop(&streams[i]);
        if (clients[i] != NULL) client_close(clients[i]);
    }
    loop_free_later(clients);
    loop_free_later(free_clients);
    if (streams != NULL) loop_free_later(streams);
    clients = free_clients = NULL;
    streams = NULL;
    opened = 0;
    run.kind = RESTING;
    phase = STILL;
    loop_wake_at(0);
}

void run_failed(const char *format, ...) {
    if (run.kind == RESTING) return;
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *at = text; *at; at++) {
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\') *at = '\'';
    }
    reply("{\"state\":\"failed\",\"error\":\"%s\"}", text);
    clean();
}

static void rest(void) {
    next_at = 0;
    if (phase == WARMING) {
        phase = READY;
        loop_wake_at(0);
        reply("{\"state\":\"ready\"}");
        return;
    }
    double seconds = (double)(now_ns() - started) / SECOND;
    phase = DONE;
    loop_wake_at(0);
    reply("{\"state\":\"done\",\"units\":%llu,\"seconds\":%.6f,\"load_cpu\":%.4f,"
          "\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f,"
          "\"pushed\":%llu,\"taken\":%llu}",
          (unsigned long long)units, seconds,
          (double)(cpu_ns() - started_cpu) / SECOND / seconds, histogram_mean(), histogram_at(0.5),
          histogram_at(0.9), histogram_at(0.99), histogram_at(1), (unsigned long long)mock_pushed,
          (unsigned long long)taken);
}

static void open_client(size_t receive_buffer) {
    size_t i = opened++;
    Stream *stream = streams == NULL ? NULL : &streams[i];
    clients[i] = client_open(run.port, stream, receive_buffer);
    if (run.kind == RESTING) return;
    if (stream != NULL) stream->client = clients[i];
    client_begin(clients[i], now_ns());
}

void run_begin(Run wanted) {
    if (phase != STILL) clean();
    free(run.request.data);
    run = wanted;
    bool streaming = run.kind != UNARY && run.kind != OPEN;
    clients = calloc(run.connections, sizeof *clients);
    free_clients = calloc(run.connections, sizeof *free_clients);
    streams = streaming ? calloc(run.connections, sizeof *streams) : NULL;
    if (clients == NULL || free_clients == NULL || (streaming && streams == NULL)) {
        die("out of memory");
    }
    answered = parked = free_count = 0;
    units = taken = mock_pushed = 0;
    next_at = 0;
    waiting_at = waiting_size = 0;
    interval = run.kind == PACED ? SECOND / (run.rate * (double)run.connections) : 0;
    random_state = run.seed * 2 + 1;
    phase = WARMING;
    started = now_ns();
    stop_at = after(run.warm);
    deadline = after(run.warm + PATIENCE);
    if (run.kind == IDLE || run.kind == SLOW) {
        rest();
        return;
    }
    arm();
    for (size_t i = 0; i < run.connections && run.kind != RESTING; i++) open_client(0);
}

static void schedule_start(double seconds) {
    schedule_base = now_ns();
    stop_at = after(seconds);
    schedule_sent = schedule_seen = 0;
    for (size_t i = 0; i < run.connections; i++) streams[i].base_seen = streams[i].seen;
    next_at = schedule_base;
    arm();
}

static double uniform(void) { /* xorshift64*, in (0, 1] */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (double)((random_state * 0x2545F4914F6CDD1Dull >> 11) + 1) / 9007199254740992.0;
}

static void next_arrival(void) { next_at += (uint64_t)(-log(uniform()) * SECOND / run.rate); }

static void lockstep_next(Stream *stream, uint64_t now) {
    stream->parked = false;
    stream->sent_ns = now;
    mock_event(stream);
}

void run_go(void) {
    if (phase != READY) {
        run_failed("go before ready");
        return;
    }
    phase = RUNNING;
    histogram_reset();
    units = parked = 0;
    started_cpu = cpu_ns();
    started = now_ns();
    stop_at = after(run.window);
    deadline = after(run.window + (run.kind == IDLE ? 2 : 1) * PATIENCE);
    switch (run.kind) {
    case UNARY:
        for (size_t i = 0; i < run.connections && run.kind != RESTING; i++) {
            client_begin(clients[i], now_ns());
        }
        break;
    case OPEN:
        next_at = started;
        next_arrival();
        break;
    case LOCKSTEP:
        for (size_t i = 0; i < run.connections && run.kind != RESTING; i++) {
            lockstep_next(&streams[i], now_ns());
        }
        break;
    case PACED:
        schedule_start(run.window);
        break;
    case IDLE:
        while (opened < run.connections && opened < OPENING && run.kind != RESTING) open_client(0);
        break;
    case SLOW:
        open_client(SLOW_BUFFER);
        next_at = started + SLOW_TICK;
        break;
    default:
        break;
    }
    if (run.kind != RESTING) arm();
}

void run_end(void) {
    if (run.kind == RESTING) {
        reply("{\"state\":\"ended\"}");
        return;
    }
    phase = ENDING;
    answered = 0;
    deadline = after(PATIENCE);
    arm();
    if (run.kind == LOCKSTEP || run.kind == PACED || run.kind == IDLE) {
        for (size_t i = 0; i < opened && run.kind != RESTING; i++) mock_tail(&streams[i]);
        return;
    }
    clean();
    reply("{\"state\":\"ended\"}");
}

static bool drained(void) { return free_count == run.connections && waiting_at == waiting_size; }

static void open_loop_answered(Client *client, uint64_t now) {
    if (waiting_at < waiting_size) {
        client_begin(client, waiting[waiting_at++]);
        return;
    }
    free_clients[free_count++] = client;
    if (now >= stop_at && drained()) rest();
}

void run_answered(Client *client) {
    uint64_t now = now_ns();
    if (phase == ENDING) {
        if (++answered == opened) {
            clean();
            reply("{\"state\":\"ended\"}");
        }
        return;
    }
    if (streams != NULL) {
        run_failed("a stream ended before its time");
        return;
    }
    if (phase == RUNNING) {
        units++;
        histogram_add(now - client_started(client));
    }
    if (run.kind == OPEN && phase == RUNNING) {
        open_loop_answered(client, now);
    } else if (now < stop_at) {
        client_begin(client, now);
    } else {
        free_clients[free_count++] = client;
        if (++parked == run.connections) {
            if (run.kind == UNARY) free_count = 0;
            rest();
        }
    }
}

static void lockstep_seen(Stream *stream, bool content, uint64_t now) {
    if (phase == RUNNING && content) {
        units++;
        histogram_add(now - stream->sent_ns);
    }
    if (stream->seen < stream->sent || stream->parked) return;
    if (now < stop_at) {
        lockstep_next(stream, now);
        return;
    }
    stream->parked = true;
    if (++parked == run.connections) rest();
}

static void paced_seen(Stream *stream, bool content, uint64_t now) {
    if (!content) {
        if (stream->seen == 1 && ++parked == run.connections) schedule_start(run.warm);
        return;
    }
    uint64_t nth = stream->seen - 1 - stream->base_seen;
    uint64_t number = nth * run.connections + (uint64_t)(stream - streams);
    uint64_t due = schedule_base + (uint64_t)((double)number * interval);
    schedule_seen++;
    if (phase == RUNNING) {
        units++;
        histogram_add(now > due ? now - due : 0);
    }
    if (schedule_seen >= schedule_sent && next_at == 0) rest();
}

void run_seen(Stream *stream, bool content) {
    if (phase == ENDING || phase == DONE) return;
    switch (run.kind) {
    case LOCKSTEP:
        lockstep_seen(stream, content, now_ns());
        break;
    case PACED:
        paced_seen(stream, content, now_ns());
        break;
    case IDLE:
        units++;
        if (stream->seen == 1) {
            for (int i = 0; i < IDLE_EVENTS && run.kind != RESTING; i++) mock_event(stream);
        } else if (stream->seen == 1 + IDLE_EVENTS) {
            if (opened < run.connections) open_client(0);
            if (++parked == run.connections) rest();
        }
        break;
    case SLOW:
        units++;
        if (stream->seen == 1) mock_push(stream);
        break;
    default:
        break;
    }
}

static void wait_for_client(uint64_t scheduled) {
    if (waiting_size == waiting_room) {
        waiting_room = waiting_room ? 2 * waiting_room : 1024;
        waiting = realloc(waiting, waiting_room * sizeof *waiting);
        if (waiting == NULL) die("out of memory");
    }
    waiting[waiting_size++] = scheduled;
}

static void open_loop_tick(uint64_t now) {
    while (next_at != 0 && next_at <= now && run.kind != RESTING) {
        if (next_at >= stop_at) {
            next_at = 0;
            if (drained()) rest();
            return;
        }
        if (free_count > 0) {
            client_begin(free_clients[--free_count], next_at);
        } else {
            wait_for_client(next_at);
        }
        next_arrival();
    }
}

static void paced_tick(uint64_t now) {
    while (next_at != 0 && next_at <= now && run.kind != RESTING) {
        if (next_at >= stop_at) {
            next_at = 0;
            if (schedule_seen >= schedule_sent) rest();
            return;
        }
        mock_event(&streams[schedule_sent % run.connections]);
        schedule_sent++;
        next_at = schedule_base + (uint64_t)((double)schedule_sent * interval);
    }
}

static void slow_tick(uint64_t now) {
    taken += client_take(clients[0], (size_t)(run.rate * (double)SLOW_TICK / SECOND));
    if (run.kind == RESTING) return;
    next_at = now + SLOW_TICK;
    if (now >= stop_at) rest();
}

void run_tick(void) {
    if (run.kind == RESTING) return;
    uint64_t now = now_ns();
    if (now >= deadline) {
        run_failed("no end in sight: %zu of %zu at rest after %.0f s", parked, run.connections,
                   (double)(now - started) / SECOND);
        return;
    }
    if (run.kind == OPEN && phase == RUNNING) open_loop_tick(now);
    if (run.kind == PACED && (phase == WARMING || phase == RUNNING)) paced_tick(now);
    if (run.kind == SLOW && phase == RUNNING) slow_tick(now);
    if (run.kind != RESTING && phase != READY && phase != DONE) arm();
}
