/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: the process's own numbers, by the names that every Prometheus
 * client gives them. */
#include "stat/stat.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void put_head(struct hearth_stat_text *text, const char *name,
                     const char *type, const char *help)
{
    hearth_stat_put(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                    type);
}

/* From /proc/self/stat: virtual and resident bytes, and the start, in clock
 * ticks since boot. */
static bool read_stat(unsigned long long *virt, long long *resident,
                      unsigned long long *start)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t n = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
    const char *rest;

    if (file)
        fclose(file);
    line[n] = '\0';
    rest = strrchr(line, ')'); /* the name may hold anything */
    return rest && sscanf(rest + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u "
                          "%*u %*d %*d %*d %*d %*d %*d %llu %llu %lld",
                          start, virt, resident) == 3;
}

static double boot_time(void)
{
    char line[256];
    FILE *file = fopen("/proc/stat", "re");
    double seconds = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "btime %lf", &seconds) == 1)
            break;
    if (file)
        fclose(file);
    return seconds;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", "..", and <dir> itself */
}

void hearth_stat_write_process(struct hearth_stat_text *text)
{
    unsigned long long virt, start;
    long long resident;
    struct rusage usage;
    struct rlimit files;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        put_head(text, "process_cpu_seconds_total", "counter",
                 "Total user and system CPU time spent in seconds.");
        hearth_stat_put(
            text, "process_cpu_seconds_total %.6f\n",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) /
                    1e6);
    }
    put_head(text, "process_open_fds", "gauge",
             "Number of open file descriptors.");
    hearth_stat_put(text, "process_open_fds %d\n", count_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        put_head(text, "process_max_fds", "gauge",
                 "Maximum number of open file descriptors.");
        hearth_stat_put(text, "process_max_fds %llu\n",
                        (unsigned long long)files.rlim_cur);
    }
    if (!read_stat(&virt, &resident, &start))
        return;
    put_head(text, "process_virtual_memory_bytes", "gauge",
             "Virtual memory size in bytes.");
    hearth_stat_put(text, "process_virtual_memory_bytes %llu\n", virt);
    put_head(text, "process_resident_memory_bytes", "gauge",
             "Resident memory size in bytes.");
    hearth_stat_put(text, "process_resident_memory_bytes %lld\n",
                    resident * sysconf(_SC_PAGESIZE));
    put_head(text, "process_start_time_seconds", "gauge",
             "Start time of the process since unix epoch in seconds.");
    hearth_stat_put(text, "process_start_time_seconds %.2f\n",
                    boot_time() + (double)start / (double)sysconf(_SC_CLK_TCK));
}
