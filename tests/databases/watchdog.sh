#!/bin/sh
# Stops the servers of the tests, and removes their directory, when no test has used them for a while.
#
#   watchdog.sh USERS DIRECTORY PID...
#
# Each process that uses them has a shared lock on the file USERS.
users=$1
directory=$2
shift 2
trap '' HUP INT TERM
idle=0
# A server that was started again has a second watchdog: the first to see that nobody is left removes all.
while [ "$idle" -lt 4 ] && [ -e "$users" ]; do
    sleep 5
    if flock -x -n "$users" true; then
        idle=$((idle + 1))
    else
        idle=0
    fi
done
# Whoever comes now waits for the lock, and then finds no servers.
if [ -e "$users" ]; then
    exec 9<"$users"
    flock -x 9
fi
rm -f "$directory/ready"
kill -TERM "$@" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$@" 2>/dev/null || break
    sleep 0.5
done
kill -KILL "$@" 2>/dev/null
rm -rf "$directory"
