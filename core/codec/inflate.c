/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate.c: compressed bodies in pieces. "deflate" is a zlib stream, but some
 * clients send it without the wrapper, as browsers taught them: the first two
 * bytes tell.
 */
#include "codec/codec.h"

#include <strings.h>
#include <zlib.h>

#define PIECE 32768

struct hearth_inflate {
    z_stream z;
    enum hearth_coding coding;
    uint64_t limit_bytes, made_bytes;
    unsigned char first[2]; /* of deflate, until both are there */
    unsigned first_count;
    bool begun, over;
    unsigned char out[PIECE];
};

enum hearth_coding hearth_coding_parse(const char *text)
{
    if (text == NULL || *text == '\0' || strcasecmp(text, "identity") == 0)
        return HEARTH_CODING_NONE;
    if (strcasecmp(text, "gzip") == 0 || strcasecmp(text, "x-gzip") == 0)
        return HEARTH_CODING_GZIP;
    if (strcasecmp(text, "deflate") == 0)
        return HEARTH_CODING_DEFLATE;
    return HEARTH_CODING_UNKNOWN;
}

static voidpf take(voidpf opaque, uInt items, uInt size)
{
    (void)opaque;
    return hearth_calloc(items, size);
}

static void give(voidpf opaque, voidpf address)
{
    (void)opaque;
    hearth_free(address);
}

apr_status_t hearth_inflate_create(hearth_inflate_t **inflate,
                                   enum hearth_coding coding,
                                   uint64_t limit_bytes)
{
    HEARTH_ASSERT(coding == HEARTH_CODING_GZIP ||
                  coding == HEARTH_CODING_DEFLATE);
    *inflate = hearth_calloc(1, sizeof(**inflate));
    if (*inflate == NULL)
        return HEARTH_ENOMEM;
    (*inflate)->coding = coding;
    (*inflate)->limit_bytes = limit_bytes;
    (*inflate)->z.zalloc = take;
    (*inflate)->z.zfree = give;
    return HEARTH_OK;
}

void hearth_inflate_destroy(hearth_inflate_t **inflate)
{
    if (*inflate == NULL)
        return;
    if ((*inflate)->begun)
        inflateEnd(&(*inflate)->z);
    hearth_free(*inflate);
    *inflate = NULL;
}

static int broken(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_EPROTO,
                       "the body is not what its Content-Encoding says: send "
                       "gzip or deflate, whole and nothing behind it");
}

/* RFC 1950: the low four bits are 8, and the two bytes a multiple of 31. */
static bool has_wrapper(const unsigned char first[2])
{
    return (first[0] & 15) == 8 && (first[0] * 256 + first[1]) % 31 == 0;
}

static int begin(hearth_inflate_t *f, struct hearth_error *err)
{
    int bits = f->coding == HEARTH_CODING_GZIP ? 16 + MAX_WBITS
               : has_wrapper(f->first)         ? MAX_WBITS
                                               : -MAX_WBITS;

    if (inflateInit2(&f->z, bits) != Z_OK)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to unpack the body: try again later");
    f->begun = true;
    return HEARTH_OK;
}

static int run(hearth_inflate_t *f, const void *data, size_t bytes,
               void (*out)(void *ctx, const void *data, size_t bytes),
               void *ctx, struct hearth_error *err)
{
    f->z.next_in = (Bytef *)(uintptr_t)data;
    f->z.avail_in = (uInt)bytes;
    f->z.avail_out = PIECE;
    /* A full piece may leave more inside, and the stream's end with it. */
    while (f->z.avail_in > 0 || f->z.avail_out == 0) {
        size_t made;
        int rc;

        if (f->over && f->z.avail_in > 0)
            return broken(err);
        if (f->over)
            break;
        f->z.next_out = f->out;
        f->z.avail_out = PIECE;
        rc = inflate(&f->z, Z_NO_FLUSH);
        if (rc == Z_MEM_ERROR)
            return hearth_fail(err, HEARTH_ENOMEM,
                               "no memory to unpack the body: try again later");
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return broken(err);
        made = PIECE - f->z.avail_out;
        if (made > f->limit_bytes - f->made_bytes)
            return hearth_fail(err, HEARTH_ETOOBIG,
                               "the body unpacks to more than %llu bytes: send "
                               "less",
                               (unsigned long long)f->limit_bytes);
        f->made_bytes += made;
        if (made > 0)
            out(ctx, f->out, made);
        f->over = rc == Z_STREAM_END;
    }
    return HEARTH_OK;
}

int hearth_inflate_write(hearth_inflate_t *f, const void *data, size_t bytes,
                         void (*out)(void *ctx, const void *data, size_t bytes),
                         void *ctx, struct hearth_error *err)
{
    const unsigned char *p = data;
    int status;

    HEARTH_ASSERT(bytes <= UINT32_MAX);
    if (bytes == 0)
        return HEARTH_OK;
    if (f->begun)
        return run(f, p, bytes, out, ctx, err);
    if (f->coding == HEARTH_CODING_DEFLATE) {
        while (f->first_count < 2 && bytes > 0) {
            f->first[f->first_count++] = *p++;
            bytes--;
        }
        if (f->first_count < 2)
            return HEARTH_OK;
    }
    status = begin(f, err);
    if (status == HEARTH_OK && f->first_count > 0)
        status = run(f, f->first, f->first_count, out, ctx, err);
    return status == HEARTH_OK ? run(f, p, bytes, out, ctx, err) : status;
}

int hearth_inflate_end(hearth_inflate_t *f, struct hearth_error *err)
{
    return f->over ? HEARTH_OK : broken(err);
}
