# Sourced by pod/submit, pod/update and pod/add: takes in an upload about pods, all or none of it.
# shellcheck shell=sh disable=SC2154 # the variables are the script's

# take_upload NAME CHECK: unpacks standard input, a tar of UID/… and, last, MANIFEST, into $work. Sets $uids, the lines of
# MANIFEST; CHECK UID is true if all parts of that pod are there. A signal takes all of it away again, until the script has
# other handlers.
take_upload() {
    work=$(mktemp -d "$dir/incoming/$1.XXXXXX") || refuse_upload "failed to make a directory in $dir/incoming"
    trap 'rm -rf -- "$work"; exit 70' HUP INT TERM
    # -p: what containers see keeps the mode it was sent with. -o: never another owner's (if this account is root).
    tar -xpof - -C "$work" || refuse_upload 'failed to unpack the upload'
    [ -f "$work/MANIFEST" ] || refuse_upload 'the upload has no MANIFEST: it was cut short'
    uids=
    while IFS= read -r uid; do
        is_name "$uid" || refuse_upload 'MANIFEST has a line that is no UID'
        "$2" "$uid" || refuse_upload "the upload lacks parts of pod $uid"
        uids="$uids $uid"
    done <"$work/MANIFEST"
    [ "$uids" ] || refuse_upload 'MANIFEST names no pod'
}
# (A script for which that is another exit code has its own.)
refuse_upload() {
    rm -rf -- "$work"
    fail "$1, nothing was changed"
}

# failed_row UID: says what a command left in $work/.errors.
failed_row() {
    clean "$(cat -- "$work/.errors")"
    row failed "$1" "$cleaned"
}
