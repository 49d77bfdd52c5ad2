/* ibt_complete.c - prints completions for bash, zsh and fish, made from the tables of commands and options. */
#include "ibt_tool.h"
#include <string.h>

/* Prints a help text up to its explanation of the values. Leaves out characters that are special in the quotes of a
 * shell. */
static void print_help(const char *text)
{
    const char *value = strstr(text, " (default");
    size_t length = strcspn(text, "\n;:"), i;

    if (value != NULL && (size_t)(value - text) < length)
        length = (size_t)(value - text);
    for (i = 0; i < length; i++)
        if (strchr("'\"\\$`[]", text[i]) == NULL)
            putchar(text[i]);
}

/* True if the argument of the option is a file or a directory of the system. */
static int takes_file(const struct option *option)
{
    static const char *const arguments[] = { "DIR", "FILE" };
    size_t i;

    for (i = 0; option->argument != NULL && i < sizeof arguments / sizeof arguments[0]; i++)
        if (strcmp(option->argument, arguments[i]) == 0)
            return 1;
    return strcmp(option->name, "--protect") == 0;
}

static void print_words(const struct word *words)
{
    const char *between = "";

    for (; words->text != NULL; words++, between = " ")
        printf("%s%s", between, words->text);
}

static void print_command_names(void)
{
    const struct command *command;

    for (command = commands; command->name != NULL; command++)
        printf("%s ", command->name);
    fputs("help completion", stdout);
}

/* In bash, an option's argument is completed after the option. If the function gives no candidates, bash completes
 * files. */
static void print_bash(void)
{
    const struct command *command;
    const struct option *option;

    puts("# Completion of ibt for bash. Made by: ibt completion bash\n"
         "_ibt() {\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then");
    fputs("        words='", stdout);
    print_command_names();
    puts("'\n    else\n        case $previous in");
    for (option = options; option->name != NULL; option++)
        if (words_of(option) != NULL) {
            printf("        %s) words='", option->name);
            print_words(words_of(option));
            puts("' ;;");
        } else if (option->argument != NULL) {
            printf("        %s) return ;;\n", option->name);
        }
    puts("        *) case ${COMP_WORDS[1]} in");
    for (command = commands; command->name != NULL; command++) {
        printf("           %s) words='--help", command->name);
        for (option = options; option->name != NULL; option++)
            if ((option->groups & command->group) != 0)
                printf(" %s", option->name);
        puts("' ;;");
    }
    fputs("           help) words='", stdout);
    print_command_names();
    puts("' ;;\n           completion) words='bash zsh fish' ;;\n           esac\n"
         "           case ${COMP_WORDS[1]}$current in help*|completion*|*-*) ;; *) return ;; esac ;;\n"
         "        esac\n"
         "    fi\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "}\n"
         "complete -o default -F _ibt ibt");
}

static void print_zsh_option(const struct option *option)
{
    printf("        '*%s[", option->name);
    print_help(option->help);
    putchar(']');
    if (option->argument != NULL)
        printf(":%s:", option->argument);
    if (words_of(option) != NULL) {
        putchar('(');
        print_words(words_of(option));
        putchar(')');
    } else if (takes_file(option)) {
        fputs("_files", stdout);
    }
    puts("' \\");
}

static void print_zsh(void)
{
    const struct command *command;
    const struct option *option;

    puts("#compdef ibt\n"
         "# Completion of ibt for zsh. Made by: ibt completion zsh\n"
         "_ibt() {\n"
         "    if (( CURRENT == 2 )); then\n"
         "        local -a commands=(");
    for (command = commands; command->name != NULL; command++) {
        printf("            '%s:", command->name);
        print_help(command->word);
        puts("'");
    }
    puts("            'help:explain a command' 'completion:print a completion script'\n"
         "        )\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    case $words[2] in");
    for (command = commands; command->name != NULL; command++) {
        printf("    %s) _arguments \\\n", command->name);
        for (option = options; option->name != NULL; option++)
            if ((option->groups & command->group) != 0)
                print_zsh_option(option);
        puts("        '*:file:_files' ;;");
    }
    fputs("    help) compadd -- ", stdout);
    print_command_names();
    puts(" ;;\n"
         "    completion) compadd -- bash zsh fish ;;\n"
         "    esac\n"
         "}\n"
         "if [ \"$funcstack[1]\" = _ibt ]; then _ibt \"$@\"; else compdef _ibt ibt; fi");
}

static void print_fish_option(const struct option *option)
{
    const struct command *command;

    fputs("complete -c ibt -n '__fish_seen_subcommand_from", stdout);
    for (command = commands; command->name != NULL; command++)
        if ((option->groups & command->group) != 0)
            printf(" %s", command->name);
    printf("' -l %s", option->name + 2);
    if (words_of(option) != NULL) {
        fputs(" -x -a '", stdout);
        print_words(words_of(option));
        putchar('\'');
    } else if (option->argument != NULL) {
        fputs(takes_file(option) ? " -r -F" : " -x", stdout);
    }
    fputs(" -d '", stdout);
    print_help(option->help);
    puts("'");
}

static void print_fish(void)
{
    const struct command *command;
    const struct option *option;

    puts("# Completion of ibt for fish. Made by: ibt completion fish");
    for (command = commands; command->name != NULL; command++) {
        printf("complete -c ibt -f -n __fish_use_subcommand -a %s -d '", command->name);
        print_help(command->word);
        puts("'");
    }
    puts("complete -c ibt -f -n __fish_use_subcommand -a help -d 'explain a command'\n"
         "complete -c ibt -f -n __fish_use_subcommand -a completion -d 'print a completion script'\n"
         "complete -c ibt -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'");
    for (option = options; option->name != NULL; option++)
        print_fish_option(option);
}

/* "ibt completion SHELL" */
int print_completion(const char *shell)
{
    if (shell == NULL)
        return wrong_usage(NULL, "a shell is missing: bash, zsh or fish", NULL);
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return wrong_usage(NULL, "not a known shell (bash, zsh, fish)", shell);
    return all_is_written(EXIT_OK);
}
