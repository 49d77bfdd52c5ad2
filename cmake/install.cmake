# What is installed: headers, libraries, pkg-config file, CMake package, manuals, licences, tool and its manual.

include(CMakePackageConfigHelpers)

# The way from `from` to `to`, both as in GNUInstallDirs; `to` itself where one of them is absolute.
function(ibt_relative out start from to)
  if(IS_ABSOLUTE "${from}" OR IS_ABSOLUTE "${to}")
    get_filename_component(way "${to}" ABSOLUTE BASE_DIR "${CMAKE_INSTALL_PREFIX}")
  else()
    file(RELATIVE_PATH way "/prefix/${from}" "/prefix/${to}")
    string(REGEX REPLACE "/$" "" way "${start}/${way}")
  endif()
  set(${out} "${way}" PARENT_SCOPE)
endfunction()

# ibt.pc names the prefix, which is known only when it is installed (cmake --install --prefix). pkg-config leaves
# /usr/include and /usr/lib out of its answers only if they are written so.
function(ibt_install_pkgconfig)
  foreach(dir LIBDIR INCLUDEDIR)
    set(pc_${dir} "${CMAKE_INSTALL_${dir}}")
    if(NOT IS_ABSOLUTE "${pc_${dir}}")
      set(pc_${dir} "\${prefix}/${pc_${dir}}")
    endif()
  endforeach()
  set(pc_prefix "@CMAKE_INSTALL_PREFIX@")
  configure_file(cmake/ibt.pc.in ibt.pc.in @ONLY)
  install(CODE "configure_file(\"${PROJECT_BINARY_DIR}/ibt.pc.in\" \"${PROJECT_BINARY_DIR}/ibt.pc\" @ONLY)")
  install(FILES "${PROJECT_BINARY_DIR}/ibt.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()

# The CMake package. It finds its files relative to itself, so that the tree can be moved.
function(ibt_install_package)
  set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ibt")
  configure_package_config_file(cmake/ibtConfig.cmake.in ibtConfig.cmake INSTALL_DESTINATION "${package_dir}")
  # Before 1.0 each minor release may have another ABI: see docs/abi.md.
  set(compatibility SameMajorVersion)
  if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(compatibility SameMinorVersion)
  endif()
  write_basic_package_version_file(ibtConfigVersion.cmake COMPATIBILITY ${compatibility})
  install(EXPORT ibt FILE ibtTargets.cmake NAMESPACE ibt:: DESTINATION "${package_dir}")
  install(FILES "${PROJECT_BINARY_DIR}/ibtConfig.cmake" "${PROJECT_BINARY_DIR}/ibtConfigVersion.cmake"
    DESTINATION "${package_dir}")
endfunction()

# Takes the debug information out of the installed libibt.so: it is ten times the rest. IBT_DEBUG_INFO=split puts it
# into a file beside the library, where debuggers find it.
function(ibt_install_debug_info)
  if(NOT IBT_DEBUG_INFO MATCHES "^(strip|split|keep)$")
    message(FATAL_ERROR "IBT_DEBUG_INFO is ${IBT_DEBUG_INFO}, and must be strip, split or keep")
  endif()
  if(IBT_DEBUG_INFO STREQUAL "keep")
    return()
  endif()
  set(OBJCOPY "${CMAKE_OBJCOPY}")
  set(NAME "libibt.so.${PROJECT_VERSION}")
  configure_file(cmake/debug_info.cmake.in debug_info.cmake @ONLY)
  install(SCRIPT "${PROJECT_BINARY_DIR}/debug_info.cmake")
endfunction()

# Makes the manual pages of the library from the comments of ibt.h, and libibt-format(5) from docs/format.md.
function(ibt_install_manuals)
  find_program(AWK awk)
  if(NOT AWK)
    message(STATUS "awk was not found: the manual pages of the library are not made")
    return()
  endif()
  set(man "${PROJECT_BINARY_DIR}/man")
  set(scripts "${PROJECT_SOURCE_DIR}/cmake/manuals")
  add_custom_command(
    OUTPUT "${PROJECT_BINARY_DIR}/manuals.stamp"
    COMMAND sh "${scripts}/make.sh" "${man}" "${PROJECT_SOURCE_DIR}" ${PROJECT_VERSION} "${AWK}"
    COMMAND "${CMAKE_COMMAND}" -E touch "${PROJECT_BINARY_DIR}/manuals.stamp"
    DEPENDS "${PROJECT_SOURCE_DIR}/include/ibt.h" "${PROJECT_SOURCE_DIR}/docs/format.md"
            "${PROJECT_SOURCE_DIR}/docs/ibt.1" "${scripts}/make.sh"
            "${scripts}/roff.awk" "${scripts}/header.awk" "${scripts}/markdown.awk"
    COMMENT "Making the manual pages"
    VERBATIM)
  add_custom_target(ibt_manuals ALL DEPENDS "${PROJECT_BINARY_DIR}/manuals.stamp")
  install(DIRECTORY "${man}/" DESTINATION "${CMAKE_INSTALL_MANDIR}")
endfunction()

function(ibt_install_library)
  install(FILES include/ibt.h include/ibt.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(TARGETS ibt_static EXPORT ibt ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  if(IBT_SHARED)
    install(TARGETS ibt_shared EXPORT ibt LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    ibt_install_debug_info()
  endif()
  ibt_install_pkgconfig()
  ibt_install_package()
endfunction()

# Has the tool print its completion for the shell, and installs it as share/DIRECTORY/NAME.
function(ibt_install_completion target shell directory name)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND ${target} completion ${shell} > "${PROJECT_BINARY_DIR}/completion.${shell}")
  install(FILES "${PROJECT_BINARY_DIR}/completion.${shell}"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/${directory}" RENAME ${name})
endfunction()

function(ibt_install_tool target)
  if(IBT_INSTALL_RPATH AND IBT_SHARED)
    ibt_relative(way "$ORIGIN" "${CMAKE_INSTALL_BINDIR}" "${CMAKE_INSTALL_LIBDIR}")
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "${way}")
  endif()
  install(TARGETS ${target} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(FILES docs/ibt.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
  if(CMAKE_CROSSCOMPILING)
    return() # the tool prints its completions, and cannot run here
  endif()
  ibt_install_completion(${target} bash bash-completion/completions ibt)
  ibt_install_completion(${target} zsh zsh/site-functions _ibt)
  ibt_install_completion(${target} fish fish/vendor_completions.d ibt.fish)
endfunction()

# Programs that contain libibt must carry the licences of everything in it.
set(ibt_licences LICENSE LICENSE-THIRD-PARTY)
if(IBT_OBJECT_STORE)
  list(APPEND ibt_licences LICENSE-OBJECT-STORE)
endif()
install(FILES ${ibt_licences} docs/format.md docs/abi.md CHANGELOG.md
  DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(IBT_INSTALL)
  ibt_install_library()
  if(IBT_INSTALL_MANUALS)
    ibt_install_manuals()
  endif()
endif()
if(IBT_INSTALL_TOOL)
  ibt_install_tool(ibt_tool)
endif()
