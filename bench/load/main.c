/* The load generator's door: commands on stdin, one line of JSON on stdout for each.
 *
 *   load FOLDER [CERTIFICATE KEY]   {"state":"listening","plain":PORT,"tls":PORT or 0}
 *   run kind=KIND port=PORT …       {"state":"ready"}, once warm and at rest
 *   go                              {"state":"done","units":…,"seconds":…,…}, at rest again
 *   end                             {"state":"ended"}, every stream ended and checked
 *
 * Instead of any of them: {"state":"failed","error":…}; the run is over then. It exits when stdin
 * ends, so it never outlives whoever started it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

static const char *const KINDS[] = {"", "unary", "open", "lockstep", "paced", "idle", "slow"};

void reply(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

static Kind kind_named(const char *name) {
    for (size_t i = 1; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(name, KINDS[i]) == 0) return (Kind)i;
    }
    die("no such kind of workload: %s", name);
}

static Run parse(char *line) {
    Run wanted = {.exact = true, .connections = 1};
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        char *value = strchr(word, '=');
        if (value == NULL) die("expected key=value, not %s", word);
        *value++ = 0;
        if (strcmp(word, "kind") == 0) wanted.kind = kind_named(value);
        else if (strcmp(word, "port") == 0) wanted.port = atoi(value);
        else if (strcmp(word, "connections") == 0) wanted.connections = (size_t)atol(value);
        else if (strcmp(word, "warm") == 0) wanted.warm = atof(value);
        else if (strcmp(word, "window") == 0) wanted.window = atof(value);
        else if (strcmp(word, "rate") == 0) wanted.rate = atof(value);
        else if (strcmp(word, "seed") == 0) wanted.seed = (uint64_t)atoll(value);
        else if (strcmp(word, "exact") == 0) wanted.exact = atoi(value) != 0;
        else if (strcmp(word, "stream_at") == 0) wanted.stream_at = (size_t)atol(value);
        else if (strcmp(word, "request") == 0) wanted.request = payload_file("", value);
        else die("no such key: %s", word);
    }
    if (wanted.kind == RESTING || wanted.port == 0 || wanted.request.data == NULL ||
        wanted.connections == 0) {
        die("kind, port and request are needed");
    }
    return wanted;
}

static void command(char *line) {
    if (strncmp(line, "run ", 4) == 0) run_begin(parse(line + 4));
    else if (strcmp(line, "go") == 0) run_go();
    else if (strcmp(line, "end") == 0) run_end();
    else die("no such command: %s", line);
}

static void input_ready(Watched *watched, uint32_t events) {
    static char line[8192];
    static size_t size;
    (void)events;
    ssize_t count = read(watched->fd, line + size, sizeof line - size - 1);
    if (count <= 0) exit(0);
    size += (size_t)count;
    line[size] = 0;
    for (char *stop; (stop = strchr(line, '\n')) != NULL;) {
        *stop = 0;
        command(line);
        size -= (size_t)(stop + 1 - line);
        memmove(line, stop + 1, size + 1);
    }
}

int main(int count, char **arguments) {
    if (count != 2 && count != 4) die("usage: load FOLDER [CERTIFICATE KEY]");
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    payload_load(arguments[1]);
    loop_start();
    int plain = mock_listen(false), tls = 0;
    if (count == 4 && tls_compiled()) {
        tls_start(arguments[2], arguments[3]);
        tls = mock_listen(true);
    }
    static Watched input = {.fd = STDIN_FILENO, .ready = input_ready};
    loop_add(&input, EPOLLIN);
    reply("{\"state\":\"listening\",\"plain\":%d,\"tls\":%d}", plain, tls);
    loop_run();
}
