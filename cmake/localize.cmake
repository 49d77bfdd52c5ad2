# Makes INPUT, a static library of rustc, into OUTPUT: one object in which only ibt_* is global. Otherwise every symbol
# of the bundled C code (ZSTD_*, ...) would meet that of the program's own copy. STRIPPED is the same without debug
# information.

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

run("${LD}" -r --whole-archive "${INPUT}" -o "${OUTPUT}")
# rustc's LLVM bitcode makes some versions of ar abort.
run("${OBJCOPY}" --wildcard --keep-global-symbol=ibt_* --remove-section=.llvmbc --remove-section=.llvmcmd "${OUTPUT}")
# Debug information is most of the size.
run("${OBJCOPY}" --strip-debug "${OUTPUT}" "${STRIPPED}")
