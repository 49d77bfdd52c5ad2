# What is installed: headers, libraries, pkg-config file, CMake package, tool and its manual. Everything finds the
# rest relative to itself, so that the tree can be moved.

include(CMakePackageConfigHelpers)

install(FILES include/ibt.h include/ibt.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(PROGRAMS "${ibt_shared}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${ibt_shared_link}" "${ibt_static}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")

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

set(pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
ibt_relative(pc_prefix "\${pcfiledir}" "${pc_dir}" "")
ibt_relative(pc_libdir "\${pcfiledir}" "${pc_dir}" "${CMAKE_INSTALL_LIBDIR}")
ibt_relative(pc_includedir "\${pcfiledir}" "${pc_dir}" "${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(cmake/ibt.pc.in ibt.pc @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/ibt.pc" DESTINATION "${pc_dir}")

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ibt")
configure_package_config_file(cmake/ibtConfig.cmake.in ibtConfig.cmake
  INSTALL_DESTINATION "${package_dir}"
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
# Before 1.0 each minor release may have another ABI: see docs/abi.md.
set(compatibility SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
endif()
write_basic_package_version_file(ibtConfigVersion.cmake COMPATIBILITY ${compatibility})
install(FILES "${CMAKE_BINARY_DIR}/ibtConfig.cmake" "${CMAKE_BINARY_DIR}/ibtConfigVersion.cmake"
  DESTINATION "${package_dir}")

# Has the tool print its completion for the shell, and installs it as share/DIRECTORY/NAME.
function(ibt_install_completion target shell directory name)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND ${target} completion ${shell} > "${CMAKE_BINARY_DIR}/completion.${shell}")
  install(FILES "${CMAKE_BINARY_DIR}/completion.${shell}"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/${directory}" RENAME ${name})
endfunction()

function(ibt_install_tool target)
  if(NOT IBT_INSTALL_TOOL)
    return()
  endif()
  # Packagers who want none set CMAKE_SKIP_INSTALL_RPATH.
  ibt_relative(way "$ORIGIN" "${CMAKE_INSTALL_BINDIR}" "${CMAKE_INSTALL_LIBDIR}")
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "${way}")
  install(TARGETS ${target} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(FILES docs/ibt.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
  if(CMAKE_CROSSCOMPILING)
    return() # the tool prints its completions, and cannot run here
  endif()
  ibt_install_completion(${target} bash bash-completion/completions ibt)
  ibt_install_completion(${target} zsh zsh/site-functions _ibt)
  ibt_install_completion(${target} fish fish/vendor_completions.d ibt.fish)
endfunction()
