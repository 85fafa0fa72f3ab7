# Outlives the process that owns a test cluster, and takes the cluster away when the owner has died,
# however it died. The owner writes this script to standard input, a pipe, and only it holds the other
# end; so the last line here is run while the pipe is open, and what it reads is the pipe's end.
trap '' INT TERM HUP
directory=$1

members() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null) in
        "$directory" | "$directory"/*) echo "${process#/proc/}" ;;
        esac
    done
    # Where there is no /proc, the servers' own files have to do.
    [ -d /proc/self ] || for file in "$directory"/*/postmaster.pid; do
        [ -f "$file" ] && pid=$(head -n 1 "$file") && kill -0 "$pid" 2>/dev/null && echo "$pid"
    done
}

guard() {
    while read -r _; do :; done
    [ -d "$directory" ] || exit 0
    # SIGQUIT lets a postmaster remove its shared memory; frozen ones must be woken to hear it.
    signal=QUIT
    rounds=0
    while pids=$(members) && [ -n "$pids" ] && [ "$rounds" -lt 100 ]; do
        [ "$rounds" -lt 50 ] || signal=KILL
        # shellcheck disable=SC2086
        kill -"$signal" $pids 2>/dev/null
        # shellcheck disable=SC2086
        kill -CONT $pids 2>/dev/null
        sleep 0.1
        rounds=$((rounds + 1))
    done
    rm -rf "$directory"
    exit 0
}

guard
