# What `cmake --install` puts where, by GNUInstallDirs: programs, manual pages, completions, units, examples.
#
# Manual pages and completions are printed by the programs themselves, from the tables that --help is made of.
# Units run the programs of the prefix: a unit's ExecStart is rewritten while it is installed.

include(GNUInstallDirs)

set(RCTL_UNIT_DIR "lib/systemd/system" CACHE STRING "systemd units, below the prefix")
set(RCTL_BASH_DIR "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" CACHE STRING "completion of bash")
set(RCTL_ZSH_DIR "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" CACHE STRING "completion of zsh")
set(RCTL_FISH_DIR "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" CACHE STRING "completion of fish")

# COMMAND's standard output as a file of the build, made with the programs, installed to DESTINATION.
function(rctl_install_printed target file destination)
    add_custom_command(OUTPUT ${file} DEPENDS ${target} VERBATIM
        COMMAND ${CMAKE_COMMAND} "-DFILE=${file}" -P ${CMAKE_SOURCE_DIR}/cmake/Print.cmake
            -- $<TARGET_FILE:${target}> ${ARGN})
    string(MAKE_C_IDENTIFIER "printed_${file}" id)
    add_custom_target(${id} ALL DEPENDS ${file})
    add_dependencies(programs ${id})
    install(FILES ${file} DESTINATION ${destination})
endfunction()

function(rctl_install_program name section)
    if(NOT section)
        set(section 8)
    endif()
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    if(NOT RCTL_FUZZ)
        rctl_install_printed(${name} ${CMAKE_BINARY_DIR}/man/${name}.${section}
            ${CMAKE_INSTALL_MANDIR}/man${section} --man)
    endif()
endfunction()

file(GLOB units CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/manifests/systemd/*)
foreach(unit IN LISTS units)
    cmake_path(GET unit FILENAME unit_name)
    set(RCTL_UNIT ${CMAKE_BINARY_DIR}/systemd/${unit_name})
    install(CODE "
        file(READ \"${unit}\" text)
        string(REPLACE \"/usr/local/bin/\" \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/\" text \"\${text}\")
        file(WRITE \"${RCTL_UNIT}\" \"\${text}\")")
    install(FILES ${RCTL_UNIT} DESTINATION ${RCTL_UNIT_DIR})
endforeach()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/manifests/examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/how-to DESTINATION ${CMAKE_INSTALL_DOCDIR})
