# Writes text as roff with the macros of man(7), for header.awk and markdown.awk. It knows what the comments of ibt.h and
# the Markdown of docs/ contain: paragraphs, lists ("- "), indented and fenced blocks, tables, headings, `code`, and in
# Markdown *emphasis*, **strong emphasis** and links.
#
# The program that uses it sets `page`, the file to write, and code_indent, the spaces before an indented block. The
# variable `date` is the date of the pages.

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    return text
}

# A line of text must not begin like a request.
function put(line) {
    if (line ~ /^[.]/) line = "\\&" line
    print line > page
    after_heading = 0
}

# A heading begins a paragraph, and mandoc warns of a second beginning.
function macro(line) {
    if (line == ".PP" && after_heading) return
    print line > page
    after_heading = line ~ /^[.]S[HS]/
}

# Begins a page. Without hyphens, so that names stay whole; lines then need not end at the margin.
function begin_page(name, section, version, names, about) {
    macro(".TH " name " " section " \"" date "\" \"libibt " version "\" \"libibt\"")
    macro(".nh")
    macro(".ad l")
    macro(".SH NAME")
    put(escaped(names) " \\- " escaped(about))
}

# The text outside of `code`: names of functions are bold.
function prose(text,    out, name) {
    out = ""
    if (is_markdown) text = without_links(text)
    while (match(text, /ibt_[a-z0-9_]+\(\)|\*\*[^*]+\*\*|\*[A-Za-z][^*]*\*/)) {
        name = substr(text, RSTART, RLENGTH)
        out = out escaped(substr(text, 1, RSTART - 1))
        text = substr(text, RSTART + RLENGTH)
        if (name ~ /^ibt_/) out = out "\\fB" escaped(substr(name, 1, length(name) - 2)) "\\fP()"
        else if (!is_markdown) out = out escaped(name)
        else if (name ~ /^\*\*/) out = out "\\fB" escaped(substr(name, 3, length(name) - 4)) "\\fP"
        else out = out "\\fI" escaped(substr(name, 2, length(name) - 2)) "\\fP"
    }
    return out escaped(text)
}

# [text](address) becomes the text.
function without_links(text,    link) {
    while (match(text, /\[[^][]*\]\([^()]*\)/)) {
        link = substr(text, RSTART + 1, RLENGTH - 1)
        sub(/\]\(.*/, "", link)
        text = substr(text, 1, RSTART - 1) link substr(text, RSTART + RLENGTH)
    }
    return text
}

# One paragraph, in one line.
function inline(text,    parts, count, i, out) {
    out = ""
    count = split(text, parts, "`")
    for (i = 1; i <= count; i++)
        if (i % 2 == 1) out = out prose(parts[i])
        else out = out "\\fB" breakable(escaped(parts[i])) "\\fP"
    return out
}

# A long word may be broken after a comma.
function breakable(word) {
    if (length(word) > 60 && word !~ / /) gsub(/,/, ",\\:", word)
    return word
}

# ---- Blocks: each line goes to block_line(), and end_blocks() ends the last block. ----

function begin_blocks() {
    paragraph = ""
    in_list = in_code = in_fence = rows = 0
}

function end_paragraph() {
    if (paragraph == "") return
    put(inline(paragraph))
    paragraph = ""
}

function end_code() {
    if (!in_code) return
    macro(".fi")
    macro(".RE")
    in_code = 0
}

function begin_code() {
    end_paragraph()
    macro(".PP")
    macro(".RS 4")
    macro(".nf")
    in_code = 1
}

function end_blocks() {
    end_paragraph()
    end_code()
    end_table()
    in_list = 0
}

function block_line(line,    indent) {
    if (line ~ /^```/) {
        if (in_fence) end_code()
        else begin_code()
        in_fence = !in_fence
        return
    }
    if (in_fence) {
        put(escaped(line))
        return
    }
    match(line, /^ */)
    indent = RLENGTH
    if (line ~ /^ *\|/) {
        end_paragraph()
        table[++rows] = line
        return
    }
    end_table()
    if (line ~ /^ *$/) {
        end_paragraph()
        end_code()
    } else if (line ~ /^- /) {
        end_paragraph()
        end_code()
        macro(".IP \\(bu 2")
        in_list = 1
        paragraph = substr(line, 3)
    } else if (in_list && indent >= 2) {
        if (paragraph == "") macro(".IP \"\" 2")
        paragraph = paragraph (paragraph == "" ? "" : " ") substr(line, indent + 1)
    } else if (indent >= code_indent) {
        if (!in_code) begin_code()
        line = substr(line, code_indent + 1)
        put(is_markdown ? escaped(line) : inline(line))
    } else {
        end_code()
        in_list = 0
        if (paragraph == "") macro(".PP")
        paragraph = paragraph (paragraph == "" ? "" : " ") line
    }
}

# ---- Tables: up to three columns become a list of terms, more become lines in columns. ----

function cells_of(row, cells,    count, i) {
    sub(/^ *\| */, "", row)
    sub(/ *\| *$/, "", row)
    count = split(row, cells, / *\| */)
    for (i = 1; i <= count; i++) gsub(/^ +| +$/, "", cells[i])
    return count
}

function end_table(    i, cells, count) {
    if (rows == 0) return
    if (cells_of(table[1], cells) > 3) columns()
    else
        for (i = 3; i <= rows; i++) {
            count = cells_of(table[i], cells)
            macro(".TP 4")
            put(inline(cells[1]) (count > 2 && cells[2] != "" ? " (" inline(cells[2]) ")" : ""))
            put(inline(cells[count]))
        }
    rows = 0
}

function columns(    i, k, cells, count, width, line) {
    for (i = 1; i <= rows; i++) {
        gsub(/`/, "", table[i])
        if (i == 2) continue
        count = cells_of(table[i], cells)
        for (k = 1; k <= count; k++) if (length(cells[k]) > width[k]) width[k] = length(cells[k])
    }
    begin_code()
    for (i = 1; i <= rows; i++) {
        if (i == 2) continue
        count = cells_of(table[i], cells)
        line = ""
        for (k = 1; k <= count; k++) line = line sprintf("%-" (width[k] + 2) "s", cells[k])
        sub(/ +$/, "", line)
        put(escaped(line))
    }
    end_code()
}
