/* The event loop: epoll, one timer, and the clock. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { BATCH = 256 };

static int epoll;
static Watched timer;
static void **graveyard;
static size_t buried, room;

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t cpu_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void timer_ready(Watched *watched, uint32_t events) {
    uint64_t expirations;
    (void)events;
    if (read(watched->fd, &expirations, sizeof expirations) > 0) run_tick();
}

void loop_start(void) {
    epoll = epoll_create1(EPOLL_CLOEXEC);
    timer = (Watched){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                      .ready = timer_ready};
    if (epoll < 0 || timer.fd < 0) die("epoll or timerfd is missing");
    loop_add(&timer, EPOLLIN);
}

void loop_add(Watched *watched, uint32_t mask) {
    struct epoll_event event = {.events = mask, .data.ptr = watched};
    watched->mask = mask;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, watched->fd, &event) != 0) die("epoll_ctl failed");
}

void loop_mask(Watched *watched, uint32_t mask) {
    if (watched->mask == mask || watched->fd < 0) return;
    struct epoll_event event = {.events = mask, .data.ptr = watched};
    watched->mask = mask;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, watched->fd, &event) != 0) die("epoll_ctl failed");
}

void loop_remove(Watched *watched) {
    if (watched->fd < 0) return;
    close(watched->fd);
    watched->fd = -1;
    watched->ready = NULL;
}

void loop_free_later(void *memory) {
    if (buried == room) {
        room = room ? room * 2 : 64;
        graveyard = realloc(graveyard, room * sizeof *graveyard);
        if (graveyard == NULL) die("out of memory");
    }
    graveyard[buried++] = memory;
}

void loop_wake_at(uint64_t ns) {
    struct itimerspec when = {0};
    when.it_value.tv_sec = (time_t)(ns / 1000000000u);
    when.it_value.tv_nsec = (long)(ns % 1000000000u);
    timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_run(void) {
    struct epoll_event events[BATCH];
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait failed");
        for (int i = 0; i < count; i++) {
            Watched *watched = events[i].data.ptr;
            if (watched->ready != NULL) watched->ready(watched, events[i].events);
        }
        while (buried > 0) free(graveyard[--buried]);
    }
}
