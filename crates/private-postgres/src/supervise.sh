# Runs one PostgreSQL program and ends it when whoever started this shell is gone.
#
# $1  data directory; empty for this shell's working directory
# $2  directory to remove at the end, or empty
# $3  another such directory, or empty
# $4  the program, then its arguments
#
# Standard input is one end of a socket pair. Two lines are written to it: the process id of the
# program, and its exit status once it has ended. The other end answers with one line to say that
# the directories stay; when it closes without one, the program is told to end and the directories
# are removed.

# Closing the socket is the one way to end this shell, so that a signal to a whole control group
# does not separate the program from it.
trap '' HUP INT TERM PIPE
exec 3<&0 </dev/null >/dev/null

# A program that has stepped down may be unable to walk to the data directory from the root. It can
# always enter it by way of a process of its own user that is already there. The program itself
# starts in /, because some versions go back to the directory they were started in, by its name.
data=${1:-/proc/$$/cwd}
scratch=$2
link=$3
program=$4
shift 4

(cd / && exec "$program" -D "$data" "$@") 3<&- &
server=$!
echo "$server" >&3 2>/dev/null

# Again and again, because a program that has only just started still ignores the signal. A sleep
# that outlives this shell must not hold the log, which is what the next start waits for.
(
    read -r _ <&3
    while kill -INT "$server"; do
        sleep 1 2>/dev/null 3<&-
    done
) &
watcher=$!

wait "$server"
status=$?
# Before the process id can name another process.
kill -KILL "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
echo "$status" 2>/dev/null >&3

if ! read -r _ <&3; then
    [ -z "$scratch" ] || rm -rf -- "$scratch"
    [ -z "$link" ] || rm -rf -- "$link"
fi
