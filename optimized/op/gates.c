#include "base/check.h"
#include "op/op.h"

typedef struct {
    GateShape shape;
    Tensor *z;
    Gates gates;
    float penalty;
} GatesContext;

static void gates_backward(void *context) {
    const GatesContext *c = context;
    kernel->gates->backward(&c->shape, c->penalty, c->z->data, c->gates.keep->grad, c->gates.theta->grad,
                            c->gates.eta->grad, c->z->grad);
}

Gates op_gates(Tape *tape, const GateShape *shape, Tensor *z, float penalty) {
    CHECK(z->cols == gates_columns(shape), "z has %ld columns, the gates need %ld", z->cols,
          gates_columns(shape));
    const Gates gates = {tape_tensor(tape, z->rows, shape->heads * shape->sets * shape->channels),
                         tape_tensor(tape, z->rows, shape->heads * shape->sets),
                         tape_tensor(tape, z->rows, shape->heads * shape->sets)};
    kernel->gates->forward(shape, z->data, gates.keep->data, gates.theta->data, gates.eta->data);
    tape_push(tape, gates_backward, &(GatesContext){*shape, z, gates, penalty}, sizeof(GatesContext));
    return gates;
}
