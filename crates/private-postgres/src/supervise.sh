# Runs one PostgreSQL program, and ends it when the process that started this shell is gone.
#
# $1  data directory; empty for this shell's working directory
# $2  directory to remove at the end, or empty
# $3  another such directory, or empty
# $4  the program, then its arguments
#
# Standard input is one end of a socket pair. This shell writes two lines to it: the process id of the program, and its
# exit status when it has ended. A line from the other end means that the directories stay. If the other end closes
# without a line, the program is told to end and the directories are removed.

# Only closing the socket ends this shell, so that a signal to a whole control group does not separate the program from
# it.
trap '' HUP INT TERM PIPE
exec 3<&0 </dev/null >/dev/null

# A program that runs as another user may be unable to reach the data directory from the root. It can always enter it
# through a process of the same user that is already there. The program itself starts in /, because some versions return
# to the directory where they were started, by its path.
data=${1:-/proc/$$/cwd}
scratch=$2
link=$3
program=$4
shift 4

(cd / && exec "$program" -D "$data" "$@") 3<&- &
server=$!
echo "$server" >&3 2>/dev/null

# Repeated, because a program that has only just started still ignores the signal. A sleep that outlives this shell must
# not hold the log, because the next start waits for the log's lock.
(
    read -r _ <&3
    while kill -INT "$server"; do
        sleep 1 2>/dev/null 3<&-
    done
) &
watcher=$!

wait "$server"
status=$?
# Before another process can get the program's process id.
kill -KILL "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
echo "$status" 2>/dev/null >&3

if ! read -r _ <&3; then
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    [ -z "$link" ] || rm -rf -- "$link"
fi
