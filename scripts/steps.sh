# step NAME LOG COMMAND...: runs the command with its output in build/logs/LOG.log and prints one
# line, the name and the seconds it took. Where it fails, the log's end follows and its status is
# returned. A function given as COMMAND must chain with &&: errexit does not reach into it.
step() {
  local name=$1 log=build/logs/$2.log started=$SECONDS status=0
  shift 2
  mkdir -p build/logs
  printf '  %-52s' "$name"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status == 0)); then
    printf '%5d s\n' $((SECONDS - started))
    return 0
  fi
  printf 'failed after %d s\n' $((SECONDS - started))
  {
    echo "---- the end of $log"
    tail -n 60 "$log"
    echo "----"
  } >&2
  return "$status"
}

say() { printf '%s\n' "$*"; }

die() {
  printf './run: %s\n' "$*" >&2
  exit 1
}
