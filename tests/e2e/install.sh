#!/bin/bash
# install.sh - cmake --install into a folder: programs, manual pages that render without a warning, completions that
# their shells take, units that name the programs of the prefix.
set -euo pipefail
build=$(dirname "${RCTL_BIN:?}")
[ -f "$build/cmake_install.cmake" ] || {
    echo "SKIPPED: $build is no build folder"
    exit 77
}
dir=$(mktemp -d "${TMPDIR:-/tmp}/rctl-install.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "FAIL: $*" >&2
    exit 1
}

echo "== install"
cmake --install "$build" --prefix "$dir/usr" >"$dir/log" 2>&1 || {
    cat "$dir/log"
    fail "cmake --install"
}
programs=0
for program in rctl resource-{api,controller,alert-controller} resource-cluster-{api,controller,agent,alert-controller} resource-pod-shim; do
    [ -x "$dir/usr/bin/$program" ] || fail "bin/$program is not there"
    programs=$((programs + 1))
done
echo "$programs programs"
"$dir/usr/bin/rctl" --version | grep -q '^rctl [0-9]' || fail "the installed rctl does not run"

echo "== manual pages"
pages=0
for page in "$dir"/usr/share/man/man*/*; do
    pages=$((pages + 1))
    grep -q '^\.TH ' "$page" || fail "$page is no manual page"
    if command -v groff >/dev/null; then # man-db calls it the same way
        groff -man -Tutf8 -ww -z "$page" >"$dir/warnings" 2>&1 || fail "$page: $(cat "$dir/warnings")"
        [ ! -s "$dir/warnings" ] || fail "$page: $(cat "$dir/warnings")"
    fi
done
[ "$pages" = $((programs - 1)) ] || fail "$pages manual pages for $programs programs, one of them without"
command -v groff >/dev/null || echo "SKIPPED: rendering, there is no groff"
for verb in $("$dir/usr/bin/rctl" help | sed -n 's/^  \([a-z-]*\)  .*/\1/p'); do
    grep -qF "rctl ${verb//-/\\-}" "$dir/usr/share/man/man1/rctl.1" || fail "rctl(1) does not tell of $verb"
done

echo "== completion"
export PATH=$dir/usr/bin:$PATH HOME=$dir
completions=$dir/usr/share
bash -c '
    source "$1/bash-completion/completions/rctl"
    COMP_WORDS=(rctl cord) COMP_CWORD=1
    _rctl
    [ "${COMPREPLY[*]}" = cordon ]
    COMP_WORDS=(rctl get --sho) COMP_CWORD=2
    _rctl
    [[ "${COMPREPLY[*]}" = *--show-labels* ]]' bash "$completions" || fail "completion of bash"
if command -v zsh >/dev/null; then zsh -n "$completions/zsh/site-functions/_rctl" || fail "completion of zsh"; fi
if command -v fish >/dev/null; then fish -n "$completions/fish/vendor_completions.d/rctl.fish" || fail "completion of fish"; fi
[ -s "$completions/zsh/site-functions/_rctl" ] && [ -s "$completions/fish/vendor_completions.d/rctl.fish" ] || fail "completions are missing"

echo "== units"
for unit in "$dir"/usr/lib/systemd/system/*.service; do
    program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit")
    [ "$program" = "$dir/usr/bin/$(basename "$unit" .service)" ] || fail "$unit starts $program"
done
echo ok
