#pragma once
#include "model/model.h"
#include "file/safetensors.h"

/* The state of sequences in progress as a safetensors file: every slot of every layer as "layer.N.slot.K"; position,
 * batch and capacity as metadata, and what it belongs to: the configuration, a hash of the weights, and one of the
 * contents. A stream that goes on from it has the same bits as one that never stopped, on any instruction set and number
 * of threads. A state with a number that is not finite is not written. */

/* Of all weights of a model: what a state names as its own. */
uint64_t state_weights_hash(const Model *model);

/* A key of metadata that a state has itself. */
int state_key_is_own(const char *key);

/* metadata: the caller's own, kept beside, none of them state_key_is_own, none twice. 0, or -1 with a message. */
int state_save(const char *path, const State *state, const Model *model, const SafeMetadata *metadata,
               int metadata_count, char *message, size_t size);

/* Starts `state` from an open file (safetensors_read); refuses one of another model, or damaged. */
int state_load(const SafeFile *file, State *state, const Model *model, char *message, size_t size);
