/* Files, numbers and sizes as users and disks give them: the old file or the new one, each obstacle its own message, packed
 * texts to their last byte, JSON that is one object, sums that do not wrap. */
#include "base/number.h"
#include "base/size.h"
#include "file/input.h"
#include "file/json.h"
#include "file/output.h"
#include "ledger.h"
#include "task/shared/data.h"
#include "test_reference.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];

static void enter_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/titans-files-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL && !chdir(folder));
}

static void leave_folder(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert(!system(command));
}

static void put(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, n, f) == n && !fclose(f));
}

static void write_text(const char *path, const char *text) {
    char message[512];
    Output o;
    cr_assert(!output_open(&o, path, message, sizeof message), "%s", message);
    fputs(text, o.file);
    cr_assert(!output_commit(&o, path, message, sizeof message), "%s", message);
}

static void expect_text(const char *path, const char *text) {
    char message[512];
    int64_t length;
    char *got = input_all(path, 1 << 20, &length, message, sizeof message);
    cr_assert(got && length == (int64_t)strlen(text) && !strcmp(got, text), "%s holds '%s', not '%s'", path,
              got ? got : message, text);
    free(got);
}

static int count_files(void) {
    int n = 0;
    DIR *d = opendir(".");
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

Test(files, are_written_whole_where_links_lead_with_the_mode_they_had, .init = enter_folder,
     .fini = leave_folder) {
    struct stat info;
    write_text("new", "first");
    expect_text("new", "first");
    cr_assert(!chmod("new", 0600) && !symlink("new", "link") && !symlink("not-yet", "ahead"));
    write_text("link", "second");
    cr_assert(!lstat("link", &info) && S_ISLNK(info.st_mode) && !stat("new", &info) &&
              (info.st_mode & 0777) == 0600);
    expect_text("new", "second");
    write_text("ahead", "made");
    expect_text("not-yet", "made");
    cr_assert(!link("new", "other"));
    write_text("other", "third");
    expect_text("new", "third");
    cr_assert(!stat("new", &info) && info.st_nlink == 2);
    write_text("new", "4");
    expect_text("other", "4");
    write_text("/dev/null", "nothing");
    cr_assert(!stat("/dev/null", &info) && S_ISCHR(info.st_mode));
    cr_assert(count_files() == 5, "%d files", count_files());
    ledger_record("files", "written", 10, 0);
}

Test(files, that_cannot_be_written_leave_what_was_there, .init = enter_folder, .fini = leave_folder) {
    static char large[1 << 16];
    char message[512];
    Output o, p;
    const struct rlimit small = {1 << 12, RLIM_INFINITY};
    write_text("kept", "as it was");
    cr_assert(!output_open(&o, "kept", message, sizeof message));
    fputs("half", o.file);
    output_discard(&o);
    expect_text("kept", "as it was");
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(!setrlimit(RLIMIT_FSIZE, &small) && !output_open(&o, "kept", message, sizeof message));
    fwrite(large, 1, sizeof large, o.file);
    cr_assert(output_commit(&o, "kept", message, sizeof message) && strstr(message, "kept") &&
              strstr(message, "too large"));
    expect_text("kept", "as it was");
    /* two writers at once: each whole, the last one stays */
    cr_assert(!output_open(&o, "both", message, sizeof message) &&
              !output_open(&p, "both", message, sizeof message));
    fputs("one", o.file);
    fputs("another", p.file);
    cr_assert(!output_commit(&p, "both", message, sizeof message));
    expect_text("both", "another");
    cr_assert(!output_commit(&o, "both", message, sizeof message));
    expect_text("both", "one");
    cr_assert(!mkdir("folder", 0700) && !symlink("b", "a") && !symlink("a", "b"));
    static const char *const impossible[] = {"folder", "nowhere/file", "a", "kept/", "", 0};
    for (int i = 0; impossible[i]; i++)
        cr_assert(output_check(impossible[i], message, sizeof message), "'%s' could be written",
                  impossible[i]);
    cr_assert(count_files() == 5, "%d files", count_files());
    ledger_record("files", "not written", 12, 0);
}

static void expect_unreadable(const char *path, const char *why) {
    char message[512] = "";
    int64_t length;
    cr_assert(!input_all(path, 1 << 10, &length, message, sizeof message) && strstr(message, path) &&
                  strstr(message, why),
              "'%s' is wanted of %s: %s", why, path, message);
}

Test(files, that_cannot_be_read_say_why, .init = enter_folder, .fini = leave_folder) {
    static const char large[1025];
    char message[512];
    int64_t length;
    cr_assert(!mkdir("place", 0700) && !symlink("b", "a") && !symlink("a", "b"));
    put("large", large, sizeof large);
    put("edge", large, sizeof large - 1);
    expect_unreadable("nowhere", "No such file");
    expect_unreadable("place", "is a folder");
    expect_unreadable("a", "symbolic links");
    expect_unreadable("/dev/zero", "device");
    expect_unreadable("large", "too large");
    char *text = input_all("edge", 1 << 10, &length, message, sizeof message);
    cr_assert(text && length == 1024, "%s", message);
    free(text);
    /* no size is known before */
    text = input_all("/proc/self/status", 1 << 20, &length, message, sizeof message);
    cr_assert(text && length > 100 && length == (int64_t)strlen(text), "%s", message);
    free(text);
    ledger_record("files", "read", 7, 0);
}

/* A packed text of some length; its bytes. */
static int64_t pack(unsigned char *packed, size_t room) {
    char text[600];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + (i * i / 7) % 26);
    gzFile f = gzopen("whole.gz", "wb");
    cr_assert(f && gzwrite(f, text, sizeof text) == (int)sizeof text && gzclose(f) == Z_OK);
    FILE *raw = fopen("whole.gz", "rb");
    const size_t n = fread(packed, 1, room, raw);
    cr_assert(!fclose(raw) && n > 18 && n < room);
    return (int64_t)n;
}

static int unpacks(const void *bytes, int64_t n) {
    char message[512] = "";
    int64_t length;
    put("try.gz", bytes, (size_t)n);
    char *text = data_read("try.gz", &length, message, sizeof message);
    cr_assert(text ? length >= 600 : strstr(message, "try.gz") != NULL, "%s", message);
    free(text);
    return text != NULL;
}

Test(files, packed_texts_are_whole_or_refused, .init = enter_folder, .fini = leave_folder) {
    unsigned char packed[2048];
    const int64_t n = pack(packed, sizeof packed / 2 - 600);
    cr_assert(unpacks(packed, n));
    for (int64_t cut = 0; cut < n; cut++) cr_assert(!unpacks(packed, cut), "%ld of %ld bytes passed", cut, n);
    /* behind the header of ten bytes every bit counts */
    for (int64_t i = 10; i < n; i++) {
        if (i == n - 9) continue; /* its last bits are padding */
        packed[i] ^= 4;
        cr_assert(!unpacks(packed, n), "byte %ld of %ld was changed and passed", i, n);
        packed[i] ^= 4;
    }
    memcpy(packed + n, packed, (size_t)n);
    cr_assert(unpacks(packed, 2 * n) && !unpacks(packed, 2 * n - 1), "two members");
    packed[n] = 'x';
    cr_assert(!unpacks(packed, n + 1) && !unpacks(packed, n + 30), "rubbish behind the end passed");
    memset(packed + n, 0, 512);
    cr_assert(unpacks(packed, n + 512), "zeros that fill a block");
    ledger_record("files", "packed", 2 * n, 0);
}

static void expect_json(const char *text, int64_t length, const char *complaint) {
    char message[256] = "";
    cJSON *object = json_object(text, length, message, sizeof message);
    cr_assert(!object == !!complaint && (!complaint || strstr(message, complaint)),
              "%s: '%s' is wanted, not '%s'", text, complaint ? complaint : "an object", message);
    cJSON_Delete(object);
}

Test(files, json_is_one_object_and_no_more) {
    static const struct {
        const char *text, *complaint;
    } each[] = {{"{}", 0},
                {" {\"a\": 1, \"b\": {\"a\": 2}} \n", 0},
                {"{\"a\\\\u0000b\": 1}", 0},
                {"{\"a\": 1}{", "1 bytes follow"},
                {"{\"a\": 1} x", "1 bytes follow"},
                {"{\"a\": 1, \"a\": 2}", "\"a\" occurs twice"},
                {"{\"c\": {\"b\": 1, \"b\": 1}}", "\"b\" occurs twice"},
                {"{\"a\\u0000b\": 1}", "character 0"},
                {"[1]", "object is wanted"},
                {"3", "object is wanted"},
                {"", "not valid"},
                {"{\n\"a\": 1,\n}", "line 3"},
                {"{'a': 1}", "not valid"}};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        expect_json(each[i].text, (int64_t)strlen(each[i].text), each[i].complaint);
    expect_json("{}\0", 3, "character 0");
    ledger_record("files", "json", sizeof each / sizeof *each + 1, 0);
}

Test(files, sizes_saturate_and_numbers_are_whole_texts) {
    double x;
    char text[64];
    cr_assert(size_times(3, 5) == 15 && size_plus(3, 5) == 8 && size_times(0, SIZE_END) == 0);
    cr_assert(size_times((int64_t)1 << 32, (int64_t)1 << 31) == SIZE_END &&
              size_times(SIZE_END, 2) == SIZE_END);
    cr_assert(size_plus(SIZE_END, 1) == SIZE_END && size_times(-1, 5) == SIZE_END &&
              size_plus(5, -1) == SIZE_END);
    cr_assert(!number_read("0x1.8p1", 0, 9, &x) && x == 3.0 && !number_read("-2.5", -3, 0, &x) && x == -2.5);
    static const char *const bad[] = {"", " ", "1,5", "1x", "nan", "inf", "10", "-1", 0};
    for (int i = 0; bad[i]; i++) cr_assert(number_read(bad[i], 0, 9, &x), "'%s' is a number", bad[i]);
    number_format(text, sizeof text, "%a %g", 1.5, 0.25);
    cr_assert_str_eq(text, "0x1.8p+0 0.25");
    ledger_record("files", "numbers", 18, 0);
}
