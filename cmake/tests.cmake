# Every test program and example, linked both ways, run as it is; those with libibt.a also under valgrind; and the
# library as others see it: header, symbols, installed tree.
#
# Both libraries are made of the same objects of one build with cargo, so valgrind sees all code of both in the programs
# with libibt.a. These also start faster under it, because libibt.so brings debug information. A few programs with
# libibt.so run under valgrind too: the dynamic linker loads and ends them in another way.
#
# A build for another machine runs its programs with CMAKE_CROSSCOMPILING_EMULATOR. Without it there are no tests, and
# with it those are left out that use valgrind, a library of this machine, or a second build.
#
# Labels: boundary (makes no backup), engine (does), valgrind, package (builds against an installed tree).

set(emulator)
if(CMAKE_CROSSCOMPILING)
  if(NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "No tests: without CMAKE_CROSSCOMPILING_EMULATOR their programs cannot run here")
    return()
  endif()
  set(emulator ${CMAKE_CROSSCOMPILING_EMULATOR})
endif()
if(NOT CMAKE_CROSSCOMPILING)
  find_program(VALGRIND valgrind)
endif()
# For another machine, only a compiler for C++ that was named: the search could find the one for this machine.
if(CMAKE_CXX_COMPILER OR NOT CMAKE_CROSSCOMPILING)
  include(CheckLanguage)
  check_language(CXX)
endif()

set(c_dir "${PROJECT_SOURCE_DIR}/tests/c")
# Without the inlined functions in its messages, valgrind starts in half the time.
set(valgrind_command "${VALGRIND}" -q --error-exitcode=9 --leak-check=full --trace-children=no --read-inline-info=no)

add_library(check OBJECT tests/c/check.c)
target_include_directories(check PUBLIC tests/c include)

# Tests with libibt.so that have a twin under valgrind.
set(valgrind_shared null.ibt roundtrip.ibt cancel.ibt example_quickstart.ibt)

# Adds a test, and its twin under valgrind if its program has libibt.a or is one of valgrind_shared. RUNNER, if any,
# gets PROGRAM as its arguments.
function(ibt_add_test name label)
  cmake_parse_arguments(PARSE_ARGV 2 test "" "" "RUNNER;PROGRAM")
  add_test(NAME ${name} COMMAND ${test_RUNNER} ${emulator} ${test_PROGRAM})
  set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT 300)
  if(VALGRIND AND (name MATCHES "\\.static$" OR name IN_LIST valgrind_shared))
    add_test(NAME ${name}.valgrind COMMAND ${test_RUNNER} ${valgrind_command} ${test_PROGRAM})
    set_tests_properties(${name}.valgrind PROPERTIES LABELS "${label};valgrind" TIMEOUT 1500)
  endif()
endfunction()

# Builds `name` from `source` against both libraries, as name_ibt (shared) and name_static.
function(ibt_add_program name source)
  foreach(kind ibt static)
    add_executable(${name}_${kind} ${source} ${ARGN})
    target_link_libraries(${name}_${kind} PRIVATE ibt::${kind})
  endforeach()
endfunction()

set(more_of_storage_contract tests/c/storage_contract.c)
foreach(name null null_each options labels diff roundtrip cancel default_storage open_dir chdir closed_streams stack browse compare storage storage_contract storage_faults)
  ibt_add_program(test_${name} tests/c/test_${name}.c ${more_of_${name}} $<TARGET_OBJECTS:check>)
  foreach(kind ibt static)
    target_include_directories(test_${name}_${kind} PRIVATE tests/c)
    set(label engine)
    if(name MATCHES "^(null|options)$")
      set(label boundary)
    endif()
    ibt_add_test(${name}.${kind} ${label} PROGRAM $<TARGET_FILE:test_${name}_${kind}>)
  endforeach()
endforeach()

# The contract sees the mistakes that authors of storages make: each is told by the rule it breaks.
foreach(mistake
    "replaces/a commit never replaces an object"
    "keeps/an abort leaves nothing"
    "mixes/four streams do not mix"
    "confuses/an absent object is IBT_ERR_NOT_FOUND"
    "stumbles/at or past it gives 0 bytes"
    "boasts/an object holds what was written, and no more"
    "zero/a storage lists what it holds"
    "forgets/an object is listed as soon as it is committed"
    "mismeasures/a backup succeeds"
    "insists/deleting an absent object succeeds"
    "grants/a lock that somebody has is IBT_ERR_BUSY")
  string(REGEX MATCH "^[a-z]*" name "${mistake}")
  string(REGEX REPLACE "^[a-z]*/" "" rule "${mistake}")
  add_test(NAME storage_contract.${name} COMMAND test_storage_contract_ibt ${name})
  set_tests_properties(storage_contract.${name} PROPERTIES LABELS engine TIMEOUT 300
    PASS_REGULAR_EXPRESSION "does not hold: [^\n]*${rule}")
endforeach()

ibt_add_program(example_quickstart examples-c/quickstart.c)
ibt_add_program(example_progress_cancel examples-c/progress_cancel.c)
ibt_add_program(example_ibt ${ibt_tool_sources})
ibt_add_program(example_memory_backup examples-c/memory_backup.c examples-c/memory_storage.c)
foreach(kind ibt static)
  foreach(name quickstart progress_cancel ibt memory_backup)
    ibt_add_test(example_${name}.${kind} engine
      RUNNER sh "${c_dir}/run_${name}.sh" PROGRAM $<TARGET_FILE:example_${name}_${kind}>)
  endforeach()
  if(TEST example_ibt.${kind}.valgrind)
    # It takes longest by far, so with ctest --parallel it must start first.
    set_tests_properties(example_ibt.${kind}.valgrind PROPERTIES COST 1000)
  endif()
  # Dozens of short runs that hardly enter the library: not worth their time under valgrind.
  add_test(NAME example_usage.${kind}
    COMMAND sh "${c_dir}/run_usage.sh" ${emulator} $<TARGET_FILE:example_ibt_${kind}>)
  set_tests_properties(example_usage.${kind} PROPERTIES LABELS boundary)
  add_test(NAME example_signals.${kind}
    COMMAND sh "${c_dir}/run_signals.sh" ${emulator} $<TARGET_FILE:example_ibt_${kind}>)
  set_tests_properties(example_signals.${kind} PROPERTIES LABELS engine TIMEOUT 300)
  if(CMAKE_CROSSCOMPILING)
    continue()
  endif()
  add_test(NAME example_shell.${kind}
    COMMAND sh "${c_dir}/run_shell.sh" $<TARGET_FILE:example_ibt_${kind}>)
  set_tests_properties(example_shell.${kind} PROPERTIES LABELS engine TIMEOUT 60)
  # It sets the clock, by a library that is loaded before every other.
  add_test(NAME example_times.${kind}
    COMMAND sh "${c_dir}/run_times.sh" $<TARGET_FILE:example_ibt_${kind}>)
  set_tests_properties(example_times.${kind} PROPERTIES LABELS engine TIMEOUT 300)
endforeach()

# The encrypting storage, if libsodium is installed for this machine.
if(NOT CMAKE_CROSSCOMPILING)
  find_path(SODIUM_INCLUDE_DIR sodium.h)
  find_library(SODIUM_LIBRARY sodium)
endif()
if(SODIUM_INCLUDE_DIR AND SODIUM_LIBRARY)
  set(encrypted_sources ${ibt_tool_sources})
  list(REMOVE_ITEM encrypted_sources examples-c/ibt_store.c)
  ibt_add_program(test_encrypted_storage tests/c/test_encrypted_storage.c tests/c/storage_contract.c
    examples-c/encrypted_files.c examples-c/encrypted_key.c $<TARGET_OBJECTS:check>)
  ibt_add_program(encrypted_ibt ${encrypted_sources} examples-c/encrypted_ibt.c examples-c/encrypted_storage.c
    examples-c/encrypted_files.c examples-c/encrypted_key.c)
  foreach(kind ibt static)
    target_include_directories(test_encrypted_storage_${kind} PRIVATE tests/c)
    foreach(name test_encrypted_storage_${kind} encrypted_ibt_${kind})
      target_include_directories(${name} PRIVATE "${SODIUM_INCLUDE_DIR}")
      target_link_libraries(${name} PRIVATE "${SODIUM_LIBRARY}")
      # Each run makes a key of the passphrase: as fast as libsodium allows.
      target_compile_definitions(${name} PRIVATE ENCRYPTED_PASSES=1 ENCRYPTED_MEMORY=8192)
    endforeach()
    ibt_add_test(encrypted_storage.${kind} engine PROGRAM $<TARGET_FILE:test_encrypted_storage_${kind}>)
    add_test(NAME example_encrypted_ibt.${kind}
      COMMAND sh "${c_dir}/run_encrypted_ibt.sh" $<TARGET_FILE:encrypted_ibt_${kind}>)
    set_tests_properties(example_encrypted_ibt.${kind} PROPERTIES LABELS engine TIMEOUT 300)
  endforeach()
else()
  message(STATUS "libsodium was not found: the encrypting storage, examples-c/encrypted_storage.c, is not tested")
endif()

# The storage that runs commands: with a script in place of rclone, and with rclone itself, if it is installed.
if(NOT CMAKE_CROSSCOMPILING)
  set(command_sources ${ibt_tool_sources})
  list(REMOVE_ITEM command_sources examples-c/ibt_store.c)
  ibt_add_program(test_command_storage tests/c/test_command_storage.c tests/c/storage_contract.c
    $<TARGET_OBJECTS:check>)
  add_executable(command_ibt ${command_sources} examples-c/command_ibt.c examples-c/command_storage.c)
  target_link_libraries(command_ibt PRIVATE ibt::ibt)
  foreach(kind ibt static)
    target_include_directories(test_command_storage_${kind} PRIVATE tests/c)
  endforeach()
  # Most of their time is that of the commands, so each runs once, and valgrind sees one of them.
  add_test(NAME command_storage COMMAND test_command_storage_ibt "${c_dir}/rclone.sh")
  set_tests_properties(command_storage PROPERTIES LABELS engine TIMEOUT 600)
  if(VALGRIND)
    add_test(NAME command_storage.valgrind
      COMMAND ${valgrind_command} $<TARGET_FILE:test_command_storage_static> "${c_dir}/rclone.sh" 7)
    set_tests_properties(command_storage.valgrind PROPERTIES LABELS "engine;valgrind" TIMEOUT 1500)
  endif()
  add_test(NAME example_command_ibt COMMAND sh "${c_dir}/run_command_ibt.sh" $<TARGET_FILE:command_ibt>)
  set_tests_properties(example_command_ibt PROPERTIES LABELS engine TIMEOUT 600)
endif()

# ibt.hpp, if there is a compiler for C++.
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  find_package(Threads REQUIRED)
  ibt_add_program(test_hpp tests/c/test_hpp.cpp $<TARGET_OBJECTS:check>)
  add_executable(example_quickstart_cpp examples-c/quickstart.cpp)
  target_link_libraries(example_quickstart_cpp PRIVATE ibt::ibt)
  foreach(name test_hpp_ibt test_hpp_static example_quickstart_cpp)
    target_compile_options(${name} PRIVATE -Wpedantic -Wconversion)
    target_include_directories(${name} PRIVATE tests/c)
    target_link_libraries(${name} PRIVATE Threads::Threads)
    set_target_properties(${name} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  endforeach()
  ibt_add_test(hpp.ibt engine PROGRAM $<TARGET_FILE:test_hpp_ibt>)
  # Once under valgrind is enough: both programs have the same functions of ibt.hpp.
  add_test(NAME hpp.static COMMAND test_hpp_static)
  add_test(NAME example_quickstart_cpp
    COMMAND sh "${c_dir}/run_quickstart.sh" ${emulator} $<TARGET_FILE:example_quickstart_cpp>)
  set_tests_properties(hpp.static example_quickstart_cpp PROPERTIES LABELS engine TIMEOUT 300)
  find_program(CLANGXX clang++)
  foreach(standard c++17 c++20)
    foreach(compiler "${CMAKE_CXX_COMPILER}" "${CLANGXX}")
      if(compiler)
        get_filename_component(compiler_name "${compiler}" NAME)
        add_test(NAME hpp.${standard}.${compiler_name}
          COMMAND "${compiler}" -std=${standard} -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only
                  "-I${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/examples-c/quickstart.cpp")
      endif()
    endforeach()
  endforeach()
  add_test(NAME hpp.bound COMMAND sh "${c_dir}/bound.sh" "${PROJECT_SOURCE_DIR}/abi/ibt.symbols"
    "${PROJECT_SOURCE_DIR}/include/ibt.hpp")
endif()

# The header alone, in every language a program may be written in.
set(strict -Wall -Wextra -pedantic -Werror -fsyntax-only "-I${PROJECT_SOURCE_DIR}/include")
foreach(standard c89 c99 c11)
  add_test(NAME header.${standard}
    COMMAND "${CMAKE_C_COMPILER}" -std=${standard} -Wno-long-long ${strict} "${c_dir}/header.c")
endforeach()
if(CMAKE_CXX_COMPILER)
  foreach(standard c++98 c++17)
    add_test(NAME header.${standard}
      COMMAND "${CMAKE_CXX_COMPILER}" -x c++ -std=${standard} -Wno-long-long ${strict} "${c_dir}/header.c")
  endforeach()
endif()

add_test(NAME symbols
  COMMAND sh "${c_dir}/symbols.sh" "${CMAKE_NM}" $<TARGET_FILE:ibt_shared> $<TARGET_FILE:ibt_static>
          "${PROJECT_SOURCE_DIR}/abi/ibt.symbols")

if(CMAKE_CROSSCOMPILING)
  return()
endif()
if(TARGET ibt_manuals)
  add_test(NAME manuals
    COMMAND sh "${c_dir}/manuals.sh" "${PROJECT_BINARY_DIR}/man" "${PROJECT_SOURCE_DIR}" ${PROJECT_VERSION})
endif()

add_test(NAME installed
  COMMAND sh "${c_dir}/installed.sh" "${CMAKE_COMMAND}" "${CMAKE_BINARY_DIR}" "${PROJECT_SOURCE_DIR}"
          "${CMAKE_C_COMPILER}" "${CMAKE_INSTALL_LIBDIR}" "${CMAKE_CXX_COMPILER}")
# The variables with which another build finds the library that cargo has built for this one.
set(same_library "-DIBT_CARGO_TARGET_DIR=${IBT_CARGO_TARGET_DIR}" "-DIBT_CARGO_PROFILE=${IBT_CARGO_PROFILE}"
  "-DIBT_CARGO_FLAGS=${IBT_CARGO_FLAGS}" "-DIBT_CARGO_TARGET=${IBT_CARGO_TARGET}"
  "-DCMAKE_C_COMPILER=${CMAKE_C_COMPILER}")
add_test(NAME subproject
  COMMAND sh "${c_dir}/subproject.sh" "${CMAKE_COMMAND}" "${PROJECT_SOURCE_DIR}" "${c_dir}/consumer" ${same_library})
find_program(ADDR2LINE addr2line)
if(NOT ADDR2LINE)
  set(ADDR2LINE "")
endif()
add_test(NAME debug_info
  COMMAND sh "${c_dir}/debug_info.sh" "${CMAKE_COMMAND}" "${CMAKE_NM}" "${ADDR2LINE}" "${PROJECT_SOURCE_DIR}"
          ${same_library})
set_tests_properties(installed subproject debug_info PROPERTIES LABELS package TIMEOUT 600)
