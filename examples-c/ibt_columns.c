/* ibt_columns.c - prints text in columns, as wide as the terminal allows. */
#include "ibt_tool.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { GAP = 2, NARROWEST_TEXT = 20, WRAPPED_INDENT = 4 };

/* Width of the terminal `stream` in characters. 0 if `stream` is no terminal: lines may then have any length. */
size_t terminal_width(int stream)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;

    if (!isatty(stream))
        return 0;
    if (ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return columns != NULL && atoi(columns) > 0 ? (size_t)atoi(columns) : 80;
}

/* Number of characters in a UTF-8 text. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

/* Adds the next cell, row by row. `text` comes from malloc(), and the table owns it from now on. If `text`
 * is NULL because memory ran out, the cell is empty. */
void add_cell(struct table *table, char *text)
{
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : 2 * table->room;
        char **cells = realloc(table->cells, room * sizeof *cells);

        if (cells == NULL) {
            free(text);
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    table->cells[table->count++] = text;
}

static const char *cell(const struct table *table, size_t row, int column)
{
    const char *text = table->cells[row * (size_t)table->column_count + (size_t)column];

    return text != NULL ? text : "";
}

/* Sets the width of every column to the width of its widest text. leave_out() sets the width 0. */
static void measure_columns(const struct table *table, size_t rows, size_t *widths)
{
    int column;
    size_t row;

    for (column = 0; column < table->column_count; column++) {
        widths[column] = width_of(table->columns[column].title);
        for (row = 0; row < rows; row++) {
            size_t width = width_of(cell(table, row, column));

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
}

static size_t width_until(const size_t *widths, int end)
{
    size_t width = 0;
    int column;

    for (column = 0; column < end; column++)
        if (widths[column] > 0)
            width += widths[column] + GAP;
    return width;
}

/* Leaves out columns, the least important ones first, until a row fits into `limit` characters. If the last column
 * wraps, its width counts as NARROWEST_TEXT characters at most. */
static void leave_out(const struct table *table, size_t *widths, size_t limit)
{
    int last = table->column_count - 1, rank;
    size_t text = table->wraps && widths[last] > NARROWEST_TEXT ? NARROWEST_TEXT : widths[last];

    for (rank = 1; rank < table->column_count && width_until(widths, last) + text > limit; rank++) {
        int column;

        for (column = 0; column < last; column++)
            if (table->columns[column].dispensable == rank)
                widths[column] = 0;
    }
}

static void fill(size_t count)
{
    for (; count > 0; count--)
        putchar(' ');
}

/* Prints `text` word by word, from column `at` on. At column `limit` the text goes on at column `indent` of the next
 * line. */
static void print_wrapped(const char *text, size_t at, size_t indent, size_t limit)
{
    int is_first = 1;

    while (*text != '\0') {
        size_t length = strcspn(text, " "), width;
        char word[256];

        snprintf(word, sizeof word, "%.*s", (int)length, text);
        width = width_of(word);
        if (!is_first && at + 1 + width > limit) {
            putchar('\n');
            fill(indent);
            at = indent;
        } else if (!is_first) {
            putchar(' ');
            at++;
        }
        fwrite(text, 1, length, stdout);
        at += width;
        text += length;
        text += strspn(text, " ");
        is_first = 0;
    }
}

static void print_last(const struct table *table, const char *text, const size_t *widths, size_t limit)
{
    size_t start = width_until(widths, table->column_count - 1), at = start;

    if (!table->wraps || limit == 0 || start + width_of(text) <= limit) {
        fputs(text, stdout);
        return;
    }
    if (start + NARROWEST_TEXT > limit) {
        putchar('\n');
        fill(WRAPPED_INDENT);
        start = at = WRAPPED_INDENT;
    }
    print_wrapped(text, at, start, limit);
}

/* Prints one row, or the titles if is_title is set. */
static void print_row(const struct table *table, const size_t *widths, size_t row, int is_title, size_t limit)
{
    int last = table->column_count - 1, column;

    for (column = 0; column <= last; column++) {
        const char *text = is_title ? table->columns[column].title : cell(table, row, column);
        size_t padding = widths[column] - (widths[column] > 0 ? width_of(text) : 0);

        if (widths[column] == 0)
            continue;
        if (table->columns[column].is_number)
            fill(padding);
        if (column == last)
            print_last(table, text, widths, limit);
        else
            fputs(text, stdout);
        if (column < last)
            fill((table->columns[column].is_number ? 0 : padding) + GAP);
    }
    putchar('\n');
}

/* Prints the table and frees its cells. */
void print_table(struct table *table)
{
    size_t widths[COLUMNS_MAX], limit = terminal_width(STDOUT_FILENO);
    size_t rows = table->count / (size_t)table->column_count, row, i;

    measure_columns(table, rows, widths);
    if (limit > 0)
        leave_out(table, widths, limit);
    print_row(table, widths, 0, 1, limit);
    for (row = 0; row < rows; row++)
        print_row(table, widths, row, 0, limit);
    for (i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->count = table->room = 0;
}
