/* The tasks against their definitions: strings byte for byte, placement, lengths, and a sample that is a
 * function of (seed, index) whichever part of it is read. */
#include "learn/score.h"
#include "ledger.h"
#include "task/task.h"
#include "test_reference.h"

#include <stdio.h>
#include <unistd.h>

static char *read_text(const Sample *s) {
    int32_t *tokens = calloc((size_t)s->length, sizeof *tokens);
    char *text = calloc((size_t)s->length + 1, 1);
    sample_read(s, 0, s->length, tokens, 0);
    for (int64_t i = 0; i < s->length; i++) text[i] = (char)tokens[i];
    free(tokens);
    return text;
}

/* haystack: a text for tasks that want one, or NULL. */
static int try_open(OpenTask *open, const char *name, const char *haystack, char *message, size_t size) {
    static unsigned char options[TASK_OPTIONS];
    const Task *task = task_find(name);
    field_defaults(task->fields, options);
    if (haystack)
        cr_assert(!field_set_text(field_find(task->fields, "haystack"), options, haystack, message, size));
    return task_open(open, task, options, message, size);
}

static OpenTask open_task(const char *name) {
    OpenTask open;
    char message[256];
    cr_assert(!try_open(&open, name, 0, message, sizeof message), "%s: %s", name, message);
    return open;
}

Test(tasks, a_sample_is_a_function_of_seed_index_and_length) {
    enum { LONGEST = 1 << 14 };
    static int32_t numbers[4 * LONGEST];
    int64_t checks = 0;
    for (int i = 0; task_at(i); i++) {
        const Task *task = task_at(i);
        cr_assert(task->min_length + 200 <= LONGEST && !task->features, "%s: this test is for tokens",
                  task->name);
        OpenTask open = open_task(task->name);
        for (int64_t length = task->min_length; length < task->min_length + 200; length += 13)
            for (uint64_t index = 0; index < 20; index++) {
                static Sample a, b;
                int32_t *whole = numbers + 0 * LONGEST, *part = numbers + LONGEST,
                        *targets = numbers + 2 * LONGEST, *part_targets = numbers + 3 * LONGEST;
                task_sample(&open, 7, index, length, -1.0, &a);
                task_sample(&open, 7, index, length, -1.0, &b);
                cr_assert(a.length == length, "%s: length %ld, not %ld", task->name, a.length, length);
                task_read(&open, &a, 0, length, &(SampleRows){.tokens = whole, .targets = targets});
                for (int64_t from = 0; from < length; from += 17) {
                    const int64_t n = length - from < 17 ? length - from : 17;
                    task_read(&open, &b, from, n,
                              &(SampleRows){.tokens = part + from, .targets = part_targets + from});
                }
                cr_assert(!memcmp(whole, part, (size_t)length * sizeof *whole), "%s: parts differ",
                          task->name);
                cr_assert(!memcmp(targets, part_targets, (size_t)length * sizeof *targets),
                          "%s: targets differ", task->name);
                int64_t asked = 0;
                for (int64_t t = 0; t < length; t++) {
                    cr_assert(whole[t] >= 0 && whole[t] < task->vocab, "%s: token %d", task->name, whole[t]);
                    if (targets[t] < 0) continue;
                    cr_assert(targets[t] == whole[t + 1], "%s: target at %ld", task->name, t);
                    asked++;
                }
                const Answer *last = &a.answers[a.answer_count - 1];
                cr_assert(asked == sample_asked(&a) && last->begin + last->length <= length);
                cr_assert(a.needle < a.answers[0].begin && a.depth >= 0.0 && a.depth <= 1.0);
                checks += length;
            }
        task_close(&open);
    }
    ledger_record("tasks", "function of seed and index", checks, 0);
}

Test(tasks, passkey_repeats_the_needle_at_the_end) {
    OpenTask open = open_task("passkey");
    int64_t first = 0, last = 0;
    for (uint64_t index = 0; index < 3000; index++) {
        static Sample s;
        task_sample(&open, 1, index, 100, -1.0, &s);
        const int64_t answer = s.answers[0].begin;
        first += s.needle == 0;
        last += s.needle + 9 == answer - 2;
        char *text = read_text(&s);
        cr_assert(text[s.needle] == 1 && text[answer - 2] == 1, "no KEY");
        cr_assert(!memcmp(text + s.needle, text + answer - 2, 9), "the query differs from the needle");
        cr_assert(s.needle + 9 <= answer - 2 && answer + 7 > 100 - 32);
        for (int64_t t = 0; t < 100; t++) {
            const int in_needle = t >= s.needle && t < s.needle + 9,
                      in_query = t >= answer - 2 && t < answer + 7;
            cr_assert((in_needle || in_query) == ((unsigned char)text[t] < 46), "token %d at %ld", text[t],
                      t);
        }
        free(text);
    }
    task_close(&open);
    cr_assert(first > 10 && last > 10, "the ends are never drawn: %ld first, %ld last", first, last);
    ledger_record("tasks", "passkey layout", 3000, 0);
}

/* Every text between the fixed strings of RULER, in their order. */
static int is_number(const char *value) {
    return strlen(value) == 7 && value[0] != '0' && strspn(value, "0123456789") == 7;
}

/* Lower-case version 4: 8-4-4-4-12 hexadecimal digits, version and variant in their places. */
static int is_uuid(const char *value) {
    if (strlen(value) != 36 || value[14] != '4' || !strchr("89ab", value[19])) return 0;
    for (int i = 0; i < 36; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? value[i] != '-' : !strchr("0123456789abcdef", value[i]))
            return 0;
    return 1;
}

/* The sample reads as RULER's template says, for `what` number or uuid. */
static void expect_ruler(const char *text, const Sample *s, const char *what, const char *noise) {
    char key[64] = "", value[48] = "", begins[64], wanted[512];
    const char *needle = text + s->needle;
    snprintf(wanted, sizeof wanted,
             "A special magic %s is hidden within the following text. Make sure to memorize it. I will quiz "
             "you about "
             "the %s afterwards.\n",
             what, what);
    cr_assert(!strncmp(text, wanted, strlen(wanted)), "%.150s", text);
    /* words of the list may hold blanks */
    snprintf(begins, sizeof begins, "One of the special magic %ss for ", what);
    const char *is = strstr(needle, " is: ");
    cr_assert(is && !strncmp(needle, begins, strlen(begins)) && is - needle < 100, "%.80s", needle);
    snprintf(key, sizeof key, "%.*s", (int)(is - needle) - (int)strlen(begins), needle + strlen(begins));
    cr_assert(sscanf(is, " is: %40[-0-9a-f].", value) == 1, "%.60s", is);
    cr_assert(strchr(key, '-') && (strcmp(what, "uuid") ? is_number(value) : is_uuid(value)),
              "key %s, value %s", key, value);
    snprintf(
        wanted, sizeof wanted,
        "\nWhat is the special magic %s for %s mentioned in the provided text? The special magic %s for %s "
        "mentioned in the provided text is %s",
        what, key, what, key, value);
    const char *question = strstr(needle, "\nWhat is");
    const int64_t length = (int64_t)strlen(value);
    cr_assert(question && !strncmp(question, wanted, strlen(wanted)), "%.300s", question ? question : needle);
    cr_assert(question + strlen(wanted) == text + s->answers[0].begin + length &&
              s->answers[0].length == length);
    if (noise) cr_assert(needle[-1] == '\n' && needle != text);
}

Test(tasks, niah1_is_rulers_noise_with_a_needle_that_is_never_last) {
    static const char line[] =
        "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
    cr_assert(strlen(line) == 89);
    OpenTask open = open_task("niah1");
    for (uint64_t index = 0; index < 300; index++) {
        static Sample s;
        task_sample(&open, 3, index, 2000, index % 3 ? -1.0 : (double)(index % 7) / 6.0, &s);
        char *text = read_text(&s);
        expect_ruler(text, &s, "number", line);
        int64_t lines = 0;
        for (const char *at = text; (at = strstr(at, line)) && at < text + s.answers[0].begin; at++) lines++;
        cr_assert(lines >= (2000 - 500) / 90, "%ld lines", lines);
        const char *after = strchr(text + s.needle, '\n');
        cr_assert(!strncmp(after + 1, line, 89), "no noise line after the needle: %.60s", after);
        free(text);
    }
    task_close(&open);
    ledger_record("tasks", "niah1 text", 300, 0);
}

static void expect_prose_needles(const char *name, const char *what) {
    OpenTask open = open_task(name);
    for (uint64_t index = 0; index < 300; index++) {
        static Sample s;
        task_sample(&open, 3, index, 2000, index % 2 ? -1.0 : (double)(index % 11) / 10.0, &s);
        char *text = read_text(&s);
        expect_ruler(text, &s, what, 0);
        const char *before = text + s.needle;
        cr_assert(before[-1] == ' ' || before[-1] == '\n', "needle after '%.10s'", before - 10);
        free(text);
    }
    task_close(&open);
    ledger_record("tasks", name, 300, 0);
}

Test(tasks, niah2_hides_the_needle_between_sentences) { expect_prose_needles("niah2", "number"); }
Test(tasks, niah3_hides_a_uuid_between_sentences) { expect_prose_needles("niah3", "uuid"); }

/* ---- several needles: MK-NIAH-1, MV-NIAH, MQ-NIAH ---- */

enum { SEVERAL = 4 };
typedef struct {
    const char *at; /* where it stands in the sample */
    char key[64], value[16];
    int bytes;
} FoundNeedle;

/* The needles of a sample as they follow in it; what lies between them is haystack. */
static void find_needles(const char *text, const char *question, FoundNeedle *found) {
    static const char begins[] = "One of the special magic numbers for ";
    const char *at = text;
    for (int i = 0; i < SEVERAL; i++) {
        FoundNeedle *n = &found[i];
        at = strstr(at, begins);
        cr_assert(at && at < question, "needle %d is not there", i);
        const char *is = strstr(at, " is: ");
        cr_assert(is && is - at < 100 && sscanf(is, " is: %7[0-9].", n->value) == 1, "%.120s", at);
        n->at = at;
        n->bytes = (int)(is - at) + 13;
        snprintf(n->key, sizeof n->key, "%.*s", (int)(is - at) - (int)strlen(begins), at + strlen(begins));
        cr_assert(is_number(n->value) && at[n->bytes - 1] == '.' && strchr(n->key, '-'), "%.120s", at);
        cr_assert((at[-1] == ' ' || at[-1] == '\n') && (at[n->bytes] == ' ' || at[n->bytes] == '\n'),
                  "needle %d has no blanks around it: %.120s", i, at - 1);
        at += n->bytes;
    }
    at = strstr(at, begins);
    cr_assert(!at || at > question, "more than %d needles", SEVERAL);
}

static const char *between(int i, int count) { return i == 0 ? "" : i < count - 1 ? ", " : ", and "; }

/* The needles whose keys follow in the question, in its order; how many there are. Behind the last one stands `ends`. */
static int find_asked(const char *query, const char *ends, int queries, const FoundNeedle *found,
                      int *asked) {
    int used[SEVERAL] = {0};
    for (int q = 0; q < queries; q++) {
        const char *then = q + 1 < queries ? between(q + 1, queries) : ends;
        cr_assert(!strncmp(query, between(q, queries), strlen(between(q, queries))), "%.200s", query);
        query += strlen(between(q, queries));
        for (asked[q] = 0; asked[q] < SEVERAL; asked[q]++) {
            const size_t n = strlen(found[asked[q]].key);
            if (used[asked[q]] || strncmp(query, found[asked[q]].key, n) ||
                strncmp(query + n, then, strlen(then)))
                continue;
            query += n;
            break;
        }
        cr_assert(asked[q] < SEVERAL, "key %d of the question is none of the haystack: %.60s", q, query);
        used[asked[q]] = 1;
    }
    return queries;
}

static void add_item(char *list, size_t size, const char *item, int i, int count) {
    const size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%.63s", between(i, count), item);
}

/* Question and answers byte for byte, for `count` needles that are asked for by `queries` keys. */
static void expect_question(const char *question, const char *text, const Sample *s, int queries, int count,
                            const FoundNeedle *found, const int *asked) {
    const char *number = count == 1 ? "number" : "numbers";
    char query[300] = "", answer[100] = "", wanted[1200];
    for (int q = 0; q < queries; q++) add_item(query, sizeof query, found[asked[q]].key, q, queries);
    for (int i = 0; i < count; i++) add_item(answer, sizeof answer, found[asked[i]].value, i, count);
    snprintf(
        wanted, sizeof wanted,
        "\nWhat %s the special magic %s for %s mentioned in the provided text? The special magic %s for %s "
        "mentioned in the provided text %s %s",
        count == 1 ? "is" : "are all", number, query, number, query, count == 1 ? "is" : "are", answer);
    cr_assert(!strncmp(question, wanted, strlen(wanted)), "%.500s\n, not\n%s", question, wanted);
    cr_assert(s->answer_count == count && question + strlen(wanted) <= text + s->length);
    const char *at = question + strlen(wanted) - strlen(answer);
    for (int i = 0; i < count; i++) {
        at += strlen(between(i, count));
        cr_assert(s->answers[i].begin == at - text && s->answers[i].length == 7, "place of answer %d", i);
        at += 7;
    }
}

/* The needle that is asked for first, or of one key any, lies where the sample says. */
static int expect_place(const char *context, const char *question, const char *text, const Sample *s,
                        const FoundNeedle *found) {
    int64_t bytes = question - context, before = s->needle - (context - text);
    int which = -1;
    for (int i = 0; i < SEVERAL; i++) {
        const int last = found[i].at + found[i].bytes == question;
        bytes -= found[i].bytes + !last;
        if (text + s->needle == found[i].at) which = i;
        if (which < 0) before -= found[i].bytes + 1;
    }
    cr_assert(which >= 0, "no needle at %ld", s->needle);
    cr_assert(fabs((double)before / (double)bytes - s->depth) < 3.0 / (double)bytes,
              "needle %d is at %g, not %g", which, (double)before / (double)bytes, s->depth);
    return which;
}

/* keys: 1, all needles have the same key, or all different ones. */
static void expect_several(const char *name, int keys, int queries) {
    OpenTask open = open_task(name);
    const int count = keys == 1 ? SEVERAL : queries;
    int first_asked[SEVERAL] = {0}, distinct_places = 0;
    for (uint64_t index = 0; index < 400; index++) {
        static Sample s;
        FoundNeedle found[SEVERAL];
        int asked[SEVERAL] = {0, 1, 2, 3};
        const double depth = index % 2 ? -1.0 : (double)(index % 11) / 10.0;
        task_sample(&open, 3, index, 3000, depth, &s);
        char *text = read_text(&s), before[300];
        const char *question =
                       strstr(text, count == 1 ? "\nWhat is the special" : "\nWhat are all the special"),
                   *query = strstr(question, " for ") + 5;
        snprintf(
            before, sizeof before,
            "%s hidden within the following text. Make sure to memorize it. I will quiz you about the %s "
            "afterwards.\n",
            count == 1 ? "A special magic number is" : "Some special magic numbers are",
            count == 1 ? "number" : "numbers");
        cr_assert(!strncmp(text, before, strlen(before)), "%.200s", text);
        find_needles(text, question, found);
        for (int i = 0; i < SEVERAL; i++)
            for (int j = 0; j < i; j++) {
                cr_assert(!strcmp(found[i].key, found[j].key) == (keys == 1), "%s, %s", found[i].key,
                          found[j].key);
                cr_assert(strcmp(found[i].value, found[j].value), "twice %s", found[i].value);
            }
        if (keys > 1) find_asked(query, " mentioned", queries, found, asked);
        expect_question(question, text, &s, queries, count, found, asked);
        const int which = expect_place(text + strlen(before), question, text, &s, found);
        cr_assert(keys == 1 || which == asked[0], "needle %d is asked for first, %d is meant", asked[0],
                  which);
        cr_assert(depth < 0.0 || fabs(s.depth - depth) < 0.34, "at %g, not %g", s.depth, depth);
        first_asked[which] += depth < 0.0;
        distinct_places += found[1].at > found[0].at + found[0].bytes + 1;
        free(text);
    }
    task_close(&open);
    for (int i = 0; i < SEVERAL; i++)
        cr_assert(first_asked[i] > 25 && first_asked[i] < 80, "needle %d is asked for %d times of 200", i,
                  first_asked[i]);
    cr_assert(distinct_places > 200, "two needles lie together %d times of 400", 400 - distinct_places);
    ledger_record("tasks", name, 400, 0);
}

Test(tasks, multikey_asks_for_one_of_four_keys) { expect_several("niah_multikey", SEVERAL, 1); }
Test(tasks, multivalue_asks_for_all_values_of_a_key) { expect_several("niah_multivalue", 1, 1); }
Test(tasks, multiquery_asks_for_all_keys_in_any_order) {
    expect_several("niah_multiquery", SEVERAL, SEVERAL);
}

/* A sample is that of one of the parts, with the same options, and each as often. */
static void expect_mix(const char *name, int count, const char *const *names) {
    enum { PARTS = 6, EACH = 100 };
    OpenTask mix = open_task(name), part[PARTS];
    int drawn[PARTS] = {0};
    const int samples = EACH * count;
    for (int i = 0; i < count; i++) part[i] = open_task(names[i]);
    for (uint64_t index = 0; index < (uint64_t)samples; index++) {
        static Sample s, own;
        task_sample(&mix, 3, index, 2000, index % 2 ? -1.0 : 0.3, &s);
        char *text = read_text(&s);
        int same = 0;
        for (int i = 0; i < count; i++) {
            task_sample(&part[i], 3, index, 2000, index % 2 ? -1.0 : 0.3, &own);
            char *wanted = read_text(&own);
            const int equal = !memcmp(text, wanted, 2000) && s.needle == own.needle && s.depth == own.depth &&
                              s.answers[0].begin == own.answers[0].begin;
            same += equal;
            drawn[i] += equal;
            free(wanted);
        }
        cr_assert(same == 1, "sample %lu of %s is one of %d tasks", index, name, same);
        free(text);
    }
    cr_assert(task_data(&mix).prose == task_data(&part[1]).prose &&
              task_data(&mix).words == task_data(&part[0]).words);
    for (int i = 0; i < count; i++) {
        cr_assert(drawn[i] > 0.7 * EACH && drawn[i] < 1.3 * EACH, "%s %d times of %d", names[i], drawn[i],
                  samples);
        task_close(&part[i]);
    }
    task_close(&mix);
    ledger_record("tasks", name, samples, 0);
}

Test(tasks, mixed_draws_one_of_the_single_needles) {
    static const char *const parts[] = {"niah1", "niah2", "niah3"};
    expect_mix("niah_mixed", 3, parts);
}
Test(tasks, all_draws_one_of_the_six_needles) {
    static const char *const parts[] = {"niah1",         "niah2",           "niah3",
                                        "niah_multikey", "niah_multivalue", "niah_multiquery"};
    expect_mix("niah_all", 6, parts);
}

/* Every set of answers with a wrong token, each of their tokens in turn. */
Test(tasks, an_answer_is_found_when_all_of_it_is_right) {
    static const Task task = {.metric = METRIC_EXACT};
    static Sample s;
    static const int64_t lengths[SEVERAL] = {7, 1, 3, 2};
    int64_t all = 0;
    for (int i = 0; i < SEVERAL; i++) {
        sample_answer(&s, 100 * (i + 1), lengths[i]);
        all += lengths[i];
    }
    for (int wrong = 0; wrong < 1 << SEVERAL; wrong++)
        for (int64_t place = 0; place < 7; place++) {
            Score score = {0}, sum = {0};
            int found = 0;
            for (int i = 0; i < SEVERAL; i++) {
                found += !(wrong >> i & 1);
                for (int64_t t = 0; t < lengths[i]; t++)
                    score_row(&score, &task, &s,
                              &(ScoreRow){.target = 1,
                                          .best = (wrong >> i & 1) && t == place % lengths[i] ? 2 : 1});
            }
            cr_assert(score.asked == all && score.right == all - (SEVERAL - found));
            cr_assert(score.answers == SEVERAL && score.found == found, "%ld of %ld, not %d", score.found,
                      score.answers, found);
            cr_assert(score_right(&score, &task, &s) == (wrong == 0));
            score_add(&sum, &score);
            score_add(&sum, &score);
            cr_assert(sum.answers == 2 * SEVERAL && sum.found == 2 * found);
        }
    ledger_record("tasks", "answers found", (1 << SEVERAL) * 7, 0);
}

/* A haystack that says one sentence again and again. */
static void write_haystack(const char *path, const char *sentence, int times) {
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    for (int i = 0; i < times; i++) fputs(sentence, f);
    fclose(f);
}

/* The needle lies where the sample says, which is near where it was wanted, whatever the script. */
static void expect_depths(const char *path, double reach) {
    char message[512];
    OpenTask open;
    cr_assert(!try_open(&open, "niah2", path, message, sizeof message), "%s", message);
    for (int i = 0; i <= 10; i++)
        for (uint64_t index = 0; index < 5; index++) {
            static Sample s;
            const double wanted = i / 10.0;
            task_sample(&open, 3, index, 3000, wanted, &s);
            char *text = read_text(&s);
            const char *begin = strchr(text, '\n') + 1, *end = strstr(text, "\nWhat is the special");
            const char *needle = text + s.needle, *behind = strchr(strchr(needle, ':'), '.') + 1;
            const double room = (double)((needle - begin) + (end - behind)),
                         place = (double)(needle - begin) / room;
            cr_assert(fabs(place - s.depth) < 2.0 / room && fabs(s.depth - wanted) <= reach,
                      "depth %g: the sample says %g, the needle is at %g", wanted, s.depth, place);
            cr_assert(((unsigned char)*begin & 192) != 128 && ((unsigned char)*behind & 192) != 128,
                      "a character was cut");
            free(text);
        }
    task_close(&open);
}

Test(tasks, a_needle_lies_where_it_is_wanted_in_any_script) {
    static const char *const sentences[] = {
        "It was a quiet day. ",
        "\u4eca\u5929\u662f\u4e00\u500b\u5b89\u975c\u7684\u65e5\u5b50\u3002", /* Chinese */
        "\u092f\u0939 \u090f\u0915 \u0926\u093f\u0928 \u0925\u093e\u0964 ",   /* Hindi */
        "x1 = f(y2) + 3;\n",                                                  /* no sentences */
        "\u00e4\u00f6\u00fc"};                                                /* no blanks */
    char path[] = "/tmp/titans-script-XXXXXX";
    close(mkstemp(path));
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++) {
        write_haystack(path, sentences[i], 2000);
        expect_depths(path, 0.03);
    }
    unlink(path);
    ledger_record("tasks", "depths", 5 * 55, 0);
}

/* Whether a needle drawn at random, in a sample too short for two sentences, ever stands inside a sentence. */
static int stands_inside(const char *haystack, const char *place) {
    static unsigned char options[TASK_OPTIONS];
    static Sample s;
    char message[512];
    OpenTask open;
    const Task *task = task_find("niah2");
    int inside = 0;
    field_defaults(task->fields, options);
    cr_assert(
        !field_set_text(field_find(task->fields, "haystack"), options, haystack, message, sizeof message));
    if (place)
        cr_assert(
            !field_set_text(field_find(task->fields, "place"), options, place, message, sizeof message));
    cr_assert(!task_open(&open, task, options, message, sizeof message), "%s", message);
    for (uint64_t index = 0; index < 40; index++) {
        task_sample(&open, 3, index, 512, -1.0, &s);
        char *text = read_text(&s);
        const char before = text[s.needle - 2];
        inside += text[s.needle - 1] != '\n' && before != '.';
        free(text);
    }
    task_close(&open);
    return inside;
}

Test(tasks, a_needle_stands_between_words_where_few_sentences_fit_or_never_does) {
    char path[] = "/tmp/titans-place-XXXXXX";
    close(mkstemp(path));
    write_haystack(
        path,
        "Whoever walks for a whole day along a river that nobody has given a name sees much water and "
        "many stones and now and then a bird that looks for something between them and finds it. ",
        200);
    cr_assert(stands_inside(path, 0) > 20 && stands_inside(path, "words") > 20);
    cr_assert(stands_inside(path, "sentences") == 0);
    unlink(path);
    ledger_record("tasks", "places", 120, 0);
}

Test(tasks, a_text_keeps_its_lines_and_a_haystack_does_not) {
    char path[] = "/tmp/titans-lines-XXXXXX", message[512];
    static const char verse[] = "ROMEO:\r\n  But soft,\twhat light\n\n";
    OpenTask text, prose;
    static Sample s;
    close(mkstemp(path));
    write_haystack(path, verse, 100);
    cr_assert(!try_open(&text, "text", path, message, sizeof message), "%s", message);
    for (uint64_t index = 0; index < 50; index++) {
        task_sample(&text, 3, index, 100, -1.0, &s);
        char *window = read_text(&s);
        int found = 0;
        for (size_t at = 0; at < sizeof verse - 1 && !found; at++) {
            found = 1;
            for (size_t t = 0; found && t < 100; t++)
                found = window[t] == verse[(at + t) % (sizeof verse - 1)];
        }
        cr_assert(found, "'%s' is not of the text", window);
        free(window);
    }
    cr_assert(!try_open(&prose, "niah2", path, message, sizeof message), "%s", message);
    task_sample(&prose, 3, 0, 2000, 0.5, &s);
    char *sample = read_text(&s);
    cr_assert(strstr(sample, "light ROMEO: But soft, what light") && !strstr(sample, "\r"));
    cr_assert(task_data(&text).prose != task_data(&prose).prose && task_data(&prose).words);
    free(sample);
    task_close(&text);
    task_close(&prose);
    unlink(path);
    ledger_record("tasks", "lines", 53, 0);
}

Test(tasks, text_held_out_is_not_in_the_training_part) {
    OpenTask parts[2];
    char path[] = "/tmp/titans-text-XXXXXX", message[512];
    const int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    for (int i = 0; i < 900; i++) fputc('a' + i % 7, f);
    for (int i = 0; i < 100; i++) fputc('A' + i % 7, f);
    fclose(f);
    cr_assert(!try_open(&parts[0], "text", path, message, sizeof message), "%s", message);
    cr_assert(!try_open(&parts[1], "text_held", path, message, sizeof message), "%s", message);
    for (uint64_t index = 0; index < 200; index++) {
        static Sample s;
        int32_t tokens[64], targets[64];
        for (int part = 0; part < 2; part++) {
            task_sample(&parts[part], 3, index, 64, -1.0, &s);
            cr_assert(s.length == 64 && s.answers[0].begin == 1 && s.answers[0].length == 63);
            sample_read(&s, 0, 64, tokens, targets);
            for (int t = 0; t < 64; t++) {
                cr_assert((tokens[t] >= 'a') == !part, "byte %d in part %d", tokens[t], part);
                cr_assert(t == 63 ? targets[t] == -1 : targets[t] == tokens[t + 1]);
            }
        }
    }
    for (int part = 0; part < 2; part++) task_close(&parts[part]);
    unlink(path);
    ledger_record("tasks", "text", 200 * 128, 0);
}

Test(tasks, a_haystack_that_is_missing_or_too_short_is_refused) {
    char message[512], path[] = "/tmp/titans-short-XXXXXX";
    OpenTask open;
    const int fd = mkstemp(path);
    cr_assert(write(fd, "too short", 9) == 9 && !close(fd));
    cr_assert(try_open(&open, "niah2", "/nonexistent/book.txt", message, sizeof message) &&
              strstr(message, "/nonexistent/book.txt"));
    cr_assert(try_open(&open, "niah2", path, message, sizeof message) && strstr(message, "1000"), "%s",
              message);
    unlink(path);
    ledger_record("tasks", "bad haystack", 2, 0);
}
