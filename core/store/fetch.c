/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c: with libcurl's easy interface, one try after the other. A part is
 * continued by Range with If-Range: the entity tag (or date) that stands in
 * <path>.tag with the URL; a server that has another file by now, or knows no
 * ranges, answers 200, and the part begins anew.
 */
#include "store/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 4
#define STALL_S 30
#define PAUSE_FIRST_US 250000
#define REDIRECTS 10
#define TAG_BYTES 512

struct fetch {
    const char *path;
    char *url, *part, *tag_path;
    const struct hearth_fetch_options *options;
    struct hearth_digest expected;
    bool verify;
    int fd;
    int64_t have;          /* bytes in the part */
    int64_t total;         /* -1: not known */
    char tag[TAG_BYTES];   /* of the part; "" none */
    char heard[TAG_BYTES]; /* of the answer that comes */
    int64_t range_begin;   /* of a 206: where its bytes go; -1: it says not */
    long http_status;
    bool cancelled, begun;
    int status; /* of our own failure in a callback */
    struct hearth_error *err;
    char shown[256]; /* the URL without what may be secret */
    char reason[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- The part and its tag ---- */

static int disk_error(struct fetch *f, const char *what)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return hearth_fail(f->err, full ? HEARTH_ENOSPACE : HEARTH_EIO,
                       "cannot %s %.100s: %s; %s", what, f->path,
                       strerror(errno),
                       full ? "make room on its disk" : "look at its disk");
}

/* "URL\nTAG\n" */
static void read_tag(struct fetch *f)
{
    char *text, *line;
    size_t bytes;

    if (hearth_read_file(f->tag_path, 16384, &text, &bytes, NULL) != HEARTH_OK)
        return;
    line = strchr(text, '\n');
    if (line && (size_t)(line - text) == strlen(f->url) &&
        strncmp(text, f->url, strlen(f->url)) == 0) {
        line++;
        line[strcspn(line, "\n")] = '\0';
        snprintf(f->tag, sizeof(f->tag), "%s", line);
    }
    hearth_free(text);
}

static void write_tag(struct fetch *f)
{
    FILE *out = fopen(f->tag_path, "we");

    if (out == NULL)
        return; /* then it cannot be continued, no more */
    fprintf(out, "%s\n%s\n", f->url, f->tag);
    fclose(out);
}

static int open_part(struct fetch *f)
{
    struct stat st;

    f->fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (f->fd < 0)
        return disk_error(f, "write");
    if (fstat(f->fd, &st) == 0 && st.st_size > 0)
        read_tag(f);
    f->have = f->tag[0] ? st.st_size : 0;
    if (f->have == 0 && ftruncate(f->fd, 0) != 0)
        return disk_error(f, "write");
    return HEARTH_OK;
}

/* ---- libcurl's callbacks ---- */

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct fetch *f = ctx;
    size_t bytes = size * count, skip = 0;
    bool etag = bytes > 5 && strncasecmp(data, "ETag:", 5) == 0;
    bool date = bytes > 14 && strncasecmp(data, "Last-Modified:", 14) == 0;
    char range[64];

    if (bytes >= 5 && strncasecmp(data, "HTTP/", 5) == 0) {
        f->heard[0] = '\0'; /* of a redirect's next answer */
        f->range_begin = -1;
    }
    if (bytes > 14 && strncasecmp(data, "Content-Range:", 14) == 0) {
        long long begin;

        snprintf(range, sizeof(range), "%.*s", (int)(bytes - 14), data + 14);
        if (sscanf(range, " bytes %lld-", &begin) == 1)
            f->range_begin = begin;
    }
    if (!etag && (!date || f->heard[0] == '"'))
        return bytes;
    skip = etag ? 5 : 14;
    while (skip < bytes && data[skip] == ' ')
        skip++;
    snprintf(f->heard, sizeof(f->heard), "%.*s", (int)(bytes - skip),
             data + skip);
    f->heard[strcspn(f->heard, "\r\n")] = '\0';
    if (strncmp(f->heard, "W/", 2) == 0)
        f->heard[0] = '\0'; /* a weak one proves no bytes */
    return bytes;
}

/* The first byte of a body: does it go on where the part ends? */
static bool begin_body(struct fetch *f, CURL *curl)
{
    curl_off_t length = -1;

    f->begun = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->http_status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (f->http_status != 200 && f->http_status != 206)
        return true; /* an error's text: the part stays as it is */
    if (f->http_status == 206 && (f->have == 0 || f->range_begin != f->have)) {
        f->tag[0] = '\0'; /* then from the start, without a range */
        f->status = hearth_fail(f->err, HEARTH_EPEER,
                                "%.100s: the server sent bytes from %lld on, "
                                "not from %lld",
                                f->shown, (long long)f->range_begin,
                                (long long)f->have);
        return false;
    }
    if (f->http_status == 200) {
        f->have = 0;
        if (ftruncate(f->fd, 0) != 0) {
            f->status = disk_error(f, "write");
            return false;
        }
        snprintf(f->tag, sizeof(f->tag), "%s", f->heard);
        write_tag(f);
    }
    f->total = length < 0 ? -1 : f->have + length;
    return true;
}

struct body {
    struct fetch *fetch;
    CURL *curl;
};

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct body *body = ctx;
    struct fetch *f = body->fetch;
    size_t bytes = size * count, left = bytes;

    if (!f->begun && !begin_body(f, body->curl))
        return 0;
    if (f->http_status != 200 && f->http_status != 206)
        return bytes; /* an error's text */
    if (f->options->most_bytes > 0 &&
        (uint64_t)f->have + bytes > f->options->most_bytes) {
        f->status = hearth_fail(f->err, HEARTH_ETOOBIG,
                                "%.100s has more than %llu bytes", f->shown,
                                (unsigned long long)f->options->most_bytes);
        return 0;
    }
    while (left > 0) {
        ssize_t n = pwrite(f->fd, data, left, f->have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            f->status = disk_error(f, "write");
            return 0;
        }
        f->have += n;
        data += n;
        left -= (size_t)n;
    }
    return bytes;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now,
                       curl_off_t up_total, curl_off_t up_now)
{
    struct fetch *f = ctx;

    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    if (f->options->progress && f->begun &&
        (f->http_status == 200 || f->http_status == 206) &&
        f->options->progress(f->options->ctx, f->have, f->total))
        f->cancelled = true;
    return f->cancelled;
}

/* ---- A try ---- */

static void set_options(struct fetch *f, CURL *curl, struct body *body,
                        struct curl_slist **headers)
{
    char range[64], condition[TAG_BYTES + 16];
    int64_t stall_s = f->options->stall_us / 1000000;

    curl_easy_setopt(curl, CURLOPT_URL, f->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, f->reason);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REDIRECTS);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS,
                     CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     stall_s > 0 ? (long)stall_s : (long)STALL_S);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "hearth");
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, f);
    if (f->have == 0 || f->tag[0] == '\0')
        return;
    snprintf(range, sizeof(range), "%lld-", (long long)f->have);
    curl_easy_setopt(curl, CURLOPT_RANGE, range);
    snprintf(condition, sizeof(condition), "If-Range: %s", f->tag);
    *headers = curl_slist_append(NULL, condition);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
}

/* May a later try do better? */
static bool is_passing(CURLcode code, long http_status)
{
    switch (code) {
    case CURLE_OK:
        return http_status >= 500 || http_status == 429 || http_status == 408;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_PEER_FAILED_VERIFICATION:
        return false;
    default:
        return true;
    }
}

/* What a try came to. */
static int judge(struct fetch *f, CURLcode code)
{
    const char *why = f->reason[0] ? f->reason : curl_easy_strerror(code);

    if (f->cancelled)
        return hearth_fail(f->err, HEARTH_ECANCELED,
                           "given up; what came is kept for the next try");
    if (f->status != HEARTH_OK)
        return f->status;
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return hearth_fail(f->err, HEARTH_EINVAL,
                           "%.100s is no http or https URL: %.80s", f->shown,
                           why);
    if (code == CURLE_TOO_MANY_REDIRECTS)
        return hearth_fail(f->err, HEARTH_EPROTO,
                           "%.100s redirects more than %d times", f->shown,
                           REDIRECTS);
    if (code == CURLE_OUT_OF_MEMORY)
        return hearth_fail(f->err, HEARTH_ENOMEM, "no memory to fetch %.100s",
                           f->shown);
    if (code != CURLE_OK)
        return hearth_fail(f->err, HEARTH_EPEER,
                           "cannot fetch %.100s: %.90s; try again later",
                           f->shown, why);
    if (f->http_status == 404 || f->http_status == 410)
        return hearth_fail(f->err, HEARTH_ENOENT,
                           "%.120s is not there (%ld); correct the URL",
                           f->shown, f->http_status);
    if (f->http_status != 200 && f->http_status != 206)
        return hearth_fail(f->err, HEARTH_EPEER,
                           "the server answers %ld for %.120s", f->http_status,
                           f->shown);
    return HEARTH_OK;
}

static int try_once(struct fetch *f, bool *again)
{
    CURL *curl = curl_easy_init();
    struct body body = {f, curl};
    struct curl_slist *headers = NULL;
    CURLcode code;
    int status;

    *again = false;
    if (curl == NULL)
        return hearth_fail(f->err, HEARTH_ENOMEM, "no memory to fetch %.100s",
                           f->shown);
    f->begun = false;
    f->status = HEARTH_OK;
    f->range_begin = -1;
    f->reason[0] = f->heard[0] = '\0';
    f->http_status = 0;
    f->total = -1;
    set_options(f, curl, &body, &headers);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->http_status);
    if (code == CURLE_OK && !f->begun && f->http_status == 200)
        (void)begin_body(f, curl); /* an empty one */
    /* The part is whole already, or longer than the file is now. */
    if (code == CURLE_OK && f->http_status == 416) {
        f->tag[0] = '\0';
        *again = true;
    }
    /* A range that is none of ours: the file is asked for whole. */
    *again |= f->status == HEARTH_EPEER && f->have > 0;
    if (*again && f->tag[0] == '\0')
        f->have = 0;
    status = judge(f, code);
    *again |= is_passing(code, f->http_status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

/* ---- The whole ---- */

static bool pause_between(struct fetch *f, int64_t us)
{
    for (int64_t waited = 0; waited < us && !f->cancelled; waited += 50000) {
        usleep(50000);
        if (f->options->progress &&
            f->options->progress(f->options->ctx, f->have, f->total))
            f->cancelled = true;
    }
    return !f->cancelled;
}

static int hash_part(struct fetch *f, struct hearth_digest *digest)
{
    struct hearth_sha256 *hash = hearth_sha256_begin();
    char *piece = hearth_malloc(1u << 20);
    off_t at = 0;
    ssize_t n = 1;

    if (hash == NULL || piece == NULL) {
        hearth_sha256_drop(hash);
        hearth_free(piece);
        return hearth_fail(f->err, HEARTH_ENOMEM, "no memory to check %.100s",
                           f->shown);
    }
    while (n > 0) {
        n = pread(f->fd, piece, 1u << 20, at);
        if (n > 0)
            hearth_sha256_add(hash, piece, (size_t)n);
        at += n > 0 ? n : 0;
        if (n < 0 && errno == EINTR)
            n = 1;
    }
    hearth_free(piece);
    if (n < 0) {
        hearth_sha256_drop(hash);
        return disk_error(f, "read");
    }
    hearth_sha256_end(hash, digest);
    return HEARTH_OK;
}

static int settle(struct fetch *f, struct hearth_digest *digest)
{
    char is[HEARTH_DIGEST_TEXT], said[HEARTH_DIGEST_TEXT];
    int status = hash_part(f, digest);

    if (status != HEARTH_OK)
        return status;
    if (f->verify && memcmp(digest, &f->expected, sizeof(f->expected)) != 0) {
        (void)unlink(f->part); /* more of the same is no better */
        (void)unlink(f->tag_path);
        return hearth_fail(f->err, HEARTH_EPROTO,
                           "%.80s has SHA-256 %.16s..., not %.16s...; it is "
                           "another file, or was damaged",
                           f->shown, hearth_digest_text(digest, is),
                           hearth_digest_text(&f->expected, said));
    }
    if (fsync(f->fd) != 0 || rename(f->part, f->path) != 0)
        return disk_error(f, "write");
    (void)unlink(f->tag_path);
    return HEARTH_OK;
}

/* "#sha256=HEX" is for us, not for the server. */
static int take_fragment(struct fetch *f)
{
    char *fragment = strchr(f->url, '#');

    if (f->options->expected) {
        f->expected = *f->options->expected;
        f->verify = true;
    }
    if (fragment == NULL)
        return HEARTH_OK;
    *fragment++ = '\0';
    if (strncmp(fragment, "sha256=", 7) != 0)
        return HEARTH_OK;
    if (!hearth_digest_parse(fragment + 7, &f->expected))
        return hearth_fail(f->err, HEARTH_EINVAL,
                           "#sha256= needs 64 hexadecimal digits");
    f->verify = true;
    return HEARTH_OK;
}

/* Errors go to callers: no user and password, and no query, which is where
 * signatures stand. */
static void show_url(struct fetch *f)
{
    size_t bytes = strcspn(f->url, "?#");
    const char *host = strstr(f->url, "://"), *at = NULL;

    host = host && host < f->url + bytes ? host + 3 : f->url;
    for (const char *p = host; p < f->url + bytes && *p != '/'; p++)
        if (*p == '@')
            at = p + 1;
    snprintf(f->shown, sizeof(f->shown), "%.*s%.*s", (int)(host - f->url),
             f->url, (int)(f->url + bytes - (at ? at : host)), at ? at : host);
}

static char *with_suffix(const char *path, const char *suffix)
{
    size_t bytes = strlen(path) + strlen(suffix) + 1;
    char *made = hearth_malloc(bytes);

    if (made)
        snprintf(made, bytes, "%s%s", path, suffix);
    return made;
}

int hearth_fetch(const char *url, const char *path,
                 const struct hearth_fetch_options *options,
                 struct hearth_digest *digest, struct hearth_error *err)
{
    static const struct hearth_fetch_options none;
    struct hearth_error own = {0};
    struct fetch f = {.path = path,
                      .options = options ? options : &none,
                      .fd = -1,
                      .err = err ? err : &own};
    uint32_t tries = f.options->tries ? f.options->tries : TRIES;
    int64_t pause_us = PAUSE_FIRST_US;
    struct hearth_digest is;
    bool again = true;
    int status = HEARTH_ENOMEM;

    pthread_once(&once, init);
    f.url = hearth_strdup(url);
    f.part = with_suffix(path, ".part");
    f.tag_path = with_suffix(path, ".tag");
    if (f.url == NULL || f.part == NULL || f.tag_path == NULL) {
        hearth_fail(f.err, HEARTH_ENOMEM, "no memory for a fetch");
        goto out;
    }
    show_url(&f);
    status = take_fragment(&f);
    if (status == HEARTH_OK)
        status = open_part(&f);
    if (status != HEARTH_OK)
        goto out;
    for (uint32_t i = 0; i < tries && again; i++) {
        int64_t before = f.have;

        if (i > 0 && !pause_between(&f, pause_us)) {
            status = hearth_fail(f.err, HEARTH_ECANCELED,
                                 "given up; what came is kept for the next "
                                 "try");
            break;
        }
        pause_us *= 2;
        status = try_once(&f, &again);
        if (status == HEARTH_OK)
            break;
        if (f.have > before && again) {
            i = 0; /* it goes on: a bad line is no dead one */
            pause_us = PAUSE_FIRST_US;
        }
    }
    if (status == HEARTH_OK)
        status = settle(&f, digest ? digest : &is);
    /* Nothing that could be continued. */
    if (status != HEARTH_OK && (f.have == 0 || f.tag[0] == '\0')) {
        (void)unlink(f.part);
        (void)unlink(f.tag_path);
    }
out:
    if (f.fd >= 0)
        close(f.fd);
    hearth_free(f.url);
    hearth_free(f.part);
    hearth_free(f.tag_path);
    return status;
}
