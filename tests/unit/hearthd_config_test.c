/* SPDX-License-Identifier: Apache-2.0 */
/* hearthd's parameters: file, then environment, then flags; its manual page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hearthd/config.h"

static struct hearth_hearthd_config config;
static enum hearth_hearthd_action action;
static hearth_conf_file_t *file;
static struct hearth_error err;
static char path[] = "/tmp/hearthd_config_XXXXXX";

static int configure(const char *text, const char *variable, const char *flag)
{
    char named[64];
    const char *argv[] = {"hearthd", named, flag, NULL};
    const char *env[] = {variable, NULL};
    FILE *out = fopen(path, "w");

    fputs(text, out);
    fclose(out);
    snprintf(named, sizeof(named), "--config=%s", path);
    hearth_conf_file_free(&file);
    memset(&err, 0, sizeof(err));
    return hearth__hearthd_configure(&config, &file, &action, flag ? 3 : 2,
                                     argv, env, &err);
}

static void the_later_source_counts(void **state)
{
    (void)state;
    assert_int_equal(configure("drain: 5s\nserver_name: file\n", "x=y", NULL),
                     HEARTH_OK);
    assert_int_equal(config.drain_us, 5000000);
    assert_string_equal(config.http_address, "127.0.0.1:8000");
    assert_int_equal(configure("drain: 5s\n", "HEARTHD_DRAIN=6s", NULL),
                     HEARTH_OK);
    assert_int_equal(config.drain_us, 6000000);
    assert_int_equal(configure("drain: 5s\n", "HEARTHD_DRAIN=6s", "--drain=7s"),
                     HEARTH_OK);
    assert_int_equal(config.drain_us, 7000000);
}

static void tenants_come_from_the_file(void **state)
{
    (void)state;
    assert_int_equal(configure("tenants:\n- name: a\n  users: [1, 2]\n"
                               "  memory: 1MiB\n- name: b\n",
                               "x=y", NULL),
                     HEARTH_OK);
    assert_int_equal(config.node.tenant_count, 2);
    assert_string_equal(config.node.tenants[0].users, "1 2");
    assert_int_equal(config.node.tenants[0].quota_bytes, 1 << 20);
    assert_string_equal(config.node.tenants[1].models, "*");
}

static void mistakes_are_told(void **state)
{
    (void)state;
    assert_int_equal(configure("drian: 5s\n", "x=y", NULL), HEARTH_ECONFIG);
    assert_non_null(strstr(err.text, ":1: unknown key 'drian'; did you mean "
                                     "'drain'?"));
    assert_int_equal(configure("", "HEARTHD_DRAIN=soon", NULL), HEARTH_ECONFIG);
    assert_int_equal(configure("", "x=y", "--nope"), HEARTH_EINVAL);
    assert_non_null(strstr(err.text, "unknown flag --nope"));
    assert_int_equal(configure("", "x=y", "operand"), HEARTH_EINVAL);
    assert_int_equal(configure("", "x=y", "--check"), HEARTH_OK);
    assert_int_equal(action, HEARTH_HEARTHD_CHECK);
}

static void the_manual_page_has_the_table(void **state)
{
    char page_path[512], *page, *begin, *end, *rows = NULL;
    size_t bytes, rows_bytes;
    FILE *out = open_memstream(&rows, &rows_bytes);

    (void)state;
    snprintf(page_path, sizeof(page_path), "%s/docs/man/hearthd.8",
             getenv("HEARTH_SRCDIR") ? getenv("HEARTH_SRCDIR") : ".");
    assert_int_equal(hearth_read_file(page_path, 1 << 20, &page, &bytes, &err),
                     HEARTH_OK);
    begin = strstr(page, ".\\\" BEGIN PARAMETERS\n");
    end = strstr(page, ".\\\" END PARAMETERS\n");
    assert_non_null(begin);
    assert_non_null(end);
    begin = strchr(begin, '\n') + 1;
    *end = '\0';
    hearth__hearthd_manual(out);
    fclose(out);
    if (strcmp(begin, rows) != 0)
        fail_msg("run docs/man/update.sh and commit the page");
    free(rows);
    hearth_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_later_source_counts),
        cmocka_unit_test(tenants_come_from_the_file),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(the_manual_page_has_the_table),
    };
    int failed, fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    hearth_conf_file_free(&file);
    unlink(path);
    return failed;
}
