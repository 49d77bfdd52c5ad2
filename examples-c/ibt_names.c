/*
 * ibt_names.c - names as text that is safe to print.
 *
 * Names are bytes. They are written as libibt's messages and JSON write them: what is no text, control
 * characters and '%' itself as %XX. On paper, but not in JSON, so is what a terminal might obey without being
 * a control character of ASCII.
 */
#include "ibt_tool.h"
#include <stdlib.h>
#include <string.h>

/* How many bytes the UTF-8 character at `at` has, and which it is; 0 if there is none. */
static size_t character_at(const unsigned char *at, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = *at < 0x80 ? 1 : *at < 0xC0 ? 0 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : *at < 0xF8 ? 4 : 0;
    size_t i;

    if (length < 2) {
        *code = *at;
        return length;
    }
    *code = *at & (0x7Fu >> length);
    for (i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3Fu);
    }
    if (*code < least[length] || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
        return 0;
    return length;
}

static int is_control(uint32_t code)
{
    return code < 0x20 || code == 0x7F;
}

/* The controls of ISO 6429, and those that turn the direction of writing. */
static int is_obeyed(uint32_t code)
{
    return (code >= 0x80 && code <= 0x9F) || (code >= 0x202A && code <= 0x202E)
        || (code >= 0x2066 && code <= 0x2069);
}

/* What stays as it is: the characters of text, of names, of names in JSON, of text in JSON. */
enum form { TEXT, NAME, JSON, JSON_TEXT };

static int stays(uint32_t code, enum form form)
{
    if (is_control(code) || ((form == NAME || form == JSON) && code == '%'))
        return 0;
    return form == JSON || form == JSON_TEXT || !is_obeyed(code);
}

/* Writes `name` to `out`, which may be NULL. Returns how many characters that are. */
static size_t write_name(FILE *out, const char *name, enum form form)
{
    const unsigned char *at = (const unsigned char *)name;
    size_t width = 0;

    while (*at != '\0') {
        uint32_t code;
        size_t length = character_at(at, &code);

        if (length > 0 && stays(code, form)) {
            if (out != NULL && form >= JSON && (code == '"' || code == '\\'))
                fputc('\\', out);
            if (out != NULL)
                fwrite(at, 1, length, out);
            width++;
            at += length;
            continue;
        }
        for (length += length == 0; length > 0; length--, at++, width += 3)
            if (out != NULL)
                fprintf(out, "%%%02X", *at);
    }
    return width;
}

void print_name(FILE *out, const char *name)
{
    write_name(out, name, NAME);
}

/* A message, in which names are encoded already. */
void print_text(FILE *out, const char *text)
{
    write_name(out, text, TEXT);
}

/* A name as a string of JSON. */
void print_json_text(const char *name)
{
    putchar('"');
    write_name(stdout, name, JSON);
    putchar('"');
}

/* A message, in which names are encoded already, as a string of JSON. */
void print_json_message(const char *message)
{
    putchar('"');
    write_name(stdout, message, JSON_TEXT);
    putchar('"');
}

static char *as_text(const char *name, enum form form)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    if (memory == NULL)
        return NULL;
    write_name(memory, name, form);
    if (fclose(memory) == 0)
        return text;
    free(text);
    return NULL;
}

/* What print_name() and print_text() print, made by malloc(). NULL if there is no memory. */
char *name_as_text(const char *name)
{
    return as_text(name, NAME);
}

char *message_as_text(const char *message)
{
    return as_text(message, TEXT);
}

size_t name_width(const char *name)
{
    return write_name(NULL, name, NAME);
}

/* A name, filled up with spaces. */
void print_cell(const char *name, size_t width)
{
    size_t used = write_name(stdout, name, NAME);

    for (; used < width; used++)
        putchar(' ');
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int is_printed_as(const char *name, enum form form, const char *text)
{
    char *printed = as_text(name, form);
    int is_same = printed != NULL && strcmp(printed, text) == 0;

    free(printed);
    return is_same;
}

/* The name that is printed as `text`, on paper or in JSON; NULL if none is. The caller frees it. So "100%25" is the
 * name 100%, while "100%" and "a%41" are printed for no name: they stand for themselves. */
char *name_of_text(const char *text)
{
    char *name = strdup(text), *to = name;
    const char *at = text;

    while (name != NULL && *at != '\0') {
        if (at[0] == '%' && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
            *to++ = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 3;
        } else {
            *to++ = *at++;
        }
    }
    if (name != NULL)
        *to = '\0';
    if (name != NULL && (is_printed_as(name, NAME, text) || is_printed_as(name, JSON, text)))
        return name;
    free(name);
    return NULL;
}
