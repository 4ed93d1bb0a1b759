# kubectls.sh - sourced by end-to-end tests that drive every kubectl of the machine.

# The version of a kubectl as MAJOR.MINOR; nothing when it does not run.
kubectl_version() {
    "$1" version --client -o json 2>/dev/null | sed -n 's/.*"gitVersion": "v\([0-9]*\.[0-9]*\).*/\1/p'
}

# Every kubectl of the machine, one path a line, one of each minor version: the one that "kubectl" means first, then those
# named kubectl.1.* or kubectl-1.* in PATH, beside the real file of the first, and in the usual folders.
kubectls() {
    local all dir path version seen=' '
    all=$(type -ap kubectl) || return 0
    {
        echo "$all"
        {
            tr : '\n' <<<"$PATH"
            for path in $all; do dirname "$(readlink -f "$path")"; done
            ls -d /usr/local/bin /opt/kubectl*
        } 2>/dev/null |
            while read -r dir; do
                ls -d "$dir"/kubectl.1.* "$dir"/kubectl-1.* 2>/dev/null || true
            done | sort -V
    } | while read -r path; do
        version=$(kubectl_version "$path")
        [ -n "$version" ] && [[ $seen != *" $version "* ]] || continue
        seen+="$version "
        echo "$path"
    done
}
