# Sourced by container/apptainer: images made ready once for all pods of the account.
#
#   images/KEY/current       the name of the newest version, one line
#   images/KEY/VERSION/      rootfs/ or image.sif, id (the image's name with its digest), size (KiB); never changed once it has
#                            this name, but for `used`: its time is that of the last use
#   images/KEY/lock/         held while a version is made or removed; `by` changes every 10 s as long as a maker lives
#   images/KEY/failed        why the last one was not made: who tried it, the exit code, and the words
# shellcheck shell=sh

away() { # what may go away by itself
    printf '%s\n' "$1" >&2
    exit 75
}
wrong() { # what will not
    printf '%s\n' "$1" >&2
    exit 65
}

# current: true if there is a version; sets $version.
current() {
    version=
    [ -r "$key/current" ] && read -r version <"$key/current" && [ -e "$key/$version/$what" ]
}
# answer [SECONDS]: how long the pull has taken, if there was one.
answer() {
    if ! printf '' 2>/dev/null >"$key/$version/used"; then away "the image $image was taken away in this moment"; fi
    first_line "$key/$version/id"
    id=$line
    first_line "$key/$version/size"
    if is_number "$line"; then line=$((line * 1024)); fi
    clock
    begin
    row image "$key/$version/$what" "$id" "$line" "${1:--}" "$((now - begun))"
    finish
    exit
}
# clock: sets $now, seconds of a clock that nobody sets.
clock() {
    if [ -r /proc/uptime ]; then read -r now _ </proc/uptime; else now=$(date +%s); fi
    now=${now%%.*}
}
# write_size VERSION_DIR: kibibytes.
write_size() {
    write_kib=$(du -sk "$1" 2>/dev/null)
    printf '%s\n' "${write_kib%%[!0-9]*}" >"$1/size"
}

# name_parts IMAGE: sets $registry, $repository, $reference (tag or digest) as Docker understands names.
name_parts() {
    reference=latest
    repository=$1
    case $repository in
        *@*)
            reference=${repository#*@}
            repository=${repository%%@*}
            case ${repository##*/} in
                *:*) repository=${repository%:*} ;;
            esac
            ;;
        *)
            case ${repository##*/} in
                *:*)
                    reference=${repository##*:}
                    repository=${repository%:*}
                    ;;
            esac
            ;;
    esac
    registry=${repository%%/*}
    case $registry in
        "$repository") registry=docker.io repository=library/$repository ;;
        *.* | *:* | localhost) repository=${repository#*/} ;;
        *) registry=docker.io ;;
    esac
    if [ "$registry" = docker.io ]; then
        case $repository in
            */*) ;;
            *) repository=library/$repository ;;
        esac
    fi
}

# ask PATH OPTION…: asks the registry, with a token if it wants one that is free for all. Prints headers or a body.
ask() {
    ask_path=$1
    shift
    host=$registry
    [ "$host" != docker.io ] || host='registry-1.docker.io'
    if [ -n "$token" ]; then set -- "$@" -H "Authorization: Bearer $token"; elif [ -n "$auth" ]; then set -- "$@" -K "$auth.curl"; fi
    ${ask_exec-} curl -s -L -m 20 \
        -H 'Accept: application/vnd.oci.image.index.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
        -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
        -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
        "$@" "$scheme://$host/v2/$repository/$ask_path" 2>/dev/null
}
# header NAME: its value in the headers on standard input.
header() { tr -d '\r' | awk -v name="$1" 'tolower($1) == name ":" { sub(/^[^:]*: */, ""); value = $0 } END { print value }'; }

# asked PATH OPTION…: sets $headers to what ask prints. (While there is something to be tidied up, a TERM has to be heard.)
asked() {
    if [ -z "${work-}" ]; then
        headers=$(ask "$@")
        return
    fi
    (ask_exec='exec' && ask "$@") >"$work/headers" &
    build=$!
    wait "$build"
    asked_code=$?
    build=
    headers=$(cat "$work/headers")
    return "$asked_code"
}

# look_up: sets $digest, what the registry has under this name now; empty if that cannot be told. False if it is silent.
look_up() {
    digest='' token=''
    find_program curl || return 0
    asked "manifests/$reference" -I
    [ $? != 28 ] || return 1
    challenge=$(printf '%s\n' "$headers" | header www-authenticate)
    case $challenge in
        Bearer*realm=*)
            realm=${challenge#*realm=\"}
            service=${challenge#*service=\"}
            token=$(curl -s -m 20 ${auth:+-K "$auth.curl"} "${realm%%\"*}?service=${service%%\"*}&scope=repository:$repository:pull" 2>/dev/null |
                sed -n 's/.*"\(access_\)\{0,1\}token" *: *"\([^"]*\)".*/\2/p')
            [ -z "$token" ] || asked "manifests/$reference" -I
            ;;
    esac
    digest=$(printf '%s\n' "$headers" | header docker-content-digest)
    case $reference in
        *:*) digest=$reference ;;
    esac
}
# working_directory: prints the image's WORKDIR, which Apptainer does not keep.
working_directory() {
    find_program curl || return 0
    manifest=$(ask "manifests/${digest:-$reference}")
    case $manifest in
        *'"manifests"'*)
            case $(uname -m) in
                x86_64) architecture=amd64 ;;
                aarch64) architecture=arm64 ;;
                *) architecture=$(uname -m) ;;
            esac
            one=$(printf '%s' "$manifest" | tr -d ' \t\n' | sed 's/{"\(mediaType\|digest\|platform\|size\|annotations\)/\n&/g' |
                awk -v want="\"architecture\":\"$architecture\"" '
                    match($0, /"digest":"[^"]*"/) { last = substr($0, RSTART + 10, RLENGTH - 11) }
                    index($0, want) && !found { found = last }
                    END { print found }')
            [ -n "$one" ] || return 0
            manifest=$(ask "manifests/$one")
            ;;
    esac
    config=$(printf '%s' "$manifest" | tr -d ' \t\n' | sed -n 's/.*"config":{[^}]*"digest":"\([^"]*\)".*/\1/p')
    # The first one: what older Dockers write has another in "container_config", which is not what a container runs with.
    [ -z "$config" ] || ask "blobs/$config" | tr -d '\n' |
        awk 'match($0, /"WorkingDir" *: *"[^"\\]*"/) { split(substr($0, RSTART, RLENGTH), part, "\""); print part[4] }'
}

# make_lock: waits for its turn. False if somebody else has made a new version meanwhile. What somebody else has failed at
# meanwhile is not tried again at once: all who waited for it hear of it.
make_lock() {
    before=$version seen='' since=0
    first_line "$key/failed"
    failure=$line
    until mkdir "$key/lock" 2>/dev/null; do
        [ -d "$key" ] || mkdir -p "$key" || away "failed to make $key/lock"
        sleep 1
        if current && [ "$version" != "$before" ]; then return 1; fi
        first_line "$key/failed"
        [ "$line" = - ] || [ "$line" = "$failure" ] || share_failure
        # Times of other machines are not compared: only whether something still changes.
        line=
        if [ -r "$key/lock/by" ]; then first_line "$key/lock/by"; fi
        if [ "$line" = "$seen" ]; then since=$((since + 1)); else seen=$line since=0; fi
        if [ "$since" -gt 120 ]; then
            mv "$key/lock" "$key/dead.$$" 2>/dev/null && rm -rf "$key/dead.$$"
            seen='' since=0
        fi
    done
    (
        trap 'kill "$nap" 2>/dev/null; exit' USR1
        beat=0
        while kill -0 "$main" 2>/dev/null; do
            beat=$((beat + 1))
            echo "$host_name $main $beat" >"$key/lock/by" || exit
            sleep 10 &
            nap=$!
            wait "$nap"
        done
    ) >/dev/null 2>&1 &
    heart=$!
}
# share_failure: ends as the one has who made the last attempt.
share_failure() {
    { read -r _ && read -r worst && words=$(cat); } <"$key/failed" || away "failed to read $key/failed"
    give_up
}
# keep_failure: for those who wait for this attempt.
keep_failure() {
    printf '%s\n' "$host_name $main $now" "$worst" "$words" >"$key/failed.$$" && mv -f "$key/failed.$$" "$key/failed"
}
# give_up: ends with $words, and the exit code $worst.
give_up() {
    [ "$worst" = 65 ] || away "$words"
    wrong "$words"
}
release() {
    [ -z "$heart" ] || kill -USR1 "$heart" 2>/dev/null
    [ -z "$watcher" ] || kill -USR1 "$watcher" 2>/dev/null
    rm -rf "$key/lock"
    [ -z "$work" ] || remove_tree "$work"
}

# credentials PLACE TAG [USER PASSWORD]…: sets $user and $password to those of that place: 0 is the image, 1 its first mirror.
# They are empty where there are none. TAG tells all of them from others.
credentials() {
    place_left=$1 tag=$2 user='' password=''
    shift 2
    while [ "$place_left" -gt 0 ] && [ $# -ge 2 ]; do
        shift 2
        place_left=$((place_left - 1))
    done
    if [ $# -ge 2 ]; then user=$1 password=$2; fi
}
# authorized PLACE: sets $auth to what the files for curl begin with, if there are credentials for that place.
authorized() {
    auth=''
    [ -n "$auths" ] || return 0
    with_words "$auths" credentials "$1" || away "failed to read $auths"
    [ -z "$user" ] || auth=$auths.$1
}

# build WORD…: becomes Apptainer's build. The credentials are in its environment and nowhere else.
build() {
    if [ -n "$auth" ]; then
        export "APPTAINER_DOCKER_USERNAME=$user" "APPTAINER_DOCKER_PASSWORD=$password"
        export "SINGULARITY_DOCKER_USERNAME=$user" "SINGULARITY_DOCKER_PASSWORD=$password"
    fi
    APPTAINER_TMPDIR=$work/tmp SINGULARITY_TMPDIR=$work/tmp exec "$binary" build "$@"
}

# progress PID: sets $came, the bytes that PID and its descendants have read, and $ticks of processor time that they took.
progress() {
    tree='' queue="$1 " came=0 ticks=0
    while [ -n "$queue" ]; do
        process=${queue%% *} queue=${queue#* } tree="$tree $process"
        while read -r progress_key progress_value; do
            [ "$progress_key" != rchar: ] || came=$((came + progress_value))
        done <"/proc/$process/io"
        read -r progress_line <"/proc/$process/stat" || continue
        # shellcheck disable=SC2086 # it is to be split: fields 3 and on
        set -- ${progress_line##*) }
        ticks=$((ticks + ${12} + ${13} + ${14} + ${15}))
        children "$process"
    done
} 2>/dev/null

# watch PID SECONDS: ends a build that for so long has read hardly anything (4 KiB) and worked hardly at all (1 % of a core).
# $work/stalled says so then. Times of work that reads nothing, or slowly, are no stall.
watch() {
    trap 'kill "$nap" 2>/dev/null; exit' USR1
    nap='' idle=0 came_before=0 ticks_before=0 pause=$(($2 / 20 + 1))
    # (A kernel that does not count what is read.)
    [ -r "/proc/$1/io" ] || exit
    while [ "$idle" -lt "$2" ]; do
        sleep "$pause" &
        nap=$!
        wait "$nap"
        kill -0 "$1" 2>/dev/null || exit
        progress "$1"
        if [ $((came - came_before)) -ge 4096 ] || [ "$came" -lt "$came_before" ] || [ $((ticks - ticks_before)) -ge "$2" ]; then
            idle=0 came_before=$came ticks_before=$ticks
        else
            idle=$((idle + pause))
        fi
    done
    : >"$work/stalled"
    # shellcheck disable=SC2086 # several
    kill $tree 2>/dev/null
    sleep 5 &
    nap=$!
    wait "$nap"
    # shellcheck disable=SC2086
    kill -KILL $tree 2>/dev/null
}

# source_of IMAGE PLACE: this is where it is to come from.
source_of() {
    name_parts "$1"
    scheme=https no_https=''
    authorized "$2"
    case ,$plain, in
        *",$registry,"*) scheme=http no_https=--no-https ;;
    esac
}

# make IMAGE PLACE: makes a new version of the image, taken from there. Otherwise it is false and $said says why, $code with what
# code that ends the work if there is no other place.
make() {
    source_of "$1" "$2"
    code=75
    work=$(mktemp -d "$key/new.XXXXXX") && mkdir "$work/tmp" || {
        release
        away "failed to make a directory in $key"
    }
    if ! look_up; then
        said="$registry did not answer within 20 s"
        remove_tree "$work"
        work=
        return 1
    fi
    # In the background, so that a TERM is heard while it works.
    if [ "$what" = rootfs ]; then set -- "$1" --sandbox --fix-perms; else set -- "$1"; fi
    make_from=$1
    shift
    build --disable-cache ${no_https:+"$no_https"} "$@" "$work/$what" "docker://$make_from" >"$work/said" 2>&1 </dev/null &
    build=$!
    watch "$build" "$stall_s" >/dev/null 2>&1 &
    watcher=$!
    directory=$(working_directory)
    # (Shells say by what signal it ended.)
    wait "$build" 2>/dev/null
    make_code=$?
    build=
    kill -USR1 "$watcher" 2>/dev/null
    watcher=
    if [ "$make_code" != 0 ]; then
        said=$(grep -e FATAL -e ERROR "$work/said" | tail -n 3)
        said=${said:-$(tail -n 3 "$work/said")}
        [ ! -e "$work/stalled" ] || said="the pull from $registry was given up: nothing has come for $stall_s s"
        remove_tree "$work"
        work=
        case $said in
            *'manifest unknown'* | *MANIFEST_UNKNOWN* | *NAME_UNKNOWN* | *'name unknown'* | *'repository name not known'* | *nauthorized* | *UNAUTHORIZED* | \
                *denied* | *DENIED* | *'reference format'* | *'no image found'* | *'not found'*) code=65 ;;
        esac
        return 1
    fi
    [ -z "$directory" ] || [ "$what" != rootfs ] || printf '%s\n' "$directory" >"$work/rootfs/.singularity.d/towline-workdir"
    echo "$registry/$repository@${digest:-$reference}" >"$work/id"
    [ -n "$digest" ] || echo - >"$work/id"
    remove_tree "$work/tmp"
    rm -f "$work/said" "$work/headers" "$work/stalled" "$key/failed"
    write_size "$work"
    version=v${work##*/new.}
    mv "$work" "$key/$version" && work='' && echo "$version" >"$key/current.$$" && mv -f "$key/current.$$" "$key/current" || {
        release
        away "failed to move the image into place in $key"
    }
}

# local_path PATH: answers with an image that lies there; false if there is none.
local_path() {
    [ -r "$1" ] || return 1
    begin
    row image "$1" - - - -
    finish
    exit
}
is_image() {
    case $1 in
        '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._/:@+-]*) wrong "this is not the name of an image: $1" ;;
    esac
}

# prepare ROOT IMAGE PULL FORMAT PLAIN_HTTP STALL_S [MIRROR…]
# TOWLINE_AUTH: a file with the words that credentials takes, and beside it FILE.PLACE.curl, the same for curl.
prepare() {
    root=$1 image=${2#docker://} pull=$3 format=$4 plain=$5 stall_s=$6
    shift 6
    is_number "$stall_s" || usage 'container/apptainer prepare …: STALL_S is a number'
    work=''
    clock
    begun=$now first=0
    while :; do
        case $image in
            /*) local_path "$image" || [ $# != 0 ] || wrong "there is no image $image" ;;
            *) break ;;
        esac
        image=${1#docker://} first=$((first + 1))
        shift
    done
    is_image "$image"
    image_key "$image"
    # What was pulled with credentials is for those alone who have the same.
    auths=${TOWLINE_AUTH-} tag=
    unset TOWLINE_AUTH
    authorized 0
    key=$root/images/$key${tag:+%23$tag}
    case $format in
        sif) what=image.sif ;;
        *) what=rootfs ;;
    esac

    there=
    if current; then there=$version; fi
    if [ -n "$there" ] && [ "$pull" != Always ]; then answer; fi
    if [ "$pull" = Never ]; then
        echo "the image $image is not here and pull=Never" >&2
        exit 66
    fi
    mkdir -p "$key" || away "failed to make $key"
    # Always means: look whether it is still the same, at the first place that answers.
    place=$((first - 1))
    for candidate in "$image" "$@"; do
        [ -n "$there" ] || break
        place=$((place + 1))
        case $candidate in
            /*) continue ;;
        esac
        source_of "$candidate" "$place"
        look_up || continue
        [ -n "$digest" ] || continue
        first_line "$key/$version/id"
        if [ "${line##*@}" = "$digest" ]; then answer; fi
        break
    done

    main=$$ heart='' watcher='' build='' words='' worst=65 host_name=$(uname -n)
    trap 'kill "$build" 2>/dev/null; release; exit 75' TERM INT HUP
    make_lock || answer
    # The last one who held it may have failed just before.
    first_line "$key/failed"
    [ "$line" = - ] || [ "$line" = "$failure" ] || {
        release
        share_failure
    }
    # Perhaps it was made while this waited.
    if current && [ "$pull" != Always ]; then
        release
        answer
    fi

    place=$((first - 1))
    for candidate in "$image" "$@"; do
        place=$((place + 1))
        case $candidate in
            /*)
                [ ! -r "$candidate" ] || release
                local_path "$candidate"
                words="$words${words:+; }there is no image $candidate"
                continue
                ;;
        esac
        is_image "$candidate"
        clock
        started=$now
        if make "$candidate" "$place"; then
            release
            clock
            answer $((now - started))
        fi
        [ "$code" = 65 ] || worst=$code
        if [ $# != 0 ]; then said="$candidate: $said"; fi
        words="$words${words:+; }$said"
    done
    keep_failure
    release
    give_up
}
