# How every target of the project is made.  Functions only, no macros.
#
#   rctl_module(NAME SOURCES ... [DEPS modules...] [LIBS libraries...])   lib/NAME as one static library
#   rctl_program(NAME [SECTION n] SOURCES ... [DEPS ...] [LIBS ...])       one executable in bin/, installed with its manual page
#   rctl_test(NAME [SOURCES ...] DEPS ... [LABELS ...] [TIMEOUT s])        tests/unit/test_NAME.c, criterion
#   rctl_race(NAME SOURCES ... DEPS ...)                                   plain program, label race: runs under TSan
#   rctl_sim(NAME [SOURCES ...] DEPS ... [ARGS ...])                       tests/sim/sim_NAME.c: arguments FIRST_SEED COUNT
#   rctl_fuzz(NAME [SOURCES ...] DEPS ... [CORPUS dirs...])                tests/fuzz/fuzz_NAME.c
#   rctl_bench(NAME SOURCES ... [DEPS ...] [LIBS ...])                     tests/bench, built, not run as a test
#   rctl_script_test(NAME SCRIPT path [LABELS ...] [TIMEOUT s])            an executable script; gets RCTL_BIN, RCTL_SRC

option(RCTL_WERROR "Treat warnings as errors" ON)
option(RCTL_FUZZ "Instrument everything for libFuzzer (clang)" OFF)
set(RCTL_SANITIZE "" CACHE STRING "address;undefined, thread or memory")

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# Assertions stay on in every build: crashing beats going on with a wrong state.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_SANITIZE "-O1 -g")

add_library(rctl_flags INTERFACE)
target_compile_options(rctl_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
    -Wundef -Wcast-qual -Wwrite-strings -Wpointer-arith
    -Wimplicit-fallthrough -Wswitch-enum -Walloca -Wframe-larger-than=65536
    $<$<AND:$<C_COMPILER_ID:GNU>,$<STREQUAL:${RCTL_SANITIZE},>>:-Wnull-dereference -Wlogical-op -Wduplicated-cond -Wduplicated-branches>
    $<$<C_COMPILER_ID:GNU>:-ftrivial-auto-var-init=zero>
    $<$<BOOL:${RCTL_WERROR}>:-Werror>
    -fno-common -fno-strict-aliasing -fstack-protector-strong -fstack-clash-protection
    -fcf-protection=full>)
target_compile_definitions(rctl_flags INTERFACE _GNU_SOURCE
    RCTL_VERSION="${PROJECT_VERSION}"
    $<$<AND:$<CONFIG:Release,RelWithDebInfo>,$<STREQUAL:${RCTL_SANITIZE},>>:_FORTIFY_SOURCE=3>)
target_link_options(rctl_flags INTERFACE
    -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
target_link_libraries(rctl_flags INTERFACE Threads::Threads)
if(RCTL_SANITIZE)
    string(REPLACE ";" "," sanitize_list "${RCTL_SANITIZE}")
    target_compile_options(rctl_flags INTERFACE -fsanitize=${sanitize_list}
        -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(rctl_flags INTERFACE -fsanitize=${sanitize_list})
endif()
if(RCTL_FUZZ)
    target_compile_options(rctl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

include(Install)

set(sanitizer_reports "LeakSanitizer|AddressSanitizer|runtime error:|ThreadSanitizer")

# Links a target with the modules DEPS and outside libraries LIBS (pkg-config names or plain).
function(rctl_link target scope)
    cmake_parse_arguments(A "" "" "DEPS;LIBS" ${ARGN})
    list(TRANSFORM A_DEPS PREPEND rctl_)
    target_link_libraries(${target} ${scope} ${A_DEPS})
    foreach(lib IN LISTS A_LIBS)
        string(MAKE_C_IDENTIFIER "pc_${lib}" id)
        if(NOT TARGET PkgConfig::${id})
            pkg_check_modules(${id} QUIET IMPORTED_TARGET GLOBAL ${lib})
        endif()
        if(TARGET PkgConfig::${id})
            target_link_libraries(${target} ${scope} PkgConfig::${id})
        else()
            target_link_libraries(${target} ${scope} ${lib})
        endif()
    endforeach()
endfunction()

function(rctl_module name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS" ${ARGN})
    add_library(rctl_${name} STATIC ${A_SOURCES})
    target_include_directories(rctl_${name} PUBLIC ${CMAKE_SOURCE_DIR}/lib)
    rctl_link(rctl_${name} PUBLIC DEPS ${A_DEPS})
    rctl_link(rctl_${name} PRIVATE LIBS ${A_LIBS})
    target_link_libraries(rctl_${name} PRIVATE rctl_flags)
endfunction()

add_custom_target(programs) # what is installed, without any test

# Installed, with the manual page that the program itself prints (--man); SECTION of the manual: default 8.
function(rctl_program name)
    cmake_parse_arguments(A "" "SECTION" "SOURCES;DEPS;LIBS" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    rctl_link(${name} PRIVATE DEPS ${A_DEPS} LIBS ${A_LIBS})
    target_link_libraries(${name} PRIVATE rctl_flags)
    add_dependencies(programs ${name})
    rctl_install_program(${name} "${A_SECTION}")
endfunction()

# Criterion's Test() macro declares functions and shadows names of its own.
add_library(rctl_criterion INTERFACE)
target_link_libraries(rctl_criterion INTERFACE criterion)
target_compile_options(rctl_criterion INTERFACE -Wno-pedantic -Wno-missing-prototypes
    -Wno-shadow -Wno-conversion -Wno-sign-conversion -Wno-cast-qual -Wno-null-dereference)

function(rctl_test name)
    cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS;LIBS" ${ARGN})
    if(RCTL_FUZZ OR RCTL_SANITIZE STREQUAL "thread")
        return() # Criterion cannot run under TSan; fuzz builds only fuzz
    endif()
    if(NOT A_SOURCES)
        set(A_SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/test_${name}.c)
    endif()
    if(NOT A_TIMEOUT)
        set(A_TIMEOUT 120)
    endif()
    add_executable(test_${name} ${A_SOURCES})
    rctl_link(test_${name} PRIVATE DEPS ${A_DEPS} LIBS ${A_LIBS})
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})
    target_link_libraries(test_${name} PRIVATE rctl_flags rctl_criterion)
    set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME unit.${name} COMMAND test_${name} --tap)
    set_tests_properties(unit.${name} PROPERTIES LABELS "unit;${A_LABELS}" TIMEOUT ${A_TIMEOUT}
        FAIL_REGULAR_EXPRESSION "${sanitizer_reports}"
        ENVIRONMENT "RCTL_SRC=${CMAKE_SOURCE_DIR};RCTL_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

# What the presets tsan and fuzz build: just the programs that they run.
add_custom_target(race_tests)
add_custom_target(fuzz_tests)

function(rctl_plain_test prefix name)
    cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LIBS;LABELS;ARGS" ${ARGN})
    add_executable(${prefix}_${name} ${A_SOURCES})
    rctl_link(${prefix}_${name} PRIVATE DEPS ${A_DEPS} LIBS ${A_LIBS})
    target_include_directories(${prefix}_${name} PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})
    target_link_libraries(${prefix}_${name} PRIVATE rctl_flags)
    set_target_properties(${prefix}_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    if(TARGET ${prefix}_tests)
        add_dependencies(${prefix}_tests ${prefix}_${name})
    endif()
    add_test(NAME ${prefix}.${name} COMMAND ${prefix}_${name} ${A_ARGS})
    set_tests_properties(${prefix}.${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
        FAIL_REGULAR_EXPRESSION "${sanitizer_reports}"
        ENVIRONMENT "RCTL_SRC=${CMAKE_SOURCE_DIR};RCTL_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

function(rctl_race name)
    if(NOT RCTL_FUZZ)
        rctl_plain_test(race ${name} ${ARGN} LABELS race TIMEOUT 120)
    endif()
endfunction()

function(rctl_sim name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS;ARGS;SANITIZED_ARGS" ${ARGN})
    if(NOT A_SOURCES)
        set(A_SOURCES ${CMAKE_SOURCE_DIR}/tests/sim/sim_${name}.c)
    endif()
    if(RCTL_SANITIZE) # ten times as slow: the same program, fewer seeds
        set(A_ARGS 1 150)
        if(A_SANITIZED_ARGS)
            set(A_ARGS ${A_SANITIZED_ARGS})
        endif()
    elseif(NOT A_ARGS)
        set(A_ARGS 1 2000)
    endif()
    if(NOT RCTL_FUZZ)
        rctl_plain_test(sim ${name} SOURCES ${A_SOURCES} DEPS ${A_DEPS} LIBS ${A_LIBS} ARGS ${A_ARGS} LABELS sim TIMEOUT 300)
    endif()
endfunction()

# With clang and the fuzz preset a libFuzzer target; else a replayer of the corpus and of NAME's own source.
function(rctl_fuzz name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;CORPUS" ${ARGN})
    if(NOT A_SOURCES)
        set(A_SOURCES ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_${name}.c)
    endif()
    if(RCTL_FUZZ)
        set(found ${CMAKE_BINARY_DIR}/corpus/${name}) # libFuzzer writes what it finds into the first folder
        file(MAKE_DIRECTORY ${found})
        rctl_plain_test(fuzz ${name} SOURCES ${A_SOURCES} DEPS ${A_DEPS} LABELS fuzz TIMEOUT 120
            ARGS -max_total_time=5 -verbosity=0 -print_final_stats=0 -rss_limit_mb=1024 ${found} ${A_CORPUS})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        rctl_plain_test(fuzz ${name} SOURCES ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c
            DEPS ${A_DEPS} LABELS fuzz TIMEOUT 120 ARGS ${A_SOURCES} ${A_CORPUS})
    endif()
endfunction()

function(rctl_bench name)
    cmake_parse_arguments(A "" "" "SOURCES;DEPS;LIBS" ${ARGN})
    if(RCTL_SANITIZE OR RCTL_FUZZ)
        return()
    endif()
    add_executable(bench_${name} ${A_SOURCES})
    rctl_link(bench_${name} PRIVATE DEPS ${A_DEPS} LIBS ${A_LIBS})
    target_include_directories(bench_${name} PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})
    target_link_libraries(bench_${name} PRIVATE rctl_flags)
    set_target_properties(bench_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

function(rctl_script_test name)
    cmake_parse_arguments(A "" "SCRIPT;TIMEOUT" "LABELS" ${ARGN})
    if(RCTL_FUZZ OR RCTL_SANITIZE STREQUAL "thread")
        return()
    endif()
    if(NOT A_TIMEOUT)
        set(A_TIMEOUT 300)
    endif()
    add_test(NAME ${name} COMMAND ${CMAKE_SOURCE_DIR}/${A_SCRIPT})
    set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT}
        FAIL_REGULAR_EXPRESSION "${sanitizer_reports}" SKIP_RETURN_CODE 77
        ENVIRONMENT "RCTL_SRC=${CMAKE_SOURCE_DIR};RCTL_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()
