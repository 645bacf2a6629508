#!/bin/sh
# The first process of a container: hands signals on to the command that it is given, takes leave of processes whose parents died, and ends
# with the command's own status. What `tini` does, without a package of a distribution: the kernel makes the first process the parent of every
# orphan, Node waits for its own children alone, and `docker run` without --init starts nothing else that would.
#
# Where another init is the first process (`docker run --init`, a pod that shares its process namespace), it is not needed and makes room.
[ $$ -eq 1 ] || exec "$@"

child=
pending=
hand_on() {
  if [ -n "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else pending=$1; fi
}
for signal in TERM INT HUP QUIT USR2; do
  # shellcheck disable=SC2064 # The signal of this round.
  trap "hand_on $signal" "$signal"
done

# A session of its own: Ctrl-C on a terminal would otherwise reach the command twice, and a second one means "at once". The detour over 3,
# since a shell takes standard input away from what it starts in the background,
# and has it ignore INT and QUIT.
exec 3<&0
setsid env --default-signal=INT,QUIT "$@" <&3 3<&- &
child=$!
exec 3<&-
[ -z "$pending" ] || hand_on "$pending"

# A signal interrupts the wait, which is begun anew then. In it the shell also takes leave of whoever else has ended.
while :; do
  wait "$child"
  status=$?
  kill -0 "$child" 2>/dev/null || exit "$status"
done
