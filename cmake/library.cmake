# The libraries: compiled by cargo, then given the names, versions and symbols that C programs see.
#
# Defines the targets ibt::ibt (shared, without IBT_SHARED=OFF) and ibt::static, IBT_NATIVE_LIBS, and ibt_preferred: the
# shared library if there is one.
#
# cargo makes a static library of Rust objects. cmake/localize.cmake makes one object of it, and both libraries are made
# of that object. The linker of C makes the shared library, because rustc cannot give symbols a version.

set(ibt_lib_dir "${PROJECT_BINARY_DIR}/lib")
set(ibt_object "${ibt_lib_dir}/ibt.o")
set(ibt_stripped_object "${ibt_lib_dir}/ibt_stripped.o")

execute_process(COMMAND "${RUSTC}" -vV OUTPUT_VARIABLE said RESULT_VARIABLE failed)
if(failed OR NOT said MATCHES "commit-hash: ([^\n]*)\n.*host: ([^\n]*)\n")
  message(FATAL_ERROR "rustc does not say its version: ${said}")
endif()
set(rust_commit "${CMAKE_MATCH_1}")
set(ibt_triple "${CMAKE_MATCH_2}")
if(IBT_CARGO_TARGET)
  set(ibt_triple "${IBT_CARGO_TARGET}")
elseif(CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "Set IBT_CARGO_TARGET to the triple that rustc has for ${CMAKE_SYSTEM_PROCESSOR}, such as "
    "aarch64-unknown-linux-gnu: rustc --print target-list lists them.")
endif()

# The dev profile is the one whose directory is named differently. The triple is always given, so that the objects do
# not lie among those of cargo without CMake, which name directories of this machine.
set(ibt_profile_dir "${IBT_CARGO_PROFILE}")
if(ibt_profile_dir STREQUAL "dev")
  set(ibt_profile_dir debug)
endif()
set(ibt_cargo_out "${IBT_CARGO_TARGET_DIR}/${ibt_triple}/${ibt_profile_dir}")

# Sets `out` to the arguments that make a compiler write names for the directories of this machine. The result has the
# same bytes wherever it is built. The last argument that matches a path counts.
function(ibt_remap out option)
  set(cargo_home "$ENV{CARGO_HOME}")
  if(NOT cargo_home)
    set(cargo_home "$ENV{HOME}/.cargo")
  endif()
  execute_process(COMMAND "${RUSTC}" --print sysroot OUTPUT_VARIABLE sysroot OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(arguments)
  foreach(pair
      "${cargo_home}/registry/src=crates"
      "${sysroot}/lib/rustlib/src/rust=/rustc/${rust_commit}"
      "${PROJECT_SOURCE_DIR}=."
      "${IBT_CARGO_TARGET_DIR}=target")
    string(REPLACE "'" "'\\''" pair "${pair}")
    string(APPEND arguments " '${option}=${pair}'")
  endforeach()
  set(${out} "${arguments}" PARENT_SCOPE)
endfunction()

# Wrappers for rustc and for the compiler of the C code in crates add these arguments: that leaves RUSTFLAGS and CFLAGS
# to the user. They lie where cargo builds, because a crate with C code is compiled anew if the path of CC changes.
set(wrappers "${IBT_CARGO_TARGET_DIR}/wrappers")
set(ibt_rustc "${wrappers}/rustc.sh")
set(ibt_cc "${wrappers}/cc_${ibt_triple}.sh")
set(wrapped "$ENV{RUSTC_WRAPPER} \"$@\"")
ibt_remap(more --remap-path-prefix)
configure_file(cmake/wrapper.sh.in "${ibt_rustc}" @ONLY)
include(CheckCCompilerFlag)
check_c_compiler_flag(-ffile-prefix-map=a=b IBT_HAS_FILE_PREFIX_MAP)
set(wrapped "'${CMAKE_C_COMPILER}' \"$@\"")
set(more "")
if(IBT_HAS_FILE_PREFIX_MAP)
  ibt_remap(more -ffile-prefix-map)
endif()
configure_file(cmake/wrapper.sh.in "${ibt_cc}" @ONLY)

separate_arguments(ibt_cargo_flags UNIX_COMMAND "${IBT_CARGO_FLAGS}")
if(IBT_OBJECT_STORE)
  list(APPEND ibt_cargo_flags --features object-store)
endif()
file(GLOB_RECURSE ibt_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*.rs")
string(REPLACE "-" "_" ibt_triple_name "${ibt_triple}")

add_custom_command(
  OUTPUT "${ibt_object}" "${ibt_stripped_object}"
  COMMAND "${CMAKE_COMMAND}" -E env --unset=MAKEFLAGS "RUSTC=${RUSTC}" "RUSTC_WRAPPER=${ibt_rustc}"
          "CC_${ibt_triple_name}=${ibt_cc}" "AR_${ibt_triple_name}=${CMAKE_AR}"
          "${CARGO}" rustc --lib --crate-type staticlib --locked --profile "${IBT_CARGO_PROFILE}"
          --manifest-path "${PROJECT_SOURCE_DIR}/Cargo.toml"
          --target "${ibt_triple}" --target-dir "${IBT_CARGO_TARGET_DIR}" ${ibt_cargo_flags}
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${ibt_lib_dir}"
  COMMAND "${CMAKE_COMMAND}" "-DINPUT=${ibt_cargo_out}/libibt.a" "-DOUTPUT=${ibt_object}"
          "-DSTRIPPED=${ibt_stripped_object}" "-DLD=${CMAKE_LINKER}" "-DOBJCOPY=${CMAKE_OBJCOPY}"
          -P "${PROJECT_SOURCE_DIR}/cmake/localize.cmake"
  DEPENDS ${ibt_sources} "${PROJECT_SOURCE_DIR}/Cargo.toml" "${PROJECT_SOURCE_DIR}/Cargo.lock"
          "${PROJECT_SOURCE_DIR}/cmake/localize.cmake"
  COMMENT "Building libibt with cargo"
  USES_TERMINAL
  VERBATIM)
add_custom_target(ibt_objects DEPENDS "${ibt_object}" "${ibt_stripped_object}")
set_source_files_properties("${ibt_object}" "${ibt_stripped_object}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)

# The libraries of the system that libibt needs: rustc says it of any static library. Not libgcc_s and libc: compilers
# of C add them, and know that a program without shared libraries (-static) has libgcc_eh instead of libgcc_s.
file(WRITE "${PROJECT_BINARY_DIR}/native/empty.rs" "")
execute_process(
  COMMAND "${RUSTC}" --target "${ibt_triple}" --crate-type staticlib --print native-static-libs empty.rs
  WORKING_DIRECTORY "${PROJECT_BINARY_DIR}/native"
  RESULT_VARIABLE failed ERROR_VARIABLE said OUTPUT_VARIABLE said)
if(failed OR NOT said MATCHES "native-static-libs: ([^\n]*)")
  message(FATAL_ERROR "rustc does not say what a static library needs: ${said}")
endif()
separate_arguments(ibt_native_libs UNIX_COMMAND "${CMAKE_MATCH_1}")
list(REMOVE_ITEM ibt_native_libs -lgcc_s -lc)
list(JOIN ibt_native_libs " " IBT_NATIVE_LIBS)

# Gives a library what both have: where it is built, its name, its header, its name in the installed package.
function(ibt_library target exported)
  add_dependencies(${target} ibt_objects)
  add_library(ibt::${exported} ALIAS ${target})
  set_target_properties(${target} PROPERTIES
    LINKER_LANGUAGE C
    OUTPUT_NAME ibt
    EXPORT_NAME ${exported}
    LIBRARY_OUTPUT_DIRECTORY "${ibt_lib_dir}"
    ARCHIVE_OUTPUT_DIRECTORY "${ibt_lib_dir}")
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# D: without the time of the build. Not every ar was built to do so unasked.
set(CMAKE_C_ARCHIVE_CREATE "<CMAKE_AR> qcD <TARGET> <LINK_FLAGS> <OBJECTS>")
set(CMAKE_C_ARCHIVE_FINISH "<CMAKE_RANLIB> -D <TARGET>")
add_library(ibt_static STATIC "${ibt_stripped_object}")
ibt_library(ibt_static static)
target_link_libraries(ibt_static INTERFACE ${ibt_native_libs})
set(ibt_preferred ibt::static)

if(IBT_SHARED)
  set(version_script "${PROJECT_SOURCE_DIR}/abi/libibt.map")
  add_library(ibt_shared SHARED "${ibt_object}")
  ibt_library(ibt_shared ibt)
  # SOVERSION is the number of the ABI (docs/abi.md), not that of the release.
  set_target_properties(ibt_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS "${version_script}")
  target_link_libraries(ibt_shared PRIVATE ${ibt_native_libs})
  target_link_options(ibt_shared PRIVATE "LINKER:--version-script=${version_script}"
    LINKER:--gc-sections LINKER:--as-needed LINKER:-O1 LINKER:-z,defs LINKER:-z,relro LINKER:-z,now)
  set(ibt_preferred ibt::ibt)
endif()
