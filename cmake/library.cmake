# The libraries: built by cargo, then given the names and symbols that C programs see.
# Defines the targets ibt::ibt (shared) and ibt::static, and IBT_NATIVE_LIBS.

set(ibt_lib_dir "${CMAKE_BINARY_DIR}/lib")
set(ibt_shared "${ibt_lib_dir}/libibt.so.0")
set(ibt_shared_link "${ibt_lib_dir}/libibt.so")
set(ibt_static "${ibt_lib_dir}/libibt.a")

# The dev profile is the one whose directory is named differently.
set(ibt_profile_dir "${IBT_CARGO_PROFILE}")
if(ibt_profile_dir STREQUAL "dev")
  set(ibt_profile_dir debug)
endif()
set(ibt_cargo_out "${IBT_CARGO_TARGET_DIR}/${ibt_profile_dir}")

separate_arguments(ibt_cargo_flags UNIX_COMMAND "${IBT_CARGO_FLAGS}")
file(GLOB_RECURSE ibt_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*.rs")

add_custom_command(
  OUTPUT "${ibt_shared}" "${ibt_static}"
  BYPRODUCTS "${ibt_shared_link}"
  COMMAND "${CARGO}" build --lib --locked --profile "${IBT_CARGO_PROFILE}"
          --manifest-path "${PROJECT_SOURCE_DIR}/Cargo.toml"
          --target-dir "${IBT_CARGO_TARGET_DIR}" ${ibt_cargo_flags}
  COMMAND "${CMAKE_COMMAND}" -E make_directory "${ibt_lib_dir}"
  COMMAND "${CMAKE_COMMAND}" -E copy "${ibt_cargo_out}/libibt.so" "${ibt_shared}"
  COMMAND "${CMAKE_COMMAND}" -E create_symlink libibt.so.0 "${ibt_shared_link}"
  COMMAND "${CMAKE_COMMAND}" "-DINPUT=${ibt_cargo_out}/libibt.a" "-DOUTPUT=${ibt_static}"
          "-DLD=${CMAKE_LINKER}" "-DOBJCOPY=${CMAKE_OBJCOPY}" "-DAR=${CMAKE_AR}"
          -P "${PROJECT_SOURCE_DIR}/cmake/localize.cmake"
  DEPENDS ${ibt_sources} "${PROJECT_SOURCE_DIR}/Cargo.toml" "${PROJECT_SOURCE_DIR}/Cargo.lock"
          "${PROJECT_SOURCE_DIR}/build.rs" "${PROJECT_SOURCE_DIR}/cmake/localize.cmake"
  COMMENT "Building libibt with cargo"
  USES_TERMINAL
  VERBATIM)
add_custom_target(ibt_libraries ALL DEPENDS "${ibt_shared}" "${ibt_static}")

# What a program that links libibt.a has to link besides: rustc says it of any static library.
file(WRITE "${CMAKE_BINARY_DIR}/native/empty.rs" "")
execute_process(
  COMMAND "${RUSTC}" --crate-type staticlib --print native-static-libs empty.rs
  WORKING_DIRECTORY "${CMAKE_BINARY_DIR}/native"
  RESULT_VARIABLE failed ERROR_VARIABLE said OUTPUT_VARIABLE said)
if(failed OR NOT said MATCHES "native-static-libs: ([^\n]*)")
  message(FATAL_ERROR "rustc does not say what a static library needs: ${said}")
endif()
string(STRIP "${CMAKE_MATCH_1}" IBT_NATIVE_LIBS)
separate_arguments(ibt_native_libs UNIX_COMMAND "${IBT_NATIVE_LIBS}")

add_library(ibt::ibt SHARED IMPORTED)
set_target_properties(ibt::ibt PROPERTIES
  IMPORTED_LOCATION "${ibt_shared}"
  IMPORTED_SONAME libibt.so.0
  INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include")
add_dependencies(ibt::ibt ibt_libraries)

add_library(ibt::static STATIC IMPORTED)
set_target_properties(ibt::static PROPERTIES
  IMPORTED_LOCATION "${ibt_static}"
  INTERFACE_LINK_LIBRARIES "${ibt_native_libs}"
  INTERFACE_INCLUDE_DIRECTORIES "${PROJECT_SOURCE_DIR}/include")
add_dependencies(ibt::static ibt_libraries)
