# Sourced by pod/update and pod/add: takes in an upload about pods that are there, all or none of it.
# shellcheck shell=sh disable=SC2154 # the variables are the script's

# take_upload NAME CHECK: unpacks standard input, a tar of UID/… and, last, MANIFEST, into $work. Sets $uids, the lines of
# MANIFEST; CHECK UID is true if all parts of that pod are there. From then on nothing stops the script: what is half done
# would have to be done again.
take_upload() {
    work=$(mktemp -d "$dir/incoming/$1.XXXXXX") || fail "failed to make a directory in $dir/incoming"
    trap 'rm -rf -- "$work"; exit 70' HUP INT TERM
    tar -xpof - -C "$work" || refuse_upload 'failed to unpack the upload'
    [ -f "$work/MANIFEST" ] || refuse_upload 'the upload has no MANIFEST: it was cut short'
    uids=
    while IFS= read -r uid; do
        is_name "$uid" || refuse_upload 'MANIFEST has a line that is no UID'
        "$2" "$uid" || refuse_upload "the upload lacks parts of pod $uid"
        uids="$uids $uid"
    done <"$work/MANIFEST"
    [ "$uids" ] || refuse_upload 'MANIFEST names no pod'
    trap '' HUP PIPE INT TERM
}
refuse_upload() {
    rm -rf -- "$work"
    fail "$1, nothing was changed"
}

# failed_row UID: says what a command left in $work/.errors.
failed_row() {
    clean "$(cat -- "$work/.errors")"
    row failed "$1" "$cleaned"
}
