/* Small believable mistakes in a C file, one at a time. `mutate FILE` prints how many there are; `mutate FILE N` writes
 * FILE with the N-th (from 0) to stdout and "line<TAB>mutation<TAB>source line<TAB>mutated line" to stderr. The sources are
 * formatted, so that a blank on both sides marks a binary operator and a statement fills a line. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *from, *to;
} Swap;

/* Longer spellings first: the first that fits is taken. */
static const Swap swaps[] = {
    {" += ", " -= "},  {" -= ", " += "}, {" *= ", " /= "}, {" <= ", " < "},         {" >= ", " > "},
    {" == ", " != "},  {" != ", " == "}, {" && ", " || "}, {" || ", " && "},        {" + ", " - "},
    {" - ", " + "},    {" * ", " + "},   {" / ", " * "},   {" % ", " / "},          {" < ", " <= "},
    {" > ", " >= "},   {" = -", " = "},  {"(-", "("},      {"return -", "return "}, {", -", ", "},
    {"] = ", "] += "}, {0, 0},
};

static char *text;
static char *code; /* the same with comments, strings, characters and preprocessor lines blanked */
static size_t length;
static long wanted, count;

static void read_file(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f || fseek(f, 0, SEEK_END)) {
        perror(path);
        exit(2);
    }
    length = (size_t)ftell(f);
    rewind(f);
    text = calloc(length + 1, 1);
    code = calloc(length + 1, 1);
    if (!text || !code || fread(text, 1, length, f) != length) {
        perror(path);
        exit(2);
    }
    fclose(f);
    memcpy(code, text, length);
}

static size_t blank_until(size_t from, const char *end) {
    const char *at = strstr(code + from, end);
    const size_t to = at ? (size_t)(at - code) + strlen(end) : length;
    for (size_t i = from; i < to; i++)
        if (code[i] != '\n') code[i] = ' ';
    return to;
}

static void blank_what_is_no_code(void) {
    for (size_t i = 0; i < length; i++) {
        const int line_start = i == 0 || code[i - 1] == '\n';
        if (!strncmp(code + i, "/*", 2)) {
            i = blank_until(i, "*/") - 1;
        } else if (code[i] == '"' || code[i] == '\'') {
            const char quote = code[i];
            size_t end = i + 1;
            while (end < length && code[end] != quote) end += code[end] == '\\' ? 2 : 1;
            memset(code + i, ' ', end + 1 - i);
            i = end;
        } else if (line_start && code[i] == '#') {
            size_t end = i;
            while (end < length && (code[end] != '\n' || code[end - 1] == '\\')) end++;
            for (; i < end; i++)
                if (code[i] != '\n') code[i] = ' ';
        }
    }
}

static size_t line_start(size_t at) {
    while (at > 0 && text[at - 1] != '\n') at--;
    return at;
}

/* One mutation: `size` characters at `at` become `to`. Written out if it is the one that is wanted. */
static void mutation(size_t at, size_t size, const char *to) {
    if (count++ != wanted) return;
    const size_t start = line_start(at), end = start + strcspn(text + start, "\n");
    long line = 1;
    for (size_t i = 0; i < at; i++) line += text[i] == '\n';
    fwrite(text, 1, at, stdout);
    fputs(to, stdout);
    fwrite(text + at + size, 1, length - at - size, stdout);
    size_t first = start;
    while (first < end && text[first] == ' ') first++;
    fprintf(stderr, "%ld\t%.*s -> %s\t%.*s\t%.*s%s%.*s\n", line, (int)size, text + at, *to ? to : "(nothing)",
            (int)(end - first), text + first, (int)(at - first), text + first, to, (int)(end - at - size),
            text + at + size);
}

static void mutate_operator(size_t at) {
    for (const Swap *s = swaps; s->from; s++) {
        if (strncmp(code + at, s->from, strlen(s->from)) != 0) continue;
        mutation(at, strlen(s->from), s->to);
        return;
    }
}

/* Integers move by one, other numbers by a hundredth. */
static void mutate_number(size_t at) {
    const int starts = isdigit((unsigned char)code[at]) &&
                       (at == 0 || (!isalnum((unsigned char)code[at - 1]) && !strchr("_.", code[at - 1])));
    if (!starts) return;
    const size_t size = strspn(code + at, "0123456789abcdefABCDEFxXpPuUlL.");
    size_t all = size;
    if (strchr("pPeE", code[at + size - 1]) && strchr("+-", code[at + size])) /* exponent with a sign */
        all += 1 + strspn(code + at + size + 1, "0123456789fF");
    char number[64], to[160];
    if (all >= sizeof number) return;
    snprintf(number, sizeof number, "%.*s", (int)all, code + at);
    if (strpbrk(number, ".pP"))
        snprintf(to, sizeof to, strtod(number, 0) == 0.0 ? "(%s + 0.01f)" : "(%s * 1.01f)", number);
    else
        snprintf(to, sizeof to, "%lld", strtoll(number, 0, 0) + 1);
    mutation(at, all, to);
}

static int is_declaration(size_t start) {
    static const char *const words[] = {"const ",  "static ", "int ",    "int64_t ", "int32_t ",
                                        "uint",    "float ",  "double ", "char ",    "real ",
                                        "Vec ",    "void ",   "enum ",   "typedef ", "return",
                                        "INLINE ", "size_t ", "extern ", 0};
    start += strspn(code + start, " ");
    for (int i = 0; words[i]; i++)
        if (!strncmp(code + start, words[i], strlen(words[i]))) return 1;
    return isupper((unsigned char)code[start]); /* a struct's name, or a macro */
}

/* a[i] -> a[i + 1] */
static void mutate_index(size_t at) {
    if (code[at] != ']' || is_declaration(line_start(at)) || code[at - 1] == '[') return;
    mutation(at, 0, " + 1");
}

/* A statement that fills its line is dropped; freeing shows in no result. */
static void drop_statement(size_t at) {
    if (at > 0 && code[at - 1] != '\n') return;
    const size_t size = strcspn(code + at, "\n"), first = at + strspn(code + at, " ");
    if (size == 0 || code[at + size - 1] != ';' || is_declaration(at)) return;
    if (!isalpha((unsigned char)code[first]) && code[first] != '*') return;
    if (!strncmp(code + first, "free(", 5) || !strncmp(code + first, "break", 5) ||
        !strncmp(code + first, "continue", 8) || !strncmp(code + first, "for ", 4) ||
        !strncmp(code + first, "else", 4) || !strncmp(code + first, "if ", 3))
        return;
    size_t before = at > 1 ? at - 2 : 0; /* the rest of a statement that began on an earlier line is none */
    while (before > 0 && isspace((unsigned char)code[before])) before--;
    if (!strchr(";{}:", code[before]) && code[before] != ')') return;
    mutation(first, size - (first - at), ";");
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: mutate FILE [N]\n"), 2;
    wanted = argc > 2 ? strtol(argv[2], 0, 10) : -1;
    read_file(argv[1]);
    blank_what_is_no_code();
    for (size_t i = 0; i < length; i++) {
        drop_statement(i);
        mutate_operator(i);
        mutate_number(i);
        mutate_index(i);
    }
    if (wanted < 0) printf("%ld\n", count);
    return wanted >= count ? 2 : 0;
}
