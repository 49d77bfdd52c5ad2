# Makes manual pages of ibt.h: libibt(3), a page for each group of functions ("==== GROUP ===="), one for the types of
# callbacks, and for each function and type a page that refers to the page that describes it.
#
#   awk -v out=DIRECTORY -v date=DATE -f roff.awk -f header.awk ibt.h
#
# A page has the name of the type whose functions it describes: those of most functions of a group. If most functions do
# not share the beginning of their names, it has the name of the group.

BEGIN { code_indent = 2 }

# ---- Reading: comments, and the declarations after them ----

NR == 1 { in_intro = 1; next }
in_intro && /\*\// { in_intro = 0; next }
in_intro { intro[++intro_lines] = stripped($0); next }

/^\/\*\*$/ { in_comment = 1; doc = ""; next }
in_comment && /^ \*\/$/ { in_comment = 0; next }
in_comment && /^ \* ====/ {
    title = stripped($0)
    gsub(/^==== | ====$/, "", title)
    next
}
in_comment { doc = doc stripped($0) "\n"; next }

# Comments of one line are before macros.
/^\/\* .* \*\/$/ { doc = substr($0, 4, length($0) - 6) "\n"; next }
/^#define / && NF > 2 { constant($2, $3); doc = ""; next }

/^(IBT_API|typedef)/ { declaration = ""; in_declaration = 1 }
in_declaration {
    if ($0 != "IBT_API") declaration = declaration (declaration == "" ? "" : "\n") $0
    if (/;$/) {
        in_declaration = 0
        sub(/^IBT_API /, "", declaration)
        declared()
        doc = ""
    }
}

function stripped(line) {
    sub(/^ \* ?/, "", line)
    return line
}

# A constant belongs to the function or type that the title of its group names.
function constant(name, value) {
    constants[++constant_count] = name
    value_of[name] = value
    doc_of[name] = doc
    title_of[name] = title == "" ? "Version" : title
}

function declared(    name) {
    if (match(declaration, /\(\*ibt_[a-z0-9_]+\)/)) {
        name = substr(declaration, RSTART + 2, RLENGTH - 3)
        callbacks[++callback_count] = name
    } else if (declaration ~ /^typedef/) {
        name = declaration
        sub(/;$/, "", name)
        sub(/.* /, "", name)
        types[++type_count] = name
    } else {
        match(declaration, /ibt_[a-z0-9_]+\(/)
        name = substr(declaration, RSTART, RLENGTH - 1)
        if (!(title in group_of_title)) {
            group_of_title[title] = ++group_count
            group_title[group_count] = title
        }
        functions[++function_count] = name
        group_of[name] = group_of_title[title]
        word[name] = first_word(name)
        uses[group_of[name], word[name]]++
        members[group_of[name]]++
    }
    doc_of[name] = doc
    declaration_of[name] = declaration
}

# ibt_options of ibt_options_set_key.
function first_word(name,    parts) {
    split(name, parts, "_")
    return "ibt_" parts[2]
}

# ---- Writing ----

END {
    for (i = 1; i <= function_count; i++) {
        name = functions[i]
        group = group_of[name]
        if (2 * uses[group, word[name]] > members[group]) page_of_group[group] = word[name]
    }
    for (group = 1; group <= group_count; group++) {
        if (!(group in page_of_group)) {
            page_of_group[group] = "ibt_" tolower(group_title[group])
            gsub(/ /, "_", page_of_group[group])
        }
        all_pages = all_pages " " page_of_group[group]
    }
    all_pages = "libibt" all_pages " ibt_callbacks"
    for (i = 1; i <= function_count; i++) page_of[functions[i]] = page_of_group[group_of[functions[i]]]
    for (i = 1; i <= callback_count; i++) page_of[callbacks[i]] = "ibt_callbacks"
    for (i = 1; i <= type_count; i++) page_of[types[i]] = page_of_type(types[i])
    write_introduction()
    for (group = 1; group <= group_count; group++) write_group(group)
    write_callbacks()
    for (name in page_of) refer(name)
}

# A type is described with its functions.
function page_of_type(type,    i) {
    for (i = 1; i <= function_count; i++)
        if (index(functions[i], type "_") == 1) return page_of[functions[i]]
    return "libibt"
}

# The page that describes the constants of a title such as "Phases: ibt_progress_phase()".
function page_of_title(title) {
    if (match(title, /ibt_[a-z0-9_]+/) && substr(title, RSTART, RLENGTH) in page_of)
        return page_of[substr(title, RSTART, RLENGTH)]
    return "libibt"
}

function refer(name) {
    if (name == page_of[name]) return
    page = out "/" name ".3"
    macro(".so man3/" page_of[name] ".3")
    close(page)
}

# `names` are all names that the page describes, separated by ", ".
function begin_page_of(name, names, about) {
    page = out "/" name ".3"
    begin_page(name, 3, unquoted(value_of["IBT_VERSION"]), names, about)
    macro(".SH SYNOPSIS")
    macro(".nf")
    put("\\fB#include <ibt.h>\\fP")
    macro(".PP")
    put("cc prog.c $(pkg\\-config \\-\\-cflags \\-\\-libs ibt)")
    macro(".fi")
    macro(".SH DESCRIPTION")
}

function end_page(name,    pages, count, i, line) {
    write_constants(name)
    macro(".SH SEE ALSO")
    count = split(all_pages, pages, " ")
    line = "\\fBibt\\fP(1)"
    for (i = 1; i <= count; i++) if (pages[i] != name) line = line ", \\fB" pages[i] "\\fP(3)"
    put(line ", \\fBlibibt\\-format\\fP(5)")
    close(page)
}

function unquoted(text) {
    gsub(/"/, "", text)
    return text
}

function write_doc(text,    lines, count, i) {
    begin_blocks()
    count = split(text, lines, "\n")
    for (i = 1; i < count; i++) block_line(lines[i])
    end_blocks()
}

function write_declaration(name,    lines, count, i) {
    macro(".SS " name)
    macro(".nf")
    count = split(declaration_of[name], lines, "\n")
    for (i = 1; i <= count; i++) put("\\fB" escaped(lines[i]) "\\fP")
    macro(".fi")
    write_doc(doc_of[name])
}

function write_constants(page_name,    i, name, last) {
    last = ""
    for (i = 1; i <= constant_count; i++) {
        name = constants[i]
        if (page_of_title(title_of[name]) != page_name) continue
        if (last == "") macro(".SH CONSTANTS")
        if (title_of[name] != last) macro(".SS " prose(title_of[name]))
        last = title_of[name]
        macro(".TP 4")
        put("\\fB" name "\\fP (" escaped(value_of[name]) ")")
        write_term(doc_of[name])
    }
}

# The text of a term: one paragraph, so that it stays at the term's indentation.
function write_term(text) {
    gsub(/\n+/, " ", text)
    gsub(/^ +| +$/, "", text)
    put(text == "" ? "\\&" : inline(text))
}

function write_group(group,    i, name, names) {
    name = page_of_group[group]
    names = name
    for (i = 1; i <= function_count; i++)
        if (group_of[functions[i]] == group) names = names ", " functions[i]
    begin_page_of(name, names, "libibt: " tolower(group_title[group]))
    for (i = 1; i <= type_count; i++) if (page_of[types[i]] == name) write_declaration(types[i])
    for (i = 1; i <= function_count; i++) if (group_of[functions[i]] == group) write_declaration(functions[i])
    end_page(name)
}

function write_callbacks(    i, names) {
    names = "ibt_callbacks"
    for (i = 1; i <= callback_count; i++) names = names ", " callbacks[i]
    begin_page_of("ibt_callbacks", names, "libibt: types of the functions that a program passes to it")
    for (i = 1; i <= callback_count; i++) write_declaration(callbacks[i])
    end_page("ibt_callbacks")
}

# The comment at the beginning of ibt.h. A paragraph that begins with a word and a full stop, and continues indented, is
# a section.
function write_introduction(    i, line, is_first, next_line) {
    begin_page_of("libibt", "libibt", "incremental backups")
    begin_blocks()
    is_first = 1
    for (i = 1; i <= intro_lines; i++) {
        line = intro[i]
        next_line = i < intro_lines ? intro[i + 1] : ""
        if (i == 1) sub(/^ibt.h - /, "", line)
        if (i == 1) line = toupper(substr(line, 1, 1)) substr(line, 2)
        if (is_first && next_line ~ /^    / && match(line, /^[A-Z][A-Za-z ]*[.] /)) {
            end_blocks()
            macro(".SS " substr(line, 1, RLENGTH - 2))
            line = substr(line, RLENGTH + 1)
        }
        is_first = line == ""
        sub(/^    /, "", line)
        block_line(line)
    }
    end_blocks()
    macro(".SS Pages")
    for (group = 1; group <= group_count; group++) {
        macro(".TP 4")
        put("\\fB" page_of_group[group] "\\fP(3)")
        put(escaped(group_title[group]))
    }
    macro(".TP 4")
    put("\\fBibt_callbacks\\fP(3)")
    put("Types of the functions that a program passes to libibt")
    for (i = 1; i <= type_count; i++) if (page_of[types[i]] == "libibt") write_declaration(types[i])
    end_page("libibt")
}
