# Makes a manual page of a document in Markdown.
#
#   awk -v page=FILE -v name=NAME -v section=N -v version=VERSION -v date=DATE -v about=TEXT \
#       -f roff.awk -f markdown.awk DOCUMENT

BEGIN {
    is_markdown = 1
    code_indent = 4
    begin_page(name, section, version, name, about)
    macro(".SH DESCRIPTION")
    begin_blocks()
}

!in_fence && /^#+ / {
    end_blocks()
    level = index($0, " ") - 1
    sub(/^#+ */, "")
    if (level == 2) macro(".SH " toupper(escaped($0)))
    else if (level > 2) macro(".SS " escaped($0))
    next
}

{ block_line($0) }

END { end_blocks() }
