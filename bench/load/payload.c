/* The bytes that go both ways, from files that bench/payloads.py wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

Frames frames[3];
Bytes answer, answer_wire, messages_wire, stream_head;

Bytes payload_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) die("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    Bytes bytes = {.size = (size_t)ftell(file)};
    rewind(file);
    bytes.data = malloc(bytes.size + 1);
    if (bytes.data == NULL || fread(bytes.data, 1, bytes.size, file) != bytes.size) {
        die("cannot read %s", path);
    }
    bytes.data[bytes.size] = 0;
    fclose(file);
    return bytes;
}

static Bytes chunk(Bytes frame) {
    Bytes wire = {.data = malloc(frame.size + 16)};
    if (wire.data == NULL) die("out of memory");
    int size = sprintf(wire.data, "%zx\r\n", frame.size);
    memcpy(wire.data + size, frame.data, frame.size);
    memcpy(wire.data + (size_t)size + frame.size, "\r\n", 2);
    wire.size = (size_t)size + frame.size + 2;
    return wire;
}

static Frames split(Bytes all, size_t tail) {
    Frames found = {.tail = tail};
    size_t count = 0, room = 256;
    found.frame = calloc(room, sizeof(Bytes));
    found.wire = calloc(room, sizeof(Bytes));
    char *at = all.data, *end = all.data + all.size, *stop;
    while (at < end && (stop = strstr(at, "\n\n")) != NULL && count < room) {
        found.frame[count] = (Bytes){.data = at, .size = (size_t)(stop + 2 - at)};
        found.wire[count] = chunk(found.frame[count]);
        count++;
        at = stop + 2;
    }
    if (at != end || count < tail + 2) die("the frames are not as expected");
    found.contents = count - tail - 1;
    found.round.data = malloc(2 * all.size);
    if (found.round.data == NULL) die("out of memory");
    for (size_t i = 1; i <= found.contents; i++) {
        memcpy(found.round.data + found.round.size, found.wire[i].data, found.wire[i].size);
        found.round.size += found.wire[i].size;
    }
    return found;
}

void payload_load(const char *folder) {
    answer = payload_file(folder, "answer");
    answer_wire = payload_file(folder, "answer.wire");
    messages_wire = payload_file(folder, "messages.wire");
    stream_head = payload_file(folder, "stream.head");
    frames[PLAIN] = split(payload_file(folder, "frames"), 2);
    frames[WITH_USAGE] = split(payload_file(folder, "frames.usage"), 3);
    frames[MESSAGES] = split(payload_file(folder, "frames.messages"), 3);
}
