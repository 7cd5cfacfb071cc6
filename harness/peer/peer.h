#pragma once
/* Systems of other people, each as an equation of ours: how their published tensors (safetensors and JSON, described in
 * docs/peers.md) go into it. To add one: a row of a file in harness/peer/ that defines `const Peers peers_NAME`.
 *
 * dims: our dimensions from theirs, "tokens=T heads=H/2 gated=?z": expressions (+ - * / and parentheses) over the numbers
 * of a case's "dims"; true and false are 1 and 0; a text is the name of a value; ?z is 1 when the case has in/z; axes(z)
 * is how many axes in/z has, axis(z,2) the length of one, both 0 without z; count(z) is how many numbers the dim z has.
 *
 * in, out: our tensors from theirs, "wq=q_proj.weight' state=@state0?", `ours=VIEW`, where VIEW is
 *   [@]NAME[rows]['][?][+1]   @: a batch axis in front, the equation is computed for every member
 *                             [a:b]: rows a to b - 1 of the first axis; [g;a:b;n]: of every of g groups of n rows
 *                             ': then transposed, [rows][all else] becomes [all else][rows]
 *                             ?: zeros where the case has none; outputs may always be absent      +1: ours is theirs plus 1
 *                             a * in NAME stands for 0, 1, ..: all such tensors, one after the other
 *   #NAME                     a number, boolean or list of the case's dims
 *   number                    that number everywhere */
typedef struct {
    const char *system, *equation, *dims, *in, *out;
} Peer;

/* One file's systems; the list ends with a NULL system. */
typedef struct {
    const Peer *list;
} Peers;

/* The i-th of all; NULL past the end. */
const Peer *peer_at(int i);
