/*
 * ibt_names.c - writes names as text that is safe to print.
 *
 * Names are bytes. The tool writes them as libibt's messages and JSON do: bytes that are not UTF-8, control
 * characters of ASCII and '%' itself become %XX. Outside of JSON, the other characters that a terminal might
 * obey become %XX, too.
 */
#include "ibt_tool.h"
#include <stdlib.h>
#include <string.h>

/* Returns the length in bytes of the UTF-8 character at `at`, and sets its code. Returns 0 if the bytes are not
 * UTF-8. */
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

/* The control characters of ISO 6429, and those that change the direction of writing. */
static int is_obeyed(uint32_t code)
{
    return (code >= 0x80 && code <= 0x9F) || (code >= 0x202A && code <= 0x202E)
        || (code >= 0x2066 && code <= 0x2069);
}

/* The four ways of writing: a text or a name for people, a name or a text in JSON. The names in a text are encoded
 * already, so '%' stays as it is. */
enum form { TEXT, NAME, JSON, JSON_TEXT };

static int stays(uint32_t code, enum form form)
{
    if (is_control(code) || ((form == NAME || form == JSON) && code == '%'))
        return 0;
    return form == JSON || form == JSON_TEXT || !is_obeyed(code);
}

/* Writes `name` to `out`; writes nothing if `out` is NULL. Returns the number of characters written. */
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

/* Prints a message, in which names are encoded already. */
void print_text(FILE *out, const char *text)
{
    write_name(out, text, TEXT);
}

/* Prints a name as a JSON string. */
void print_json_text(const char *name)
{
    putchar('"');
    write_name(stdout, name, JSON);
    putchar('"');
}

/* Prints a message, in which names are encoded already, as a JSON string. */
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

/* Returns the text that print_name() prints. message_as_text() returns the text that print_text() prints. The caller
 * frees the text. NULL if memory ran out. */
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

/* Prints a name, and spaces up to `width` characters. */
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

/* The name that the tool prints as `text`, in JSON or outside of JSON. NULL if the tool prints no name as `text`: the
 * caller then takes the text itself as the name. For example "100%25" gives the name 100%, but "100%" and "a%41" give
 * NULL. The caller frees the name. */
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
