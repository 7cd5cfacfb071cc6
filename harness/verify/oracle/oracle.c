#include "oracle/oracle.h"
#include "base/check.h"
#include "oracle/quad.h"

#include "oracle_equations.h"

const OracleEquation *oracle_equation(int i) {
    for (int file = 0; oracle_equations[file]; file++)
        for (const OracleEquation *e = oracle_equations[file]->list; e->name; e++)
            if (i-- == 0) return e;
    return NULL;
}

void oracle_equation_run(const OracleEquation *e, const OracleCall *c) {
    e->run(c);
    quads_release();
}

static int place(const OracleCall *c, const Argument *list, const char *name) {
    const int i = argument_find(list, name);
    CHECK(i >= 0, "oracle: %s has no argument %s", c->dims->equation->name, name);
    return i;
}

const double *in(const OracleCall *c, const char *name) {
    return c->in[place(c, c->dims->equation->in, name)];
}
double *out(const OracleCall *c, const char *name) { return c->out[place(c, c->dims->equation->out, name)]; }
