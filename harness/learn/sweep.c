#include "learn/sweep.h"
#include "base/number.h"
#include "base/size.h"
#include "file/safetensors.h"
#include "terminal/options.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MOST_JOBS = 100000,
    CLAIM_TEXT = 128,
    COLUMN_LOSS = 4,
    COLUMN_MATCH = 5,
    SWEEP_REASON = 6144,
    JOB_REASON = 2048
};
#define FAIL(...) return snprintf(message, size, __VA_ARGS__), -1

/* ---- the file ---- */

static const char *const sweep_keys[] = {"question", "recipes", "seeds", "folder", "set", "ask", 0},
                         *const entry_keys[] = {"recipe", "name", "set", "seeds", 0};
static const char *sweep_key(int i) { return sweep_keys[i]; }
static const char *entry_key(int i) { return entry_keys[i]; }

static int keys_known(const cJSON *object, const char *(*key)(int i), char *message, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, object) {
        int i = 0;
        while (key(i) && strcmp(key(i), item->string)) i++;
        if (!key(i)) return word_unknown("key", item->string, key, message, size), -1;
    }
    const cJSON *set = cJSON_GetObjectItemCaseSensitive(object, "set");
    if (set && !cJSON_IsObject(set)) FAIL("\"set\" must be an object of keys and values");
    if (cJSON_HasObjectItem(set, "seed")) FAIL("\"set\" holds \"seed\": the seeds are those of \"seeds\"");
    return 0;
}

static int number_is_seed(const cJSON *item) {
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= 9007199254740992.0 &&
           item->valuedouble == floor(item->valuedouble);
}

/* The keys of `set` over those of an object. */
static int put_over(cJSON *object, const cJSON *set, char *message, size_t size) {
    const cJSON *item;
    cJSON_ArrayForEach(item, set) {
        cJSON *copy = cJSON_Duplicate(item, 1);
        cJSON_DeleteItemFromObjectCaseSensitive(object, item->string);
        if (!copy || !cJSON_AddItemToObject(object, item->string, copy)) FAIL("no memory for a recipe");
    }
    return 0;
}

/* One of "recipes": a path, or an object with one. */
typedef struct {
    const char *path, *name; /* name: NULL, that of the path */
    const cJSON *set;
} Entry;

static int entry_read(const cJSON *item, Entry *e, char *message, size_t size) {
    const cJSON *path = item;
    *e = (Entry){0};
    if (cJSON_IsObject(item)) {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        if (keys_known(item, entry_key, message, size)) return -1;
        path = cJSON_GetObjectItemCaseSensitive(item, "recipe");
        e->set = cJSON_GetObjectItemCaseSensitive(item, "set");
        e->name = cJSON_GetStringValue(name);
        if (name &&
            (!e->name || !*e->name || strchr(e->name, '/') || *e->name == '.' || strlen(e->name) > 200))
            FAIL("\"name\" must be a text of at most 200 characters that can begin a file's name");
    }
    e->path = cJSON_GetStringValue(path);
    if (!e->path || !*e->path)
        FAIL("each of \"recipes\" must be a path or {\"recipe\": path, \"name\": .., \"set\": {..}}");
    return 0;
}

/* A path in the folder (malloc), NULL without memory. */
static char *path_in(const char *folder, const char *name, const char *ending) {
    const size_t size = strlen(folder) + strlen(name) + strlen(ending) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s%s", folder, name, ending);
    return path;
}

static int job_place(SweepJob *job, const Sweep *s, const Entry *e, char *message, size_t size) {
    char copy[PATH_TEXT], base[PATH_TEXT];
    if (strlen(e->path) >= sizeof copy) FAIL("the path of a recipe is too long: %.60s..", e->path);
    snprintf(copy, sizeof copy, "%s", e->path);
    snprintf(base, sizeof base, "%s", e->name ? e->name : basename(copy));
    char *dot = e->name ? 0 : strrchr(base, '.');
    if (dot && dot > base) *dot = 0;
    snprintf(job->name, sizeof job->name, "%.200s-s%lld", base, (long long)job->recipe.seed);
    for (const char *c = job->name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            FAIL("a job's name would hold a control character: give a \"name\"");
    job->checkpoint = path_in(s->folder, job->name, ".safetensors");
    job->log = path_in(s->folder, job->name, ".tsv");
    job->claim = path_in(s->folder, job->name, ".claim");
    if (!job->checkpoint || !job->log || !job->claim) FAIL("no memory for job %s", job->name);
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->jobs[i].name, job->name))
            FAIL("two jobs would be called %s: give one of their recipes a \"name\"", job->name);
    return 0;
}

/* What trainer_create will make of the recipe, as far as it can be known without the task's texts. */
static int job_settle(SweepJob *job, char *message, size_t size) {
    Recipe *r = &job->recipe;
    job->steps = r->steps ? r->steps : curriculum_steps(r->curriculum);
    if (job->steps < 0) FAIL("\"curriculum\" must read like \"64:1200 128:400\"");
    if (*r->from) return 0;
    if (!r->model.vocab) r->model.vocab = r->task->vocab;
    if (!r->model.features) r->model.features = r->task->features;
    return config_settle(&r->model, message, size);
}

/* A model that begins with a checkpoint is that of the checkpoint, whatever else a recipe says of it. */
static int job_begins(const cJSON *object, const Recipe *r, char *message, size_t size) {
    const cJSON *item;
    if (!*r->from) return 0;
    cJSON_ArrayForEach(item, object) {
        if (config_known(item->string) || !strcmp(item->string, "mixer") || !strcmp(item->string, "preset"))
            FAIL("\"%s\" is a key of the model, which is that of \"from\", %.200s: leave it out",
                 item->string, r->from);
    }
    return 0;
}

static int job_read(SweepJob *job, const Sweep *s, const Entry *e, const cJSON *seed, const cJSON *set,
                    char *message, size_t size) {
    char reason[JOB_REASON];
    cJSON *object = settings_open(e->path, message, size);
    if (!object) return -1;
    int status =
        put_over(object, set, reason, sizeof reason) || put_over(object, e->set, reason, sizeof reason);
    cJSON_DeleteItemFromObjectCaseSensitive(object, "seed");
    cJSON_AddNumberToObject(object, "seed", seed->valuedouble);
    status = status || recipe_read(object, &job->recipe, 0, reason, sizeof reason) ||
             job_begins(object, &job->recipe, reason, sizeof reason) ||
             job_place(job, s, e, reason, sizeof reason) || job_settle(job, reason, sizeof reason);
    cJSON_Delete(object);
    if (status) FAIL("%s: %s", e->path, reason);
    return 0;
}

/* The seeds of one of "recipes", which may name its own. */
static const cJSON *seeds_of(const cJSON *object, const cJSON *recipe) {
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(recipe, "seeds");
    return own ? own : cJSON_GetObjectItemCaseSensitive(object, "seeds");
}

/* Room for all jobs. */
static int jobs_begin(Sweep *s, const cJSON *object, char *message, size_t size) {
    const cJSON *recipes = cJSON_GetObjectItemCaseSensitive(object, "recipes"), *recipe;
    int64_t jobs = 0;
    int lists = cJSON_IsArray(recipes);
    cJSON_ArrayForEach(recipe, recipes) {
        lists &= cJSON_IsArray(seeds_of(object, recipe));
        jobs += cJSON_GetArraySize(seeds_of(object, recipe));
    }
    if (!lists || jobs < 1 || jobs > MOST_JOBS)
        FAIL("\"recipes\" and \"seeds\" must be lists, of at least one and together at most %d jobs",
             MOST_JOBS);
    s->jobs = calloc((size_t)jobs, sizeof *s->jobs);
    if (!s->jobs) FAIL("no memory for %lld jobs", (long long)jobs);
    s->room = jobs;
    return 0;
}

static int sweep_jobs(Sweep *s, const cJSON *object, char *message, size_t size) {
    const cJSON *set = cJSON_GetObjectItemCaseSensitive(object, "set"), *recipe, *seed;
    if (jobs_begin(s, object, message, size)) return -1;
    cJSON_ArrayForEach(recipe, cJSON_GetObjectItemCaseSensitive(object, "recipes")) {
        Entry e;
        if (entry_read(recipe, &e, message, size)) return -1;
        cJSON_ArrayForEach(seed, seeds_of(object, recipe)) {
            if (!number_is_seed(seed)) FAIL("\"seeds\" must be whole numbers from 0 to 2^53");
            if (job_read(&s->jobs[s->count], s, &e, seed, set, message, size)) return -1;
            s->count++;
        }
    }
    return 0;
}

static int sweep_folder(Sweep *s, const cJSON *object, const char *folder, char *message, size_t size) {
    struct stat info;
    if (!folder) folder = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "folder"));
    if (!folder || !*folder) FAIL("\"folder\" must be the path of a folder, for what is trained");
    s->folder = strdup(folder);
    if (!s->folder) FAIL("no memory");
    if (mkdir(folder, 0777) && errno != EEXIST) FAIL("folder %s: %s", folder, strerror(errno));
    if (stat(folder, &info) || !S_ISDIR(info.st_mode)) FAIL("%s is there and is no folder", folder);
    return 0;
}

int sweep_open(Sweep *s, const char *path, const char *folder, char *message, size_t size) {
    char reason[SWEEP_REASON];
    *s = (Sweep){0};
    cJSON *object = settings_open(path, message, size);
    if (!object) return -1;
    const int status = keys_known(object, sweep_key, reason, sizeof reason) ||
                       sweep_folder(s, object, folder, reason, sizeof reason) ||
                       sweep_jobs(s, object, reason, sizeof reason);
    cJSON_Delete(object);
    if (!status) return 0;
    snprintf(message, size, "%s: %s", path, reason);
    sweep_close(s);
    return -1;
}

int sweep_models(Sweep *s, const char *models, char *message, size_t size) {
    for (int i = 0; i < s->count; i++) {
        free(s->jobs[i].checkpoint);
        s->jobs[i].checkpoint = path_in(models, s->jobs[i].name, ".safetensors");
        if (!s->jobs[i].checkpoint) FAIL("no memory for job %s", s->jobs[i].name);
    }
    return 0;
}

void sweep_close(Sweep *s) {
    for (int64_t i = 0; i < s->room; i++) { /* the one that could not be read, too */
        free(s->jobs[i].checkpoint);
        free(s->jobs[i].log);
        free(s->jobs[i].claim);
    }
    free(s->jobs);
    free(s->folder);
    *s = (Sweep){0};
}

/* ---- what is done ---- */

/* Whether a checkpoint's training is the one that the job asks for; texts and versions are the trainer's to compare. */
static int job_differs(const SweepJob *job, const SafeFile *file, char *difference, size_t size) {
    Recipe theirs = job->recipe, ours = job->recipe;
    const char *train = safetensors_metadata(file, "train"), *config = safetensors_metadata(file, "config");
    if (!train || !config || recipe_restore(&theirs, train, difference, size)) return -1;
    ours.task_version = theirs.task_version;
    snprintf(ours.prose_hash, sizeof ours.prose_hash, "%s", theirs.prose_hash);
    snprintf(ours.words_hash, sizeof ours.words_hash, "%s", theirs.words_hash);
    char *one = recipe_text(&theirs), *two = recipe_text(&ours), *model = settings_of_model(&ours.model);
    const int differ = !one || !two || !model || settings_differ(one, two, difference, size) ||
                       (!*ours.from && settings_differ(config, model, difference, size));
    free(one);
    free(two);
    free(model);
    return differ;
}

int64_t sweep_steps(const SweepJob *job, char *message, size_t size) {
    char difference[JOB_REASON] = "it has no readable recipe";
    SafeFile file;
    double step = -1.0;
    if (access(job->checkpoint, F_OK)) return 0;
    if (safetensors_read(&file, job->checkpoint, message, size)) return -1;
    const char *text = safetensors_metadata(&file, "step");
    const int differs = job_differs(job, &file, difference, sizeof difference);
    if (!text || number_read(text, 0, 1e9, &step)) step = -1.0;
    safetensors_close(&file);
    if (!differs && step >= 0.0) return (int64_t)step;
    snprintf(message, size, "%s is of another training (%s); name another folder, or take the file away",
             job->checkpoint, difference);
    return -1;
}

int64_t sweep_tokens(const SweepJob *job, int64_t step) {
    const Recipe *r = &job->recipe;
    return size_times(r->batch, curriculum_tokens(r->curriculum, 0, job->steps) -
                                    curriculum_tokens(r->curriculum, step, job->steps));
}

int sweep_last_row(const SweepJob *job, double *loss, double *match) {
    char *line = 0, *cell, *rest;
    size_t room = 0;
    int found = -1;
    FILE *file = fopen(job->log, "r");
    while (file && getline(&line, &room, file) > 0) {
        double value[2] = {NAN, NAN};
        rest = line;
        for (int i = 0; (cell = strsep(&rest, "\t")) && i <= COLUMN_MATCH; i++)
            if (i >= COLUMN_LOSS && number_read(cell, -1e300, 1e300, &value[i - COLUMN_LOSS])) break;
        if (!isfinite(value[0]) || !isfinite(value[1])) continue;
        *loss = value[0], *match = value[1], found = 0;
    }
    free(line);
    if (file) fclose(file);
    return found;
}

/* ---- claims ---- */

int sweep_take(const char *claim, char *message, size_t size) {
    const int fd = open(claim, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) FAIL("%s: %s", claim, strerror(errno));
    if (!flock(fd, LOCK_EX | LOCK_NB)) return fd;
    const int busy = errno == EWOULDBLOCK;
    if (!busy) snprintf(message, size, "%s cannot be locked: %s", claim, strerror(errno));
    close(fd);
    return busy ? SWEEP_BUSY : -1;
}

void sweep_tell(int claim, const SweepClaim *now) {
    char text[CLAIM_TEXT], seconds[32];
    number_format(seconds, sizeof seconds, "%.2f", now->seconds);
    const int n = snprintf(text, sizeof text, "%lld %s %s\n", (long long)now->step, seconds,
                           now->failed ? "failed" : "well");
    /* one that cannot be written costs a number in a table */
    if (pwrite(claim, text, (size_t)n, 0) == n && ftruncate(claim, n)) return;
}

SweepClaim sweep_claim(const char *claim) {
    SweepClaim c = {0};
    char text[CLAIM_TEXT] = "", *rest = text;
    struct stat info;
    FILE *file = fopen(claim, "r");
    if (file && fgets(text, sizeof text, file) && !fstat(fileno(file), &info)) {
        const char *step = strsep(&rest, " "), *seconds = strsep(&rest, " ");
        double number = 0.0;
        if (!number_read(step, 0, 1e9, &number)) c.step = (int64_t)number;
        if (seconds && !number_read(seconds, 0, 1e12, &number)) c.seconds = number;
        c.failed = rest && !strncmp(rest, "failed", 6);
        c.written = (double)info.st_mtim.tv_sec + 1e-9 * (double)info.st_mtim.tv_nsec;
    }
    if (file) fclose(file);
    return c;
}
