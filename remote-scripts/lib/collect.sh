# Sourced by container/apptainer: which prepared images there are, and the removal of those that nobody needs. See
# lib/image.sh for where they lie. Works on the login node and needs no Apptainer.
#
# Nothing is removed that a pod which has not ended may use, or that anybody used in the last ten minutes. A supervisor that
# finds an image takes no lock: it writes `used` and then looks whether the image is still there. So an image is first hidden
# (`current` is taken away, under the lock of those who prepare it), and removed a moment later if nobody used it meanwhile.
# shellcheck shell=sh

fresh=600

# wanted AGENTS: sets $keys, keys of images that pods which have not ended name, and $ids, those that they run, all between
# line breaks.
wanted() {
    keys=$LF ids=$LF
    for wanted_pod in "$1"/*/pods/*; do
        [ -d "$wanted_pod/containers" ] || continue
        wanted_ids=
        if [ -r "$wanted_pod/report" ]; then
            while IFS= read -r line; do
                case $line in
                    "stage${US}ended$US"*) continue 2 ;;
                    "container$US"*)
                        line=${line#*"$US"*"$US"*"$US"*"$US"*"$US"*"$US"*"$US"*"$US"*"$US"*"$US"}
                        wanted_ids=$wanted_ids${line%%"$US"*}$LF
                        ;;
                esac
            done <"$wanted_pod/report"
        fi
        ids=$ids$wanted_ids
        for wanted_container in "$wanted_pod"/containers/*/container; do
            [ -r "$wanted_container" ] || continue
            wanted_image='' wanted_name=''
            while IFS= read -r line; do
                case $line in
                    image=*) wanted_image=${line#image=} ;;
                    name=*) wanted_name=${line#name=} ;;
                esac
            done <"$wanted_container"
            image_key "${wanted_image#docker://}"
            [ ! -r "$wanted_pod/auth/$wanted_name" ] || with_words "$wanted_pod/auth/$wanted_name" wanted_tag
            keys=$keys$key$LF
            with_words "${wanted_container%/*}/mirrors" wanted_mirrors
        done
    done
}
wanted_tag() { key=$key%23$1; }
wanted_mirrors() {
    for wanted_image in "$@"; do
        image_key "${wanted_image#docker://}"
        keys=$keys$key$LF
    done
}

# (From here on, everything is told from the directory of images: names of keys and versions have no blanks, others may.)

# use_files: the file `used` of each version of each image; written now if nobody has.
use_files() {
    for use_version in */v*/; do
        use_version=${use_version%/}
        if [ -e "$use_version/rootfs" ] || [ -e "$use_version/image.sif" ]; then
            [ -e "$use_version/used" ] || : >"$use_version/used"
            [ -e "$use_version/size" ] || write_size "$use_version"
            printf '%s\n' "$use_version/used"
        fi
    done
}
# describe USED KEY VERSION: `USED WANTED CURRENT KIB KEY VERSION`.
describe() {
    describe_used=$1
    shift
    first_line "$1/current"
    if [ "$line" = "$2" ]; then describe_current=1; else describe_current=0; fi
    first_line "$1/$2/id"
    describe_id=$line describe_wanted=0
    case $describe_id:$describe_current in
        -:0 | *:1)
            case $keys in
                *"$LF$1$LF"*) describe_wanted=1 ;;
            esac
            ;;
    esac
    case $ids in
        *"$LF$describe_id$LF"*) [ "$describe_id" = - ] || describe_wanted=1 ;;
    esac
    first_line "$1/$2/size"
    is_number "$line" || line=0
    printf '%s %s %s %s %s %s\n' "$describe_used" "$describe_wanted" "$describe_current" "$line" "$1" "$2"
}

# choose NOW AGE_S MAX_MB REDUCED_MB: reads what describe says; prints `FATE IDLE_S KIB KEY VERSION`.
choose() {
    sort -n | awk -v now="$1" -v fresh="$fresh" -v age="$2" -v max="$3" -v reduced="$4" '
        { idle[NR] = now - $1; wanted[NR] = $2; current[NR] = $3; kib[NR] = $4; rest[NR] = $5 " " $6; total += $4 }
        END {
            over = max != "-" && total > max * 1024
            for (n = 1; n <= NR; n++) {
                fate = "kept"
                if (wanted[n]) fate = "used"
                else if (idle[n] >= fresh) {
                    old = age != "-" && idle[n] >= age
                    # What a newer version has replaced nobody can find any more.
                    if (!current[n] || old || over && total > reduced * 1024) { fate = "remove"; total -= kib[n] }
                }
                print fate, idle[n] < 0 ? 0 : idle[n], kib[n], rest[n]
            }
        }'
}

# lock KEY: takes the lock of those who prepare this image; false if one of them lives.
lock() {
    if [ "$(find "$1/lock/by" -mmin +60 2>/dev/null)" ]; then mv "$1/lock" "$1/dead.$$" 2>/dev/null; fi
    mkdir "$1/lock" 2>/dev/null && printf '%s\n' "$(uname -n) $$ 0" >"$1/lock/by"
}
used_at() { stat -c %Y "$1/$2/used" 2>/dev/null; }

# hide KEY VERSION: nobody finds it any more. remove KEY VERSION BEFORE: true if nobody has used it since BEFORE, then it is gone.
hide() {
    first_line "$1/current"
    [ "$line" != "$2" ] || mv "$1/current" "$1/hidden.$$"
}
remove() {
    if [ "$(used_at "$1" "$2")" != "$3" ]; then
        [ ! -e "$1/hidden.$$" ] || mv "$1/hidden.$$" "$1/current"
        rm -rf "$1/lock"
        return 1
    fi
    mv "$1/$2" "$1/gone.$2"
    rm -rf "$1/lock" "$1/hidden.$$"
    remove_tree "$1/gone.$2"
    [ ! -e "$1/gone.$2" ]
}

# tell FATE KEY VERSION ID KIB IDLE
tell() { row image "$1" "$2" "$3" "$4" "$(($5 * 1024))" "$6"; }

# collect ROOT MAX_AGE_S MAX_MB REDUCED_MB DRY
collect() {
    dry=$5
    cd -- "$1/images" || fail "failed to enter $1/images"
    begin
    wanted "$1/agents"
    # (The times of all of them by one process.)
    list=$(use_files | xargs -r stat -c '%Y %n' 2>/dev/null | while read -r used file; do
        file=${file%/used}
        describe "$used" "${file%/*}" "${file#*/}"
    done | choose "$(date +%s)" "$2" "$3" "$4")$LF
    doomed=
    while [ "$list" != "$LF" ] && [ "$list" ]; do
        line=${list%%"$LF"*} list=${list#*"$LF"}
        # shellcheck disable=SC2086 # keys and versions have no blanks
        set -- $line
        first_line "$4/$5/id"
        if [ "$1" != remove ]; then
            tell "$1" "$4" "$5" "$line" "$3" "$2"
        elif [ "$dry" = 1 ]; then
            tell removed "$4" "$5" "$line" "$3" "$2"
        elif lock "$4"; then
            before=$(used_at "$4" "$5")
            hide "$4" "$5"
            doomed="$doomed$2 $3 $4 $5 $before $line$LF"
        else
            tell busy "$4" "$5" "$line" "$3" "$2"
        fi
    done
    # Whoever found one of them in the moment before has used it by now.
    [ -z "$doomed" ] || sleep 2
    while [ "$doomed" ]; do
        line=${doomed%%"$LF"*} doomed=${doomed#*"$LF"}
        # shellcheck disable=SC2086
        set -- $line
        if remove "$3" "$4" "$5"; then
            tell removed "$3" "$4" "$6" "$2" "$1"
        else
            tell kept "$3" "$4" "$6" "$2" "$1"
        fi
    done
    [ "$dry" = 1 ] || find . -mindepth 2 -maxdepth 2 \( -name 'new.*' -o -name 'dead.*' -o -name 'gone.*' -o -name 'hidden.*' \) -mmin +1440 2>/dev/null |
        while IFS= read -r line; do remove_tree "$line"; done
    finish
}
