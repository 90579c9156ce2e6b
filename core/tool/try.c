/* SPDX-License-Identifier: Apache-2.0 */
/*
 * try.c: `hearth try hearth.yaml INPUT`: one request to a function, in this
 * process, through the public API alone, and its answer as a person reads it.
 */
#include "tool/tool.h"

#include "device/device.h"
#include "hearth.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_DEVICES, OPT_MEMORY, OPT_TYPE, OPT_JSON, OPT_VERBOSE };

#define BAR_CELLS 32
#define INPUT_MAX_BYTES (UINT64_C(1) << 30)

struct input {
    char *data;
    uint64_t bytes;
};

/* All of a file, or of the standard input for "-". */
static int read_input(const char *path, struct input *input,
                      struct hearth_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    uint64_t room = 0;
    ssize_t n;

    if (fd < 0)
        return hearth_fail(err, HEARTH_EIO, "%s: %s", path, strerror(errno));
    for (;;) {
        if (input->bytes == room) {
            uint64_t more = room ? room * 2 : 65536;
            char *data = more <= INPUT_MAX_BYTES
                             ? hearth_realloc(input->data, more)
                             : NULL;

            if (data == NULL) {
                hearth_fail(err, HEARTH_ETOOBIG, "%s: too large", path);
                break;
            }
            input->data = data;
            room = more;
        }
        n = read(fd, input->data + input->bytes, room - input->bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            hearth_fail(err, HEARTH_EIO, "%s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        input->bytes += (uint64_t)n;
    }
    if (!standard)
        close(fd);
    return err->status;
}

/* ---- The answer, for people. ---- */

/* One of an answer's labels: {"label": text, "probability" or "score"...}. */
static bool read_label(json_t *item, const char **label, double *value)
{
    static const char *const names[] = {"probability", "score", "value"};

    *label = json_string_value(json_object_get(item, "label"));
    for (size_t i = 0; *label && i < sizeof(names) / sizeof(*names); i++) {
        json_t *member = json_object_get(item, names[i]);

        if (json_is_number(member)) {
            *value = json_number_value(member);
            return true;
        }
    }
    return false;
}

/* The first array of labels in the answer, at most two levels down. */
static json_t *find_labels(json_t *value, int depth)
{
    const char *label, *key;
    double number;
    json_t *member, *found;
    size_t i;

    if (json_is_array(value) && json_array_size(value) > 0 &&
        read_label(json_array_get(value, 0), &label, &number))
        return value;
    if (depth == 0)
        return NULL;
    json_object_foreach(value, key, member)
    {
        if ((found = find_labels(member, depth - 1)))
            return found;
    }
    json_array_foreach(value, i, member)
    {
        if ((found = find_labels(member, depth - 1)))
            return found;
    }
    return NULL;
}

/* Labels come from a file of the user's: nothing in them moves the cursor. */
static void print_plain(const char *text, int width)
{
    int column = 0;

    for (; *text; text++) {
        putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
        /* Bytes that continue a UTF-8 character take no column. */
        column += ((unsigned char)*text & 0xc0) != 0x80;
    }
    for (; column < width; column++)
        putchar(' ');
}

static void print_labels(json_t *labels)
{
    size_t i;
    json_t *item;

    json_array_foreach(labels, i, item)
    {
        const char *label;
        double value;
        int cells;

        if (!read_label(item, &label, &value))
            continue;
        cells = value <= 0   ? 0
                : value >= 1 ? BAR_CELLS
                             : (int)(value * BAR_CELLS + 0.5);
        printf("  ");
        print_plain(label, 24);
        printf(" %8.4f  ", value);
        for (int c = 0; c < cells; c++)
            putchar('#');
        putchar('\n');
    }
}

static void print_answer(const struct hearth_answer *answer)
{
    json_t *root =
        json_loadb(answer->body, answer->body_bytes, JSON_DECODE_ANY, NULL);
    json_t *labels = root ? find_labels(root, 2) : NULL;

    if (labels) {
        print_labels(labels);
    } else if (root) {
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else {
        printf("  %llu bytes of %s (--json writes them as they are)\n",
               (unsigned long long)answer->body_bytes, answer->content_type);
    }
    json_decref(root);
}

static void print_times(const struct hearth_times *times)
{
    const struct {
        const char *name;
        int64_t us;
    } rows[] = {
        {"decode", times->decode_us}, {"load", times->load_us},
        {"run", times->run_us},       {"encode", times->encode_us},
        {"total", times->total_us},
    };

    printf("\n ");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        printf(" %s %.3f ms%s", rows[i].name, (double)rows[i].us / 1000,
               i + 1 < sizeof(rows) / sizeof(*rows) ? "," : "\n");
}

/* ---- The command. ---- */

static void log_nothing(void *ctx, int level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static int ask(hearth_service_t *service, const char *type,
               const struct input *input, bool raw)
{
    struct hearth_call_spec spec;
    struct hearth_answer *answer;
    int status;

    hearth_call_spec_init(&spec);
    spec.body = input->data;
    spec.body_bytes = input->bytes;
    spec.content_type = type;
    status = hearth_infer(service, &spec, &answer);
    if (answer == NULL) {
        fprintf(stderr, "hearth: %s\n", hearth_status_text(status));
        return HEARTH_TOOL_FAILED;
    }
    if (raw) {
        fwrite(answer->body, 1, answer->body_bytes, stdout);
    } else if (status != HEARTH_OK) {
        const char *text = answer->body;
        int bytes = (int)answer->body_bytes;

        while (bytes > 0 && text[bytes - 1] == '\n')
            bytes--;
        fprintf(stderr, "hearth: HTTP status %d: %.*s\n", answer->http_status,
                bytes, text);
    } else {
        print_answer(answer);
        print_times(&answer->times);
    }
    hearth_answer_free(&answer);
    return status == HEARTH_OK ? HEARTH_TOOL_OK : HEARTH_TOOL_FAILED;
}

static int run(const char *const *values, int argc, char *const *argv)
{
    struct hearth_engine_config config;
    struct hearth_service_config service_config;
    struct hearth_error err = {0};
    struct input input = {NULL, 0};
    hearth_engine_t *engine = NULL;
    hearth_service_t *service = NULL;
    int code = HEARTH_TOOL_FAILED;

    (void)argc;
    hearth_devices_environment();
    hearth_engine_config_init(&config);
    config.devices = values[OPT_DEVICES];
    config.io_threads = 1;
    config.pack_dir = getenv("HEARTH_PACK_DIR");
    if (values[OPT_VERBOSE])
        config.log_level = 3;
    else
        config.log = log_nothing;
    if (values[OPT_MEMORY] &&
        !hearth_parse_bytes(values[OPT_MEMORY], &config.memory_bytes))
        return hearth__tool_usage(&hearth__tool_try,
                                  "--memory=%s is no number of bytes: write "
                                  "512MiB, say",
                                  values[OPT_MEMORY]);
    hearth_service_config_init(&service_config);
    service_config.cold = 1; /* so that the times are this request's */
    if (read_input(argv[1], &input, &err) == HEARTH_OK &&
        hearth_engine_create(&engine, &config, &err) == HEARTH_OK &&
        hearth_service_open(&service, engine, argv[0], &service_config, &err) ==
            HEARTH_OK)
        code = ask(service, values[OPT_TYPE], &input, values[OPT_JSON] != NULL);
    else
        hearth__tool_failed(&err);
    hearth_service_close(&service);
    hearth_engine_destroy(&engine);
    hearth_free(input.data);
    return code;
}

static const struct hearth_tool_option options[] = {
    [OPT_DEVICES] = {"devices", "LIST",
                     "devices to run on, as \"cpu:0-1\" (cpu)"},
    [OPT_MEMORY] = {"memory", "BYTES",
                    "memory that models may take on a device"},
    [OPT_TYPE] = {"content-type", "TYPE",
                  "of the input (found from its first bytes)"},
    [OPT_JSON] = {"json", NULL, "print the answer's body and nothing else"},
    [OPT_VERBOSE] = {"verbose", NULL, "show the engine's log"},
    {NULL, NULL, NULL},
};

const struct hearth_tool_command hearth__tool_try = {
    .name = "try",
    .arguments = "hearth.yaml INPUT",
    .summary = "Runs a function on one input (- for standard input) and shows "
               "its answer",
    .options = options,
    .run = run,
    .min_operands = 2,
    .max_operands = 2,
};
