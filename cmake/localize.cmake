# Makes INPUT, a static library of rustc, into OUTPUT: one object in which only ibt_* is global. Otherwise
# every symbol of the bundled C code (ZSTD_*, ...) would meet that of the program's own copy.

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGV}")
  endif()
endfunction()

set(object "${OUTPUT}.o")
run("${LD}" -r --whole-archive "${INPUT}" -o "${object}")
# rustc's LLVM bitcode makes some versions of ar abort; debug information is most of the size.
run("${OBJCOPY}" --wildcard --keep-global-symbol=ibt_* --strip-debug
    --remove-section=.llvmbc --remove-section=.llvmcmd "${object}")
file(REMOVE "${OUTPUT}")
run("${AR}" crsD "${OUTPUT}" "${object}")
file(REMOVE "${object}")
