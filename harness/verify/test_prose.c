/* Prose and words that everybody has: what is trained on and what is asked have nothing in common, hashes are of what is used,
 * and they are the published ones. */
#include "base/hash.h"
#include "base/random.h"
#include "learn/trained.h"
#include "ledger.h"
#include "task/shared/data.h"
#include "task/shared/prose.h"
#include "task/shared/unpack.h"
#include "task/shared/words.h"
#include "test_reference.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIBLE "/usr/lib/bible.data"

/* Of bible-kjv-text 4.38 and wordnet-base 3.0: what published accuracies were measured on. */
#define OLD_TESTAMENT 0x204cef1555a1aaf7u
#define NEW_TESTAMENT 0x1d0b08aec7a9b0adu
#define TEST_WORDS 0xee15f6a5b78cb86du
#define OTHER                                                                                                \
    "this system's %s differs from that of bible-kjv-text 4.38 and wordnet-base 3.0 (hash %016llx): "        \
    "accuracies "                                                                                            \
    "cannot be compared with the published ones"

static Prose open_prose(const char *name, Side side, int as_is) {
    Prose p;
    char message[512];
    cr_assert(!(as_is ? prose_open_as_is : prose_open)(&p, name, side, message, sizeof message), "%s",
              message);
    return p;
}

static Words open_words(Side side) {
    Words w;
    char message[512];
    cr_assert(!words_open(&w, WORDS_WORDNET, side, message, sizeof message), "%s", message);
    return w;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Lines of a text, sorted; the text is cut into them. */
static char **sorted_lines(Prose *p, int64_t *count) {
    char **line = calloc((size_t)p->length, sizeof *line), *rest = p->text;
    *count = 0;
    while ((line[*count] = strtok_r(rest, "\n", &rest))) ++*count;
    qsort(line, (size_t)*count, sizeof *line, by_text);
    return line;
}

/* The testaments have 23,145 and 7,957 verses, and begin and end where they do. */
Test(prose, the_testaments_have_no_verse_in_common) {
    enum { OLD = 23145, NEW = 7957, LONG = 60 };
    Prose old = open_prose("bible", SIDE_TRAIN, 1), new = open_prose("", SIDE_TEST, 1);
    static const char first_old[] = "In the beginning God created",
                      first_new[] = "The book of the generation of",
                      last_old[] = "smite the earth with a curse.\n", last_new[] = "be with you all. Amen.\n";
    cr_assert(!strncmp(old.text, first_old, strlen(first_old)) &&
              !strncmp(new.text, first_new, strlen(first_new)));
    cr_assert_str_eq(old.text + old.length - strlen(last_old), last_old);
    cr_assert_str_eq(new.text + new.length - strlen(last_new), last_new);
    int64_t a, b, same = 0;
    char **old_verse = sorted_lines(&old, &a), **new_verse = sorted_lines(&new, &b);
    cr_assert(a == OLD && b == NEW, "%lld and %lld verses", (long long)a, (long long)b);
    for (int64_t i = 0; i < b; i++) {
        cr_assert(!strpbrk(new_verse[i], "0123456789"), "a number in '%s'", new_verse[i]);
        char **found = bsearch(&new_verse[i], old_verse, (size_t)a, sizeof *old_verse, by_text);
        same += found && strlen(*found) > LONG;
    }
    cr_assert(same == 0, "%lld long verses are in both", (long long)same);
    free(old_verse);
    free(new_verse);
    prose_close(&old);
    prose_close(&new);
    ledger_record("prose", "verses", OLD + NEW, 0);
}

Test(prose, no_word_is_in_both_lists) {
    Words train = open_words(SIDE_TRAIN), test = open_words(SIDE_TEST);
    const int64_t adjectives = train.adjective_count + test.adjective_count,
                  nouns = train.noun_count + test.noun_count;
    cr_assert(adjectives == 4748 && nouns == 9199, "%lld adjectives, %lld nouns", (long long)adjectives,
              (long long)nouns);
    for (int64_t i = 0; i < test.adjective_count; i++)
        cr_assert(!bsearch(&test.adjectives[i], train.adjectives, (size_t)train.adjective_count,
                           sizeof *train.adjectives, by_text));
    for (int64_t i = 0; i < test.noun_count; i++)
        cr_assert(
            !bsearch(&test.nouns[i], train.nouns, (size_t)train.noun_count, sizeof *train.nouns, by_text));
    words_close(&train);
    words_close(&test);
    ledger_record("prose", "words", adjectives + nouns, 0);
}

/* Published accuracies are of these texts; other versions of the packages may have others. */
Test(prose, of_the_packages_is_the_published_one) {
    static const struct {
        Side side;
        uint64_t hash;
    } wanted[] = {{SIDE_TRAIN, OLD_TESTAMENT}, {SIDE_TEST, NEW_TESTAMENT}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        Prose p = open_prose("bible", wanted[i].side, 0);
        cr_assert(p.hash == wanted[i].hash, OTHER, p.origin, (unsigned long long)p.hash);
        prose_close(&p);
    }
    Words w = open_words(SIDE_TEST);
    cr_assert(w.hash == TEST_WORDS, OTHER, w.origin, (unsigned long long)w.hash);
    words_close(&w);
    ledger_record("prose", "published hashes", 3, 0);
}

Test(prose, a_hash_is_of_the_text_that_is_used) {
    char path[] = "/tmp/titans-prose-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    for (int i = 0; i < 500; i++) fprintf(f, "Day %d was\n quiet.  ", i);
    fclose(f);
    const char *const names[] = {"bible", path};
    for (int i = 0; i < 8; i++) {
        Prose p = open_prose(names[i / 4], i % 4 / 2 ? SIDE_TEST : SIDE_TRAIN, i % 2);
        cr_assert(p.length == (int64_t)strlen(p.text) &&
                      p.hash == hash_bytes(HASH_START, p.text, (size_t)p.length),
                  "%s", p.origin);
        cr_assert((i % 2) == (strstr(p.text, "\n") != 0));
        prose_close(&p);
    }
    unlink(path);
    ledger_record("prose", "hashes", 8, 0);
}

Test(prose, the_two_parts_of_a_file_are_the_file) {
    static const char sentence[] = "\u00c4rger \u5929\u3002";
    char path[] = "/tmp/titans-prose-XXXXXX", whole[sizeof sentence * 200] = "", joined[sizeof whole + 1];
    for (size_t i = 0; i < 137; i++) memcpy(whole + i * (sizeof sentence - 1), sentence, sizeof sentence);
    FILE *f = fdopen(mkstemp(path), "w");
    fputs(whole, f);
    fclose(f);
    Prose train = open_prose(path, SIDE_TRAIN, 1), test = open_prose(path, SIDE_TEST, 1);
    snprintf(joined, sizeof joined, "%s%s", train.text, test.text);
    cr_assert_str_eq(joined, whole);
    cr_assert(((unsigned char)*test.text & 192) != 128, "a character was cut");
    cr_assert(llabs(10 * test.length - (long long)strlen(whole)) < 40);
    prose_close(&train);
    prose_close(&test);
    unlink(path);
    ledger_record("prose", "parts of a file", 3, 0);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL, "%s", path);
    for (int i = 0; i < 100; i++) fputs(text, f);
    fclose(f);
}

/* The essays are trained on, the novels are asked. */
Test(prose, essays_are_asked_in_novels) {
    static const char *const files[] = {
        "essays/ralph-waldo-emerson_essays.txt", "essays/henry-david-thoreau_walden.txt",
        "books/jane-austen_pride-and-prejudice.txt", "books/herman-melville_moby-dick.txt"};
    char folder[] = "/tmp/titans-prose-XXXXXX", command[64], text[] = "A text. ";
    cr_assert(mkdtemp(folder) && !chdir(folder) && !mkdir("essays", 0700) && !mkdir("books", 0700));
    cr_assert(!setenv("TITANS_DATA", folder, 1));
    for (int i = 0; i < 4; i++) {
        *text = (char)('A' + i);
        write_text(files[i], text);
    }
    Prose train = open_prose("essays", SIDE_TRAIN, 0), test = open_prose("essays", SIDE_TEST, 0);
    cr_assert(strstr(train.text, "A text. B text.") && !strpbrk(train.text, "CD"));
    cr_assert(strstr(test.text, "C text. D text.") && !strpbrk(test.text, "AB"));
    prose_close(&train);
    prose_close(&test);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!chdir("/") && !system(command));
    ledger_record("prose", "essays and novels", 2, 0);
}

/* A sample that is asked is made of the other testament than one that is trained on, with words of the other list. */
Test(prose, evaluation_asks_what_was_not_trained_on) {
    enum { LENGTH = 2000, PIECE = 300 };
    static const char model[] = "results/checkpoints/lmm-niah2-s0.safetensors";
    static Trained t;
    static Sample s;
    int32_t tokens[LENGTH];
    char message[1024], piece[PIECE + 1] = "";
    Prose side[] = {open_prose("bible", SIDE_TRAIN, 0), open_prose("bible", SIDE_TEST, 0)};
    for (int asked = 0; asked < 2; asked++) {
        cr_assert(
            !trained_open(&t, model, &(Asked){.side = asked ? 0 : "train"}, LENGTH, message, sizeof message),
            "%s", message);
        const TaskData data = task_data(&t.task);
        cr_assert(data.prose == side[asked].hash && (data.words == TEST_WORDS) == asked);
        task_sample(&t.task, 1, 0, LENGTH, 1.0, &s);
        task_read(&t.task, &s, 0, LENGTH, &(SampleRows){.tokens = tokens});
        for (int i = 0; i < PIECE; i++) piece[i] = (char)tokens[s.needle - PIECE - 1 + i];
        cr_assert(strstr(side[asked].text, piece) && !strstr(side[!asked].text, piece), "%s", piece);
        trained_close(&t);
    }
    const Task *task = task_find("niah2");
    static _Alignas(16) unsigned char options[TASK_OPTIONS];
    OpenTask open;
    field_defaults(task->fields, options);
    cr_assert(!task_open(&open, task, options, message, sizeof message), "%s", message);
    cr_assert(task_data(&open).prose == side[SIDE_TRAIN].hash && task_data(&open).words != TEST_WORDS);
    task_close(&open);
    for (int i = 0; i < 2; i++) prose_close(&side[i]);
    ledger_record("prose", "sides", 8, 0);
}

Test(prose, a_package_that_is_missing_or_damaged_is_named) {
    char message[512], folder[] = "/tmp/titans-prose-XXXXXX", command[96];
    int64_t n;
    Prose p;
    Words w;
    cr_assert(mkdtemp(folder) && !setenv("TITANS_PACKAGES", folder, 1) && !chdir(folder));
    cr_assert(prose_open(&p, "bible", SIDE_TEST, message, sizeof message) && strstr(message, folder) &&
                  strstr(message, "bible-kjv-text") && strstr(message, "make deps"),
              "%s", message);
    cr_assert(words_open(&w, WORDS_WORDNET, SIDE_TEST, message, sizeof message) &&
                  strstr(message, "wordnet-base") && strstr(message, "make deps"),
              "%s", message);
    char *whole = data_read(BIBLE, &n, message, sizeof message);
    cr_assert(whole, "%s", message);
    static const struct {
        int64_t at, cut;
    } damage[] = {{0, 0}, {0x58, 0}, {0x16f, 0}, {0x170, 0}, {0x172, 0}, {-1, 1}, {-1, 1700000}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        FILE *f = fopen("bible.data", "w");
        if (damage[i].at >= 0) whole[damage[i].at] ^= 64;
        cr_assert(fwrite(whole, 1, (size_t)(n - damage[i].cut), f) == (size_t)(n - damage[i].cut) &&
                  !fclose(f));
        if (damage[i].at >= 0) whole[damage[i].at] ^= 64;
        cr_assert(prose_open(&p, "bible", SIDE_TEST, message, sizeof message) && strstr(message, "damaged"),
                  "damage %zu: %s", i, message);
    }
    free(whole);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!chdir("/") && !system(command));
    ledger_record("prose", "damage", 9, 0);
}

/* Whatever the bytes are, the text is refused or within its bounds. */
Test(prose, unpacking_is_safe_on_any_bytes) {
    enum { START = 0x170, SIZE = 20000, MOST = 100000, FEW = 1000 };
    char message[512];
    int64_t n, length;
    unsigned char *bytes = (unsigned char *)data_read(BIBLE, &n, message, sizeof message);
    cr_assert(bytes, "%s", message);
    Random random = random_stream(1, 0, 0x6c7a77);
    int64_t refused = 0;
    for (int i = 0; i < 300; i++) {
        unsigned char copy[SIZE];
        memcpy(copy, bytes + START, SIZE);
        for (int k = 0; k < i % 4; k++)
            copy[3 + random_below(&random, SIZE - 3)] = (unsigned char)random_bits(&random);
        const int64_t most = i % 5 ? MOST : FEW;
        char *text = unpack(copy, SIZE - (int64_t)random_below(&random, 100), most, &length);
        cr_assert(!text || (length <= most && text[length] == 0));
        refused += !text;
        free(text);
    }
    cr_assert(refused >= 60, "%lld refused", (long long)refused);
    cr_assert(!unpack(bytes + START, 3, MOST, &length) && !unpack(bytes, SIZE, MOST, &length));
    free(bytes);
    ledger_record("prose", "unpacking", 302, 0);
}
