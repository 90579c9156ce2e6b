/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.c: where a plan's time goes, for "profile=on" in a device's spec. A
 * step's microseconds are added up from run to run; when the plan is dropped,
 * each step that took a share and the sums over operators are logged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "chain.h"

int64_t cpu_profile_now(void)
{
    return cpu_host->now_us(cpu_host->ctx);
}

void cpu_profile_step(struct cpu_plan *p, uint32_t step, int64_t us)
{
    if (p->step_us == NULL)
        p->step_us = cpu_calloc((size_t)p->step_count + 1, sizeof *p->step_us);
    if (p->step_us == NULL)
        return;
    p->step_us[step] += us;
    p->profiled += step + 1 == p->step_count;
}

static void report_step(const struct cpu_plan *p, const struct hearth_graph *g,
                        uint32_t i, int64_t all)
{
    char line[320], shape[120], more[40] = "";
    const struct hearth_graph_node *node =
        hearth_graph_node(g, p->steps[i].node);
    uint32_t y = hearth_graph_output(g, node, 0);
    if (p->steps[i].chain != NULL)
        snprintf(more, sizeof more, ", and %d before it",
                 p->steps[i].chain->links - 1);
    snprintf(line, sizeof line,
             "cpu: profile: %8.1f us %5.1f%% node %" PRIu32 " '%.60s' (%s%s) "
             "to %s",
             (double)p->step_us[i] / (double)p->profiled,
             (double)p->step_us[i] * 100 / (double)all, p->steps[i].node,
             hearth_graph_string(g, node->name), hearth_op_name(node->op), more,
             y == HEARTH_NO_VALUE ? "nothing"
                                  : hearth_shape_text(&p->spec.values[y].shape,
                                                      shape, sizeof shape));
    cpu_host->log(cpu_host->ctx, HEARTH_LOG_INFO, line);
}

/* All steps of that operator as one. */
static void report_op(const struct cpu_plan *p, const struct hearth_graph *g,
                      enum hearth_op op, int64_t all)
{
    char line[160];
    int64_t us = 0, steps = 0;
    for (uint32_t i = 0; i < p->step_count; i++)
        if (hearth_graph_node(g, p->steps[i].node)->op == op) {
            us += p->step_us[i];
            steps++;
        }
    snprintf(line, sizeof line,
             "cpu: profile: %8.1f us %5.1f%% in %" PRId64 " steps of %s",
             (double)us / (double)p->profiled, (double)us * 100 / (double)all,
             steps, hearth_op_name(op));
    cpu_host->log(cpu_host->ctx, HEARTH_LOG_INFO, line);
}

/* Has an earlier step that operator? */
static bool is_told(const struct cpu_plan *p, const struct hearth_graph *g,
                    uint32_t step)
{
    enum hearth_op op = hearth_graph_node(g, p->steps[step].node)->op;
    for (uint32_t i = 0; i < step; i++)
        if (hearth_graph_node(g, p->steps[i].node)->op == op)
            return true;
    return false;
}

void cpu_profile_report(const struct cpu_plan *p, const struct hearth_graph *g)
{
    int64_t all = 0;
    if (p->step_us == NULL || p->profiled == 0)
        return;
    for (uint32_t i = 0; i < p->step_count; i++)
        all += p->step_us[i];
    if (all == 0)
        return;
    for (uint32_t i = 0; i < p->step_count; i++)
        if (p->step_us[i] * 1000 > all)
            report_step(p, g, i, all);
    for (uint32_t i = 0; i < p->step_count; i++)
        if (!is_told(p, g, i))
            report_op(p, g, hearth_graph_node(g, p->steps[i].node)->op, all);
}
