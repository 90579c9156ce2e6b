/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c: a 64-bit hash for tables, and SHA-256 for identities.
 *
 * The table hash multiplies and folds 16 bytes a step (the idea of wyhash); the
 * process's random seed keeps outsiders from choosing keys that collide.
 */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/base_priv.h"

uint64_t hearth__base_hash_seed = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

uint64_t hearth_hash64(const void *data, size_t bytes, uint64_t seed)
{
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f);
    const uint64_t k1 = UINT64_C(0xe7037ed1a0b428db);
    const uint8_t *p = data;
    uint64_t h = seed ^ hearth__base_hash_seed ^ k0, tail[2] = {0, 0};
    size_t left = bytes;
    for (; left > 16; left -= 16, p += 16)
        h = fold(load64(p) ^ k0 ^ h, load64(p + 8) ^ k1);
    if (left > 0)
        memcpy(tail, p, left);
    h = fold(tail[0] ^ k0 ^ h, tail[1] ^ k1);
    return fold(h ^ k1, bytes ^ k0);
}

void hearth_sha256(const void *data, size_t bytes, struct hearth_digest *digest)
{
    SHA256(data, bytes, digest->bytes);
}

/* An EVP_MD_CTX, whose type nobody else needs to know. */
struct hearth_sha256 *hearth_sha256_begin(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct hearth_sha256 *)ctx;
}

void hearth_sha256_add(struct hearth_sha256 *hash, const void *data,
                       size_t bytes)
{
    EVP_DigestUpdate((EVP_MD_CTX *)hash, data, bytes);
}

void hearth_sha256_end(struct hearth_sha256 *hash, struct hearth_digest *digest)
{
    EVP_DigestFinal_ex((EVP_MD_CTX *)hash, digest->bytes, NULL);
    EVP_MD_CTX_free((EVP_MD_CTX *)hash);
}

void hearth_sha256_drop(struct hearth_sha256 *hash)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)hash);
}

const char *hearth_digest_text(const struct hearth_digest *digest,
                               char text[HEARTH_DIGEST_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 0; i < HEARTH_DIGEST_BYTES; i++) {
        text[2 * i] = hex[digest->bytes[i] >> 4];
        text[2 * i + 1] = hex[digest->bytes[i] & 15];
    }
    text[2 * HEARTH_DIGEST_BYTES] = '\0';
    return text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hearth_digest_parse(const char *text, struct hearth_digest *digest)
{
    if (strlen(text) != 2 * HEARTH_DIGEST_BYTES)
        return false;
    for (int i = 0; i < HEARTH_DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
