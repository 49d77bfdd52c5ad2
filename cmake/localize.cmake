# Makes INPUT, a static library of rustc, into OUTPUT: one object in which only ibt_* is global. Otherwise every symbol
# of the bundled C code (ZSTD_*, ...) would meet that of the program's own copy. STRIPPED is the same without debug
# information.

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

# Sections of a group that several objects have, such as __x86.get_pc_thunk.bx on i686, must leave their group: otherwise
# a program that has the same group would drop them, although their symbols are local in OUTPUT. A linker without the
# option, such as lld before version 19, cannot do that.
set(ungroup)
execute_process(COMMAND "${LD}" --help OUTPUT_VARIABLE help ERROR_QUIET)
if(help MATCHES "--force-group-allocation")
  set(ungroup --force-group-allocation)
endif()
run("${LD}" -r ${ungroup} --whole-archive "${INPUT}" -o "${OUTPUT}")
# rustc's LLVM bitcode makes some versions of ar abort.
run("${OBJCOPY}" --wildcard --keep-global-symbol=ibt_* --remove-section=.llvmbc --remove-section=.llvmcmd "${OUTPUT}")
# Debug information is most of the size.
run("${OBJCOPY}" --strip-debug "${OUTPUT}" "${STRIPPED}")
