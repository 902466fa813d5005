/* Non-blocking connections, plain or TLS; what the socket does not take now is kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context;

bool tls_compiled(void) { return true; }

void tls_start(const char *certificate, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) die("OpenSSL does not start");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        die("cannot load %s and %s", certificate, key);
    }
}

bool channel_accept_tls(Channel *channel) {
    SSL *ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, channel->watched.fd) != 1) return false;
    SSL_set_accept_state(ssl);
    channel->ssl = ssl;
    return true;
}

static ssize_t outcome(SSL *ssl, int result) {
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return CHANNEL_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        ERR_clear_error();
        return CHANNEL_BROKEN;
    }
}

static ssize_t tls_read(Channel *channel, char *into, size_t room) {
    int result = SSL_read(channel->ssl, into, (int)room);
    return result > 0 ? result : outcome(channel->ssl, result);
}

static ssize_t tls_write(Channel *channel, const char *data, size_t size) {
    int result = SSL_write(channel->ssl, data, (int)size);
    return result > 0 ? result : outcome(channel->ssl, result);
}

static void tls_close(Channel *channel) { SSL_free(channel->ssl); }

#else

bool tls_compiled(void) { return false; }
void tls_start(const char *certificate, const char *key) { (void)certificate, (void)key; }
bool channel_accept_tls(Channel *channel) { return (void)channel, false; }
static ssize_t tls_read(Channel *c, char *into, size_t room) {
    return (void)c, (void)into, (void)room, CHANNEL_BROKEN;
}
static ssize_t tls_write(Channel *c, const char *data, size_t size) {
    return (void)c, (void)data, (void)size, CHANNEL_BROKEN;
}
static void tls_close(Channel *channel) { (void)channel; }

#endif

ssize_t channel_read(Channel *channel, char *into, size_t room) {
    if (channel->ssl != NULL) return tls_read(channel, into, room);
    ssize_t count = read(channel->watched.fd, into, room);
    if (count >= 0) return count;
    return errno == EAGAIN || errno == EINTR ? CHANNEL_AGAIN : CHANNEL_BROKEN;
}

static ssize_t write_some(Channel *channel, const char *data, size_t size) {
    if (channel->ssl != NULL) return tls_write(channel, data, size);
    ssize_t count = send(channel->watched.fd, data, size, MSG_NOSIGNAL);
    if (count >= 0) return count;
    return errno == EAGAIN || errno == EINTR ? CHANNEL_AGAIN : CHANNEL_BROKEN;
}

static void keep(Channel *channel, const char *data, size_t size) {
    if (channel->out_at > 0) {
        memmove(channel->out, channel->out + channel->out_at, channel->out_size);
        channel->out_at = 0;
    }
    if (channel->out_size + size > channel->out_room) {
        channel->out_room = 2 * (channel->out_size + size);
        channel->out = realloc(channel->out, channel->out_room);
        if (channel->out == NULL) die("out of memory");
    }
    memcpy(channel->out + channel->out_size, data, size);
    channel->out_size += size;
}

/* False when the connection is broken. */
bool channel_write(Channel *channel, const char *data, size_t size) {
    while (size > 0 && channel->out_size == 0) {
        ssize_t count = write_some(channel, data, size);
        if (count == CHANNEL_AGAIN) break;
        if (count <= 0) return false;
        data += count;
        size -= (size_t)count;
    }
    if (size > 0) {
        keep(channel, data, size);
        loop_mask(&channel->watched, channel->watched.mask | EPOLLOUT);
    }
    return true;
}

bool channel_flush(Channel *channel) {
    while (channel->out_size > 0) {
        ssize_t count = write_some(channel, channel->out + channel->out_at, channel->out_size);
        if (count == CHANNEL_AGAIN) return true;
        if (count <= 0) return false;
        channel->out_at += (size_t)count;
        channel->out_size -= (size_t)count;
    }
    channel->out_at = 0;
    loop_mask(&channel->watched, channel->watched.mask & ~(uint32_t)EPOLLOUT);
    return true;
}

bool channel_empty(const Channel *channel) { return channel->out_size == 0; }

void channel_close(Channel *channel) {
    if (channel->ssl != NULL) tls_close(channel);
    channel->ssl = NULL;
    free(channel->out);
    channel->out = NULL;
    loop_remove(&channel->watched);
}
